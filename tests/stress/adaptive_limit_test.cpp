// SPDX-License-Identifier: Apache-2.0
// An adaptive limit on several threads: never more calls than its ceiling, every waiter has its turn, nothing is lost.
#include "velostream/adaptive_limit.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <thread>

#include "support/in_threads.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

// Moves after every few calls, up and down.
AdaptiveLimitConfig restless() {
    return {.initial_limit = 2,
            .max_limit = 6,
            .window = 10,
            .smoothing = 1,
            .drop_backoff = 0.5,
            .tolerated_drop_rate = 0,
            .remeasure_every = 5,
            .max_waiting = 64};
}

void expect_nothing_left(const AdaptiveLimit<>& limit) {
    const auto stats = limit.get_stats();
    EXPECT_EQ(stats.in_use, 0u);
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_GE(stats.limit, 1u);
    EXPECT_LE(stats.limit, 6u);
    EXPECT_GT(stats.windows, 0u);
}

TEST(AdaptiveLimitUnderThreads, LearnsFromCallsOfSeveralThreads) {
    constexpr int rounds = 20'000;
    const auto observer = std::make_shared<testing::RecordingObserver>();
    AdaptiveLimit limit{"restless", restless(), observer};
    std::atomic<int> running{0}, most{0};
    std::atomic<std::uint64_t> refused{0}, dropped{0};
    testing::in_threads(thread_count, [&](int number) {
        for (int round = 0; round < rounds; ++round) {
            auto permit = limit.try_acquire();
            if (!permit) {
                ++refused;
                continue;
            }
            const int now = ++running;
            for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
            }
            if (round % 512 == 0) std::this_thread::yield();
            --running;
            if ((round + number) % 97 == 0) {
                ++dropped;
                permit->failure(Errc::send_timeout);
            } else if (round % 31 != 0) {
                permit->success();
            } // else it ends without a word
        }
    });

    EXPECT_LE(most, 6);
    EXPECT_EQ(limit.get_stats().refused, refused);
    EXPECT_EQ(limit.get_stats().dropped, dropped);
    EXPECT_EQ(observer->refusals().size(), refused);
    long moved = 0; // told in any order, and each once
    for (const auto& change : observer->limit_changes())
        moved += static_cast<long>(change.to) - static_cast<long>(change.from);
    EXPECT_EQ(static_cast<long>(limit.get_stats().limit), 2 + moved);
    expect_nothing_left(limit);
}

TEST(AdaptiveLimitUnderThreads, EveryWaiterHasItsTurnWhileTheLimitMoves) {
    constexpr int callers = 32, rounds = 200;
    asio::thread_pool pool{thread_count};
    AdaptiveLimit limit{restless()};
    std::atomic<int> done{0}, running{0};
    std::atomic<bool> exceeded{false};
    auto caller = [&](int number) -> asio::awaitable<void> {
        int round = 0;
        auto operation = [&]() -> asio::awaitable<Result<int>> {
            if (++running > 6) exceeded = true;
            co_await asio::post(asio::deferred);
            --running;
            if ((round + number) % 53 == 0) co_return Error{Errc::connect_failed};
            co_return 1;
        };
        for (; round < rounds; ++round) {
            const auto result = co_await limit.execute(operation);
            EXPECT_TRUE(result || result.error() == Errc::connect_failed);
        }
        ++done;
    };
    for (int i = 0; i < callers; ++i) asio::co_spawn(pool, caller(i), asio::detached);
    pool.join(); // hangs if a wake-up is lost

    EXPECT_EQ(done, callers);
    EXPECT_FALSE(exceeded);
    expect_nothing_left(limit);
}

} // namespace
} // namespace velostream
