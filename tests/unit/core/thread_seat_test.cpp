// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/thread_seat.hpp"

#include <gtest/gtest.h>

#include <barrier>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace velostream {
namespace {

TEST(ThreadSeat, IsOfThreadsThatComeAndGoAlwaysTheOneThatIsFree) {
    const auto own = thread_seat();
    std::map<std::size_t, int> seats;

    for (int i = 0; i < 40; ++i) std::thread{[&] { ++seats[thread_seat()]; }}.join();

    EXPECT_EQ(seats.size(), 1u);
    EXPECT_FALSE(seats.contains(own));
}

TEST(ThreadSeat, IsSatAtAloneByWhoCameWhenNobodySatThere) {
    thread_seat();
    const bool was_alone = sits_alone();
    std::size_t alone = was_alone;
    std::mutex mutex;
    constexpr std::size_t others = 2 * thread_seats;
    std::barrier everybody_sits{static_cast<std::ptrdiff_t>(others)};
    std::vector<std::thread> threads;

    for (std::size_t i = 0; i < others; ++i)
        threads.emplace_back([&] {
            thread_seat();
            everybody_sits.arrive_and_wait();
            const std::lock_guard lock{mutex};
            alone += sits_alone();
        });
    for (auto& thread : threads) thread.join();

    EXPECT_EQ(alone, thread_seats);
    EXPECT_EQ(sits_alone(), was_alone);
    std::thread{[] {
        thread_seat();
        EXPECT_TRUE(sits_alone()) << "at a seat that many have left";
    }}.join();
}

struct AsksWhileItsThreadEnds {
    ~AsksWhileItsThreadEnds() { *alone = sits_alone(); }
    bool* alone;
};

TEST(ThreadSeat, IsNobodysAloneWhileItsThreadEnds) {
    bool alone = true;

    std::thread{[&alone] {
        thread_local const AsksWhileItsThreadEnds asks{&alone}; // made before the seat is taken, so destroyed after it
        static_cast<void>(asks.alone);
        thread_seat();
    }}.join();

    EXPECT_FALSE(alone);
}

TEST(ThreadSeat, StaysTheSameWhileItsThreadLives) {
    const auto before = thread_seat();

    std::thread{[] { thread_seat(); }}.join();

    EXPECT_EQ(thread_seat(), before);
}

TEST(ThreadSeat, IsSharedEvenlyByMoreThreadsThanThereAreSeats) {
    thread_seat();
    std::map<std::size_t, std::size_t> threads_of_seat;
    std::mutex mutex;
    constexpr std::size_t others = 2 * thread_seats - 1;
    std::barrier everybody_sits{static_cast<std::ptrdiff_t>(others)};
    std::vector<std::thread> threads;

    for (std::size_t i = 0; i < others; ++i)
        threads.emplace_back([&] {
            {
                const std::lock_guard lock{mutex};
                ++threads_of_seat[thread_seat()];
            }
            everybody_sits.arrive_and_wait();
        });
    for (auto& thread : threads) thread.join();
    ++threads_of_seat[thread_seat()];

    EXPECT_EQ(threads_of_seat.size(), thread_seats);
    for (const auto& [seat, count] : threads_of_seat) EXPECT_EQ(count, 2u) << seat;
}

} // namespace
} // namespace velostream
