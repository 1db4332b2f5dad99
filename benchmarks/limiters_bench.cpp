// SPDX-License-Identifier: Apache-2.0
// What a bulkhead, an adaptive limit and a rate limiter cost a call that finds room, one that is refused, and one that
// waits.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/adaptive_limit.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/core/latency_window.hpp"
#include "velostream/rate_limiter.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

void bulkhead_acquire_release(benchmark::State& state) {
    static Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 100}};
    for (auto _ : counted(state)) {
        auto permit = bulkhead.try_acquire();
        benchmark::DoNotOptimize(permit);
    }
}

void bulkhead_refuse(benchmark::State& state) {
    static Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 1}};
    static const auto permit = bulkhead.try_acquire();
    for (auto _ : counted(state)) {
        auto refused = bulkhead.try_acquire();
        benchmark::DoNotOptimize(refused);
    }
}

asio::awaitable<void> bulkhead_execute(benchmark::State& state) {
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 100}};
    auto operation = [](CallContext&) -> asio::awaitable<int> { co_return 1; };
    for (auto _ : counted(state)) {
        auto result = co_await bulkhead.execute(operation);
        benchmark::DoNotOptimize(result);
    }
}

void adaptive_limit_acquire_success(benchmark::State& state) {
    static AdaptiveLimit limit{AdaptiveLimitConfig{.initial_limit = 100}};
    for (auto _ : counted(state)) {
        auto permit = limit.try_acquire();
        if (permit) permit->success();
    }
}

void adaptive_limit_refuse(benchmark::State& state) {
    static AdaptiveLimit limit{AdaptiveLimitConfig{.initial_limit = 1, .max_limit = 1}};
    static const auto permit = limit.try_acquire();
    for (auto _ : counted(state)) {
        auto refused = limit.try_acquire();
        benchmark::DoNotOptimize(refused);
    }
}

asio::awaitable<void> adaptive_limit_execute(benchmark::State& state) {
    AdaptiveLimit limit{AdaptiveLimitConfig{.initial_limit = 100}};
    auto operation = [](CallContext&) -> asio::awaitable<int> { co_return 1; };
    for (auto _ : counted(state)) {
        auto result = co_await limit.execute(operation);
        benchmark::DoNotOptimize(result);
    }
}

// What the end of a call adds to a window, in one word and, the simple way, under a mutex.
void latency_window_record(benchmark::State& state) {
    static LatencyWindow<> window;
    for (auto _ : counted(state))
        if (window.record(0, 1ms, Crowding::busy, 1000) == LatencyWindow<>::Recorded::complete) window.begin(0);
}

void latency_window_under_a_mutex(benchmark::State& state) {
    static struct {
        std::mutex mutex;
        std::uint64_t epoch = 0, count = 0;
        Duration sum{};
    } window;
    for (auto _ : counted(state)) {
        const std::scoped_lock lock{window.mutex};
        if (window.epoch != 0) continue;
        window.sum += 1ms;
        if (++window.count == 1000) {
            window.count = 0;
            window.sum = {};
        }
        benchmark::DoNotOptimize(window.sum);
    }
}

// One permit goes round: somebody waits for it, it is given back, and the waiter runs.
void hand_over(benchmark::State& state, std::optional<Duration> max_wait) {
    asio::io_context context{1};
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 1, .max_waiting = 1, .max_wait = max_wait}};
    auto held = *bulkhead.try_acquire();
    for (auto _ : counted(state)) {
        bulkhead.async_acquire(
            asio::bind_executor(context, [&](Result<BulkheadPermit> permit) { held = std::move(*permit); }));
        held.give_back();
        context.poll();
        context.restart();
    }
}

// The same with a line of so many before it, all in one context.
void hand_over_in_a_line(benchmark::State& state, std::size_t length, std::optional<Duration> max_wait) {
    asio::io_context context{1};
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 1, .max_waiting = length + 1, .max_wait = max_wait}};
    auto held = *bulkhead.try_acquire();
    auto wait = [&] {
        bulkhead.async_acquire(
            asio::bind_executor(context, [&](Result<BulkheadPermit> permit) { held = std::move(*permit); }));
    };
    for (std::size_t i = 0; i < length; ++i) wait();
    for (auto _ : counted(state)) {
        wait();
        held.give_back();
        context.poll();
    }
}

void hand_over_in_a_long_line(benchmark::State& state, std::optional<Duration> max_wait) {
    hand_over_in_a_line(state, 1000, max_wait);
}

// What a hand-over cannot do without: a handler goes to its executor and runs.
void post(benchmark::State& state) {
    asio::io_context context{1};
    int runs = 0;
    for (auto _ : counted(state)) {
        asio::post(context, [&runs] { ++runs; });
        context.poll();
        context.restart();
    }
    benchmark::DoNotOptimize(runs);
}

void rate_limiter_try_acquire(benchmark::State& state) {
    static RateLimiter limiter{RateLimiterConfig{.permits = 1'000'000'000, .period = 1s, .burst = 1'000'000'000}};
    for (auto _ : counted(state)) {
        auto granted = limiter.try_acquire();
        benchmark::DoNotOptimize(granted);
    }
}

void rate_limiter_refuse(benchmark::State& state) {
    static RateLimiter limiter{RateLimiterConfig{.permits = 1, .period = 24h}};
    static const auto granted = limiter.try_acquire();
    for (auto _ : counted(state)) {
        auto refused = limiter.try_acquire();
        benchmark::DoNotOptimize(refused);
    }
}

// Joins a line of so many in one context, and leaves it again with its cancellation.
void rate_limiter_wait_and_cancel(benchmark::State& state, std::size_t length) {
    asio::io_context context{1};
    RateLimiter limiter{RateLimiterConfig{.permits = 1, .period = 1h, .max_waiting = length + 1}};
    benchmark::DoNotOptimize(limiter.try_acquire());
    for (std::size_t i = 0; i < length; ++i) limiter.async_acquire(asio::bind_executor(context, [](Result<void>) {}));
    asio::cancellation_signal cancel;
    for (auto _ : counted(state)) {
        limiter.async_acquire(
            asio::bind_executor(context, asio::bind_cancellation_slot(cancel.slot(), [](Result<void>) {})));
        cancel.emit(asio::cancellation_type::terminal);
        context.poll();
    }
}

// What a limiter cannot do without: a look at the clock.
void clock(benchmark::State& state) {
    for (auto _ : counted(state)) benchmark::DoNotOptimize(std::chrono::steady_clock::now());
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/mutex_pair", floors::mutex_pair);
    suite.add("bulkhead/acquire_release", bulkhead_acquire_release);
    suite.add("bulkhead/refuse", bulkhead_refuse);
    suite.add("floor/await_leaf", in_coroutine(floors::await_leaf), {.threads = {1}});
    suite.add("bulkhead/execute", in_coroutine(bulkhead_execute), {.threads = {1}});
    suite.add("adaptive_limit/acquire_success", adaptive_limit_acquire_success);
    suite.add("adaptive_limit/refuse", adaptive_limit_refuse);
    suite.add("adaptive_limit/execute", in_coroutine(adaptive_limit_execute), {.threads = {1}});
    suite.add("adaptive_limit/record_latency", latency_window_record);
    suite.add("adaptive_limit/record_latency_under_a_mutex", latency_window_under_a_mutex);
    suite.add("floor/post", post, {.threads = {1}});
    const auto add_hand_over = [&suite](const char* name, auto hand_over_once, std::optional<Duration> max_wait) {
        const auto row = [=](benchmark::State& state) { hand_over_once(state, max_wait); };
        suite.add(name, row, {.threads = {1}});
    };
    add_hand_over("bulkhead/hand_over", hand_over, std::nullopt);
    add_hand_over("bulkhead/hand_over_with_max_wait", hand_over, 1h);
    add_hand_over("bulkhead/hand_over_in_a_long_line", hand_over_in_a_long_line, std::nullopt);
    add_hand_over("bulkhead/hand_over_in_a_long_line_with_max_wait", hand_over_in_a_long_line, 1h);
    suite.add("floor/clock", clock);
    suite.add("rate_limiter/try_acquire", rate_limiter_try_acquire);
    suite.add("rate_limiter/refuse", rate_limiter_refuse);
    const auto wait_and_cancel = [](std::size_t length) {
        return [length](benchmark::State& state) { rate_limiter_wait_and_cancel(state, length); };
    };
    suite.add("rate_limiter/wait_and_cancel", wait_and_cancel(1000), {.threads = {1}});
    // All who wait in one context share one alarm, whatever their deadlines.
    for (const std::size_t length : {1U, 1'000U, 100'000U}) {
        suite.add("growth/bulkhead_waiters/" + std::to_string(length),
                  [length](benchmark::State& state) { hand_over_in_a_line(state, length, 1h); }, {.threads = {1}});
        suite.add("growth/rate_limiter_waiters/" + std::to_string(length), wait_and_cancel(length), {.threads = {1}});
    }
}

} // namespace velostream::bench
