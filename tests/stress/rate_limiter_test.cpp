// SPDX-License-Identifier: Apache-2.0
// A rate limiter on several threads: never more than the rate allows, every waiter is told, nothing is lost.
#include "velostream/rate_limiter.hpp"
#include "support/in_threads.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>

namespace velostream::rate_limiter_test {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

TEST(RateLimiterUnderThreads, LetsNoMoreBeginThanTheRateAllows) {
    const SteadyTime time;
    const auto begin = time.now();
    RateLimiter limiter{RateLimiterConfig{.permits = 1'000'000, .period = 1s, .burst = 100}};
    std::atomic<std::uint64_t> granted{0};
    testing::in_threads(thread_count, [&](int) {
        for (int round = 0; round < 20'000; ++round) granted += limiter.try_acquire() ? 1U : 0U;
    });
    const auto lasted = time.now() - begin;

    EXPECT_LE(granted, 100u + static_cast<std::uint64_t>(lasted / 1us));
    EXPECT_GE(granted, 100u);
    EXPECT_EQ(limiter.get_stats().granted, granted);
    EXPECT_EQ(limiter.get_stats().refused, 20'000u * thread_count - granted);
}

TEST(RateLimiterUnderThreads, EveryWaiterHasItsTurn) {
    constexpr int callers = 16, rounds = 50;
    asio::thread_pool pool{thread_count};
    RateLimiter limiter{RateLimiterConfig{.permits = 20'000, .period = 1s, .burst = 20, .max_waiting = callers}};
    std::atomic<int> done{0};
    auto caller = [&]() -> asio::awaitable<void> {
        auto operation = []() -> asio::awaitable<int> { co_return 1; };
        for (int round = 0; round < rounds; ++round) {
            const auto result = co_await limiter.execute(operation);
            EXPECT_TRUE(result);
        }
        ++done;
    };
    for (int i = 0; i < callers; ++i) asio::co_spawn(pool, caller(), asio::detached);
    pool.join(); // hangs if an alarm is lost

    EXPECT_EQ(done, callers);
    EXPECT_EQ(limiter.get_stats().granted, static_cast<std::uint64_t>(callers * rounds));
    EXPECT_EQ(limiter.get_stats().waiting, 0u);
}

TEST(RateLimiterUnderThreads, TurnsCancellationsAndOtherRatesMayMeet) {
    struct Call {
        explicit Call(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
    };
    constexpr int count = 2000;
    asio::thread_pool pool{thread_count};
    RateLimiter limiter{
        RateLimiterConfig{.permits = 100'000, .period = 1s, .burst = 5, .max_waiting = count, .max_wait = 1s}};
    std::atomic<int> granted{0}, limited{0}, cancelled{0}, others{0};
    std::deque<Call> calls;
    for (int i = 0; i < count; ++i) {
        auto& call = calls.emplace_back(pool);
        asio::post(call.strand, [&, i] {
            limiter.async_acquire(asio::bind_executor(
                call.strand, asio::bind_cancellation_slot(call.signal.slot(), [&](const Result<void>& turn) {
                    if (turn)
                        ++granted;
                    else if (turn.error() == Errc::cancelled)
                        ++cancelled;
                    else
                        ++(turn.error() == Errc::rate_limited ? limited : others);
                })));
            if (i % 50 == 0) limiter.set_rate({.permits = i % 100 == 0 ? 50'000U : 200'000U, .period = 1s, .burst = 5});
            if (i % 3 == 0) asio::post(call.strand, [&] { call.signal.emit(asio::cancellation_type::terminal); });
        });
    }
    pool.join();

    EXPECT_EQ(granted + limited + cancelled, count);
    EXPECT_EQ(others, 0);
    const auto stats = limiter.get_stats();
    EXPECT_EQ(stats.granted, static_cast<std::uint64_t>(granted));
    EXPECT_EQ(stats.refused, static_cast<std::uint64_t>(limited));
    EXPECT_EQ(stats.cancelled, static_cast<std::uint64_t>(cancelled));
    EXPECT_EQ(stats.waiting, 0u);
}

} // namespace
} // namespace velostream::rate_limiter_test
