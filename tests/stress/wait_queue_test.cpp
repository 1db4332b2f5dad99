// SPDX-License-Identifier: Apache-2.0
// A wait queue whose waiters live in several contexts, which come and go while others give turns.
#include "velostream/async/wait_queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <thread>
#include <vector>

namespace velostream {
namespace {

TEST(WaitQueueUnderThreads, EveryTurnReachesOneWaiter) {
    constexpr int count = 20'000;
    asio::thread_pool pool{4};
    WaitQueue queue;
    std::atomic<int> turns{0}, given{0};
    std::thread giver{[&] {
        while (given < count) given += queue.wake_one();
    }};
    for (int i = 0; i < count; ++i)
        asio::post(pool, [&] {
            queue.async_wait(asio::bind_executor(pool.get_executor(), [&](boost::system::error_code code) {
                EXPECT_FALSE(code);
                ++turns;
            }));
        });
    giver.join();
    pool.join();

    EXPECT_EQ(turns, count);
    EXPECT_EQ(queue.size(), 0u);
}

// What a semaphore does: `ready` and the wake must not miss each other.
TEST(WaitQueueUnderThreads, NobodyWaitsForWhatIsThere) {
    constexpr int count = 20'000;
    asio::thread_pool pool{4};
    WaitQueue queue;
    std::atomic<int> stock{0}, taken{0};
    const auto take = [&]() noexcept {
        int seen = stock;
        while (seen > 0)
            if (stock.compare_exchange_weak(seen, seen - 1)) return true;
        return false;
    };
    for (int i = 0; i < count; ++i) {
        asio::post(pool, [&] {
            queue.async_wait_unless(
                take, asio::bind_executor(pool.get_executor(), [&](boost::system::error_code) { ++taken; }));
        });
        asio::post(pool, [&] {
            ++stock;
            if (queue.size() > 0 && take() && !queue.wake_one()) ++stock;
        });
    }
    pool.wait();
    while (queue.size() > 0 && take()) queue.wake_one(); // what came when nobody waited yet
    pool.join();

    EXPECT_EQ(taken + stock, count);
    EXPECT_EQ(static_cast<int>(queue.size()), count - taken);
}

TEST(WaitQueueUnderThreads, ContextsMayEndWhileOthersGiveTurns) {
    WaitQueue queue;
    std::atomic<bool> stop{false};
    std::atomic<int> turns{0};
    std::thread giver{[&] {
        while (!stop) queue.wake_one();
    }};
    std::vector<std::thread> users;
    for (int i = 0; i < 3; ++i)
        users.emplace_back([&] {
            for (int round = 0; round < 300 || turns == 0; ++round) { // some turn must meet a context that still runs
                asio::io_context io;
                for (int waiter = 0; waiter < 8; ++waiter)
                    queue.async_wait(
                        asio::bind_executor(io.get_executor(), [&](boost::system::error_code) { ++turns; }));
                io.poll();
            } // ends with some of them still waiting
        });
    for (auto& user : users) user.join();
    stop = true;
    giver.join();

    EXPECT_EQ(queue.size(), 0u);
}

} // namespace
} // namespace velostream
