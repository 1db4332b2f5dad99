// SPDX-License-Identifier: Apache-2.0
// Waiting for several budgets at once on several threads: everybody comes to its turn, nothing is lost, no limit
// passed.
#include "velostream/async_reserve_all.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "support/held_bytes.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
constexpr Bytes limit = 1000;
constexpr Bytes query_limit = 600;
constexpr Bytes places = 5;

/// Two queries of a process, and places of another tree.
class AsyncReserveAllStress : public ::testing::Test {
  protected:
    std::vector<MemoryDemand> demands(std::minstd_rand& random) const {
        std::vector<MemoryDemand> wanted{{queries[0], random() % 400}, {slots, 1}, {queries[1], random() % 400}};
        std::swap(wanted[random() % 3], wanted[random() % 3]);
        return wanted;
    }
    void expect_all_back() const {
        EXPECT_EQ(process.used() + slots.used(), 0u);
        EXPECT_EQ(process.waiting() + queries[0].waiting() + queries[1].waiting() + slots.waiting(), 0u);
        EXPECT_TRUE(queries[1].try_reserve(query_limit));
        EXPECT_TRUE(slots.try_reserve(places));
    }

    const MemoryAccount process{"process", limit};
    const std::array<MemoryAccount, 2> queries{process.child("left", query_limit), process.child("right", query_limit)};
    const MemoryAccount slots{"slots", places};
};

TEST_F(AsyncReserveAllStress, EverybodyComesToItsTurnAndNoLimitIsPassed) {
    constexpr int coroutines = 100;
    constexpr int rounds = 100;
    testing::HeldBytes in_process, in_slots;
    std::atomic<int> granted{0};
    asio::thread_pool pool{4};
    auto work = [&](unsigned seed) -> asio::awaitable<void> {
        std::minstd_rand random{seed + 1};
        for (int round = 0; round < rounds; ++round) {
            auto wanted = demands(random);
            Bytes bytes = 0;
            for (const auto& demand : wanted) bytes += demand.account == slots ? 0 : demand.bytes;
            auto reserving = async_reserve_all(std::move(wanted), asio::use_awaitable);
            const auto reserved = co_await std::move(reserving);
            if (!reserved) continue;
            ++granted;
            in_process.add(bytes, limit);
            in_slots.add(1, places);
            if (random() % 4 == 0) co_await asio::post(pool, asio::use_awaitable);
            in_process.subtract(bytes);
            in_slots.subtract(1);
        }
    };

    for (unsigned index = 0; index < coroutines; ++index)
        asio::co_spawn(asio::make_strand(pool), work(index), asio::detached);
    pool.join();

    EXPECT_EQ(granted, coroutines * rounds);
    EXPECT_FALSE(in_process.exceeded() || in_slots.exceeded());
    expect_all_back();
}

TEST_F(AsyncReserveAllStress, CancelledAndLateOnesLeaveNothingBehind) {
    constexpr int count = 2000;
    struct Request {
        explicit Request(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand;
        asio::cancellation_signal signal;
        std::atomic<int> completions{0};
    };
    asio::thread_pool pool{4};
    std::deque<Request> requests;
    for (unsigned index = 0; index < count; ++index) {
        auto& request = requests.emplace_back(pool);
        asio::post(request.strand, [&, index] {
            std::minstd_rand random{index + 1};
            auto handler = [&](Result<std::vector<MemoryReservation>> outcome) {
                ++request.completions;
                asio::post(pool, [kept = std::make_shared<decltype(outcome)>(std::move(outcome))] {});
            };
            auto bound = asio::bind_executor(request.strand,
                                             asio::bind_cancellation_slot(request.signal.slot(), std::move(handler)));
            const auto deadline =
                index % 3 == 0 ? SteadyTime{}.now() + std::chrono::microseconds{index % 500} : TimePoint::max();
            async_reserve_all(demands(random), deadline, SteadyTime{}, std::move(bound));
            if (index % 3 == 1)
                asio::post(request.strand, [&] { request.signal.emit(asio::cancellation_type::terminal); });
        });
    }
    pool.join();

    for (const auto& request : requests) EXPECT_EQ(request.completions, 1);
    expect_all_back();
}

TEST_F(AsyncReserveAllStress, ContextsThatEndWhileOthersGiveBackKeepNothing) {
    for (int round = 0; round < 100; ++round) {
        auto held = queries[0].try_reserve(query_limit);
        auto held_slots = slots.try_reserve(places);
        std::atomic<bool> begin{false};
        std::jthread giver{[&] {
            while (!begin) std::this_thread::yield();
            for (Bytes part = 0; part < places; ++part) {
                held->shrink(query_limit / places);
                held_slots->shrink(1);
            }
        }};
        {
            asio::io_context context;
            for (int waiter = 0; waiter < 10; ++waiter)
                async_reserve_all({{queries[0], 100}, {slots, 1}, {queries[1], 1}}, SteadyTime{}.now() + 1h,
                                  SteadyTime{},
                                  asio::bind_executor(context, [](const Result<std::vector<MemoryReservation>>&) {}));
            begin = true;
            context.poll();
        }
        giver.join();
        ASSERT_EQ(process.used() + slots.used(), 0u) << "round " << round;
    }
    expect_all_back();
}

// The one who is granted the first tree goes on to the next while another thread gives up.
TEST(AsyncReserveAllTrees, OneThatIsGivenUpOnItsWayToTheNextTreeStandsNowhere) {
    constexpr int rounds = 1000;
    std::vector<MemoryAccount> trees;
    for (const auto* name : {"first", "second", "third"}) trees.emplace_back(name, 1);
    std::ranges::sort(trees, std::less<>{}, [](const auto& tree) { return JointDemand::tree_of(tree); });
    for (int round = 0; round < rounds; ++round) {
        auto first = trees[0].try_reserve(1), third = trees[2].try_reserve(1);
        asio::io_context context;
        asio::cancellation_signal signal;
        int completions = 0;
        auto handler = [&](const Result<std::vector<MemoryReservation>>&) { ++completions; };
        async_reserve_all({{trees[0], 1}, {trees[1], 1}, {trees[2], 1}},
                          asio::bind_executor(context, asio::bind_cancellation_slot(signal.slot(), handler)));
        std::atomic<int> ready{0};
        std::jthread giver{[&] {
            for (++ready; ready != 2;) std::this_thread::yield();
            first->release();
        }};
        for (++ready; ready != 2;) std::this_thread::yield();
        for (int pause = 0; pause < round % 100; ++pause) ready.load();
        signal.emit(asio::cancellation_type::terminal);
        giver.join();
        context.run();

        ASSERT_EQ(completions, 1) << "round " << round;
        ASSERT_FALSE(trees[2].anyone_waits()) << "round " << round;
        ASSERT_EQ(trees[0].used() + trees[1].used(), 0u) << "round " << round;
    }
}

} // namespace
} // namespace velostream
