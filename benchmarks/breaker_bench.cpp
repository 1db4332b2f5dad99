// SPDX-License-Identifier: Apache-2.0
// What a circuit breaker costs a call: the permit and the outcome of one that is closed, the refusal of one that is
// open.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>

#include "support/allocations.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

// One breaker for all threads of a row, as the floor shares its ring. One outcome in 128 is a failure, as there: never
// enough to open.
void permit_record_closed(benchmark::State& state) {
    static CircuitBreaker breaker{CircuitBreakerConfig{.failure_threshold = 100, .sliding_window_size = 100}};
    const Error error = Errc::connect_failed;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        auto permit = breaker.try_acquire();
        if (++call % 128 == 0)
            permit->failure(error);
        else
            permit->success();
    }
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
    const Error error = Errc::connect_failed;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        auto permit = breaker.try_acquire();
        if (++call % 10 < 4)
            permit->failure(error);
        else
            permit->success();
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

} // namespace

void declare(Suite& suite) {
    suite.add("floor/mutex_ring_100", floors::mutex_ring_100);
    suite.add("breaker/permit_record_closed", permit_record_closed);
    suite.add("breaker/permit_record_failing", permit_record_failing);
    suite.add("breaker/permit_record_slow_rule", permit_record_slow_rule);
    suite.add("floor/atomic_load", floors::atomic_load);
    suite.add("breaker/reject_open", reject_open);
}

} // namespace velostream::bench
