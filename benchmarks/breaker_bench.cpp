// SPDX-License-Identifier: Apache-2.0
// What a circuit breaker costs a call: the permit and the outcome of one that is closed, the refusal of one that is
// open; and who waits for that one.
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "support/allocations.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

// Which calls of a row fail, by their number.
constexpr auto hardly_any = [](std::uint32_t call) { return call % 128 == 0; };
constexpr auto many = [](std::uint32_t call) { return call % 10 < 4; };

template <class Breaker, class Fails>
void record(benchmark::State& state, Breaker& breaker, Fails fails) {
    const Error error = Errc::connect_failed;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        auto permit = breaker.try_acquire();
        if (fails(++call))
            permit->failure(error);
        else
            permit->success();
    }
}

// One breaker for all threads of a row, as the floor shares its ring. One outcome in 128 is a failure, as there: never
// enough to open.
void permit_record_closed(benchmark::State& state) {
    static CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 100, .sliding_window_size = 100}};
    record(state, breaker, hardly_any);
}

// The same with slow calls watched, which needs the time twice.
void permit_record_slow_rule(benchmark::State& state) {
    static CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 100, .slow_call_threshold = 5s}};
    for (auto _ : counted(state)) {
        auto permit = breaker.try_acquire();
        permit->success();
    }
}

// A service that fails all the time under a circuit that is not allowed to open: every outcome is looked at.
void permit_record_failing(benchmark::State& state) {
    static CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 100, .minimum_throughput = 100}};
    record(state, breaker, many);
}

// The same in plain memory, for one thread.
void permit_record_confined(benchmark::State& state) {
    static ConfinedCircuitBreaker<> breaker{CircuitBreakerConfig{.failure_threshold = 100, .sliding_window_size = 100}};
    record(state, breaker, hardly_any);
}

// The same calls as `permit_record_closed`, judged by the last ten seconds.
void permit_record_time_window(benchmark::State& state) {
    static CircuitBreaker breaker{
        CircuitBreakerConfig{.failure_threshold = 1'000'000'000, .sliding_window_duration = 10s}};
    record(state, breaker, hardly_any);
}

void permit_record_time_window_failing(benchmark::State& state) {
    static CircuitBreaker breaker{
        CircuitBreakerConfig{.failure_threshold = 1'000'000'000, .sliding_window_duration = 10s}};
    record(state, breaker, many);
}

// Two other shapes of a window of time, for comparison: one lock for ten buckets and their sum; and counters for each
// thread and bucket, all of which a call sums up as long as there are failures.
void time_window_mutex(benchmark::State& state) {
    struct Bucket {
        std::uint64_t calls = 0, failures = 0;
    };
    struct Window {
        std::mutex mutex;
        std::array<Bucket, 10> buckets;
        Bucket sum;
        std::int64_t tick = 0;
    };
    static Window window;
    const SteadyTime time;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        const auto tick = time.coarse_now().time_since_epoch() / 1s;
        const std::lock_guard lock{window.mutex};
        for (; window.tick < tick; ++window.tick) {
            auto& expired = window.buckets[static_cast<std::size_t>((window.tick + 1) % 10)];
            window.sum.calls -= expired.calls;
            window.sum.failures -= expired.failures;
            expired = {};
            if (tick - window.tick > 20) window.tick = tick - 11;
        }
        auto& bucket = window.buckets[static_cast<std::size_t>(tick % 10)];
        const bool failed = ++call % 128 == 0;
        ++bucket.calls;
        ++window.sum.calls;
        bucket.failures += failed;
        window.sum.failures += failed;
        benchmark::DoNotOptimize(window.sum.failures * 2 >= window.sum.calls);
    }
}

void time_window_summed(benchmark::State& state) {
    struct alignas(64) Bucket {
        std::atomic<std::uint64_t> calls{0}, failures{0};
    };
    static std::array<std::array<Bucket, 10>, thread_seats> shards;
    const SteadyTime time;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        const auto tick = static_cast<std::size_t>(time.coarse_now().time_since_epoch() / 1s);
        auto& bucket = shards[thread_seat()][tick % 10];
        bucket.calls.fetch_add(1, std::memory_order_relaxed);
        if (++call % 128 == 0) bucket.failures.fetch_add(1, std::memory_order_relaxed);
        std::uint64_t calls = 0, failures = 0;
        for (const auto& shard : shards)
            for (const auto& each : shard) {
                calls += each.calls.load(std::memory_order_relaxed);
                failures += each.failures.load(std::memory_order_relaxed);
            }
        benchmark::DoNotOptimize(failures * 2 >= calls);
    }
}

void reject_open(benchmark::State& state) {
    static CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 1, .timeout = 24h}};
    if (state.thread_index() == 0 && breaker.state() == CircuitState::closed)
        breaker.try_acquire()->failure(Errc::connect_failed);
    for (auto _ : counted(state)) {
        auto refused = breaker.try_acquire();
        benchmark::DoNotOptimize(refused);
    }
}

// Who comes to an open circuit for which so many wait already, in one context, and leaves with its cancellation.
void ready_and_cancel(benchmark::State& state, std::size_t waiting) {
    asio::io_context context{1};
    CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 1, .timeout = 1h}};
    breaker.try_acquire()->failure(Errc::connect_failed);
    const auto told = [](boost::system::error_code) {};
    for (std::size_t i = 0; i < waiting; ++i) breaker.async_ready(asio::bind_executor(context, told));
    asio::cancellation_signal cancel;
    for (auto _ : counted(state)) {
        breaker.async_ready(asio::bind_executor(context, asio::bind_cancellation_slot(cancel.slot(), told)));
        cancel.emit(asio::cancellation_type::terminal);
        context.poll();
    }
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/mutex_ring_100", floors::mutex_ring_100);
    suite.add("breaker/permit_record_closed", permit_record_closed);
    suite.add("breaker/permit_record_failing", permit_record_failing);
    suite.add("breaker/permit_record_slow_rule", permit_record_slow_rule);
    suite.add("breaker/permit_record_confined", permit_record_confined, {.threads = {1}});
    suite.add("shape/time_window_mutex", time_window_mutex);
    suite.add("shape/time_window_summed", time_window_summed);
    suite.add("breaker/permit_record_time_window", permit_record_time_window);
    suite.add("breaker/permit_record_time_window_failing", permit_record_time_window_failing);
    suite.add("floor/atomic_load", floors::atomic_load);
    suite.add("breaker/reject_open", reject_open);
    for (const std::size_t waiting : {1U, 1'000U, 100'000U}) {
        suite.add("growth/circuit_waiters/" + std::to_string(waiting),
                  [waiting](benchmark::State& state) { ready_and_cancel(state, waiting); }, {.threads = {1}});
    }
}

} // namespace velostream::bench
