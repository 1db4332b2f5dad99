// SPDX-License-Identifier: Apache-2.0
// Hedges, fallbacks and memory limits that calls on several threads share.
#include "velostream/hedge.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

#include "velostream/bulkhead.hpp"
#include "velostream/fallback.hpp"
#include "velostream/memory_limit.hpp"
#include "velostream/pipeline.hpp"

namespace velostream::hedge_test {
namespace {

using namespace std::chrono_literals;

constexpr int callers = 16, rounds = 60;
constexpr std::uint64_t all = callers * rounds;

// Calls from everywhere, on executors that run several things at once.
template <class Operation>
void call_from_everywhere(Operation call) {
    asio::thread_pool pool{4};
    auto caller = [&](int number) -> asio::awaitable<void> {
        for (int i = 0; i < rounds; ++i) {
            auto calling = call(number + i);
            co_await std::move(calling);
        }
    };
    for (int i = 0; i < callers; ++i)
        asio::co_spawn(pool, caller(i), [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    pool.join(); // hangs if a call never ends
}

asio::awaitable<Result<int>> sleeps(Duration duration) {
    const auto executor = co_await asio::this_coro::executor;
    const SteadyTime time;
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto at = time.now() + duration;
    auto sleep = async_sleep_until(time, executor, at, asio::as_tuple(asio::deferred));
    const auto [code] = co_await std::move(sleep);
    if (code) co_return Error{code};
    co_return 1;
}

TEST(HedgesUnderThreads, EveryCallEndsOnceWithOneAnswerAndEveryAttemptIsCounted) {
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 100}};
    Hedge<> hedge{HedgeConfig{.delay = 100us, .max_hedges = 3}, {}, budget};
    Bulkhead<> inside{{.max_concurrent = 1000}};
    Pipeline guarded{hedge, inside};
    std::atomic<std::uint64_t> attempts{0}, running{0}, values{0}, failures{0};

    call_from_everywhere([&](int number) -> asio::awaitable<void> {
        auto attempt = [&, number]() -> asio::awaitable<Result<int>> {
            const auto mine = attempts++;
            ++running;
            auto sleep = sleeps((number * 37 + static_cast<int>(mine)) % 300 * 1us);
            auto result = co_await std::move(sleep);
            --running;
            if (result && mine % 5 == 0) co_return Errc::connect_failed; // the next one at once
            co_return result;
        };
        auto calling = guarded.execute(idempotent(attempt));
        const auto result = co_await std::move(calling);
        ++(result ? values : failures);
    });

    const auto stats = hedge.get_stats();
    EXPECT_EQ(values + failures, all);
    EXPECT_GT(values, 0u);
    EXPECT_EQ(running, 0u);
    EXPECT_EQ(stats.calls, all);
    EXPECT_EQ(stats.calls + stats.hedges, attempts);
    EXPECT_LE(stats.won, stats.hedges);
    EXPECT_EQ(inside.get_stats().in_use, 0u);
    EXPECT_EQ(budget.get_stats(SteadyTime{}.now()).withdrawn, stats.hedges);
}

TEST(HedgesUnderThreads, ACallerMayCancelAtAnyMoment) {
    struct Call {
        explicit Call(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
    };
    asio::thread_pool pool{4};
    Hedge<> hedge{HedgeConfig{.delay = 50us, .max_hedges = 2}};
    Pipeline guarded{hedge};
    std::atomic<std::uint64_t> running{0}, values{0}, cancelled{0}, others{0};
    std::deque<Call> calls;
    for (std::uint64_t i = 0; i < all; ++i) {
        auto& call = calls.emplace_back(pool);
        asio::post(call.strand, [&, i] {
            auto operation = [&, i]() -> asio::awaitable<Result<int>> {
                ++running;
                auto sleep = sleeps(i % 200 * 1us);
                auto result = co_await std::move(sleep);
                --running;
                co_return result;
            };
            const auto on_end = [&](std::exception_ptr failed, const Result<int>& result) {
                EXPECT_FALSE(failed);
                ++(result ? values : result.error() == ErrorType::cancelled ? cancelled : others);
            };
            asio::co_spawn(call.strand, guarded.execute(idempotent(operation)),
                           asio::bind_cancellation_slot(call.signal.slot(), on_end));
        });
        std::this_thread::yield();
        asio::post(call.strand, [&] { call.signal.emit(asio::cancellation_type::terminal); });
    }
    pool.join();

    EXPECT_EQ(values + cancelled, all);
    EXPECT_EQ(others, 0u);
    EXPECT_EQ(running, 0u);
    EXPECT_EQ(hedge.get_stats().calls, all);
}

// A coroutine that awaits something bound to another executor goes on there until it waits again.
TEST(HedgesUnderThreads, AnAttemptMayReturnOnAnotherThread) {
    asio::thread_pool elsewhere{2};
    Hedge<> hedge{HedgeConfig{.delay = 0s, .max_hedges = 1}};
    Pipeline guarded{hedge};
    std::atomic<std::uint64_t> values{0};

    call_from_everywhere([&](int) -> asio::awaitable<void> {
        auto attempt = [&]() -> asio::awaitable<int> {
            auto hopping = asio::post(asio::bind_executor(elsewhere.get_executor(), asio::deferred));
            co_await std::move(hopping);
            co_return 1;
        };
        auto calling = guarded.execute(idempotent(attempt));
        const auto result = co_await std::move(calling);
        values += result ? 1 : 0;
    });
    elsewhere.join();

    EXPECT_EQ(values, all);
}

TEST(HedgesUnderThreads, OnASerialExecutorTheCallerAndItsAttemptsMayBeOnOtherThreads) {
    asio::io_context one_thread{1};
    asio::thread_pool elsewhere{2};
    Hedge<> hedge{HedgeConfig{.delay = 0s, .max_hedges = 1}};
    Pipeline guarded{hedge};
    const auto hop = [&]() -> asio::awaitable<int> {
        auto hopping = asio::post(asio::bind_executor(elsewhere.get_executor(), asio::deferred));
        co_await std::move(hopping);
        co_return 1;
    };
    std::uint64_t values = 0;
    auto calls = [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 500; ++i) {
            auto hopping = hop();
            co_await std::move(hopping);
            auto calling = guarded.execute(idempotent(hop));
            const auto result = co_await std::move(calling);
            if (result) ++values;
        }
    };
    asio::co_spawn(one_thread, calls(), [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    one_thread.run();
    elsewhere.join();

    EXPECT_EQ(values, 500u);
}

TEST(FallbacksUnderThreads, EveryFailureIsAnsweredOnce) {
    std::atomic<std::uint64_t> asked{0}, from_service{0}, from_fallback{0}, failures{0};
    auto other = [&](const Error&) -> Result<int> {
        if (++asked % 10 == 0) return Errc::send_timeout;
        return 2;
    };
    Fallback fallback{{ErrorType::network}, other};
    CircuitBreaker<> breaker{"stress", {.failure_threshold = 100'000, .sliding_window_size = 100'000}};
    Pipeline guarded{fallback, breaker};

    call_from_everywhere([&](int number) -> asio::awaitable<void> {
        auto operation = [number]() -> asio::awaitable<Result<int>> {
            auto yielding = asio::post(asio::deferred);
            co_await std::move(yielding);
            if (number % 3 == 0) co_return Errc::connect_failed;
            co_return 1;
        };
        auto calling = guarded.execute(operation);
        const auto result = co_await std::move(calling);
        ++(!result ? failures : *result == 1 ? from_service : from_fallback);
    });

    const auto stats = fallback.get_stats();
    EXPECT_EQ(from_service + from_fallback + failures, all);
    EXPECT_EQ(from_fallback + failures, asked);
    EXPECT_EQ(stats.used, asked);
    EXPECT_EQ(stats.failed, failures);
    EXPECT_EQ(breaker.get_stats().failure_count, asked);
}

TEST(MemoryLimitsUnderThreads, NoMoreRunThanFitAndAllIsGivenBack) {
    constexpr Bytes each = 100, fits = 5;
    const MemoryAccount account{"calls", each * fits};
    for (const auto when_full : {WhenFull::refuse, WhenFull::wait}) {
        MemoryLimit<> limit{account, each, when_full};
        Pipeline guarded{limit};
        std::atomic<std::uint64_t> running{0}, most{0}, values{0}, refused{0}, others{0};

        call_from_everywhere([&](int) -> asio::awaitable<void> {
            auto operation = [&]() -> asio::awaitable<int> {
                const auto now = ++running;
                for (auto seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
                }
                auto yielding = asio::post(asio::deferred);
                co_await std::move(yielding);
                --running;
                co_return 1;
            };
            auto calling = guarded.execute(operation);
            const auto result = co_await std::move(calling);
            ++(result ? values : result.error() == Errc::memory_limit_exceeded ? refused : others);
        });

        EXPECT_EQ(values + refused, all);
        EXPECT_EQ(others, 0u);
        EXPECT_LE(most, fits);
        EXPECT_GT(values, 0u);
        if (when_full == WhenFull::wait) {
            EXPECT_EQ(refused, 0u) << "there is room for each in turn";
        }
        EXPECT_EQ(account.used(), 0u);
    }
}

} // namespace
} // namespace velostream::hedge_test
