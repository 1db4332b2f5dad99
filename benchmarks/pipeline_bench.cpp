// SPDX-License-Identifier: Apache-2.0
// What policies cost a call that succeeds at once.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/memory_limit.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr auto plain = []() -> asio::awaitable<int> { co_return 1; };
constexpr auto with_context = [](CallContext&) -> asio::awaitable<int> { co_return 1; };
constexpr auto with_slot = [](CallContext& call) -> asio::awaitable<int> {
    auto slot = call.cancellation_slot();
    benchmark::DoNotOptimize(slot);
    co_return 1;
};

// Calls `operation` under the policies that `make(execute)` has around it.
template <class Policy, class Operation>
asio::awaitable<void> calls(benchmark::State& state, Policy& policy, Operation operation) {
    Pipeline guarded{policy};
    for (auto _ : counted(state)) {
        auto call = guarded.execute(operation);
        auto result = co_await std::move(call);
        benchmark::DoNotOptimize(result);
    }
}

asio::awaitable<void> timeout_of_plain_operation(benchmark::State& state) {
    Timeout timeout{1s};
    co_await calls(state, timeout, plain);
}

// It bounds itself by the deadline of its context.
asio::awaitable<void> timeout_of_context_operation(benchmark::State& state) {
    Timeout timeout{1s};
    co_await calls(state, timeout, with_context);
}

// It awaits what its context's slot cancels: a deadline is armed and disarmed.
asio::awaitable<void> timeout_armed_and_disarmed(benchmark::State& state) {
    Timeout timeout{1s};
    co_await calls(state, timeout, with_slot);
}

asio::awaitable<void> five_policies(benchmark::State& state) {
    const MemoryAccount process{"process", 1 << 30};
    Timeout timeout{1s};
    RetryExecutor retry{RetryConfig{.budget = RetryBudgetConfig{}}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
    Bulkhead bulkhead{BulkheadConfig{}};
    MemoryLimit memory{process.child("query").child("operator"), 4096};
    Pipeline guarded{timeout, retry, breaker, bulkhead, memory};
    for (auto _ : counted(state)) {
        auto call = guarded.execute(with_context);
        auto result = co_await std::move(call);
        benchmark::DoNotOptimize(result);
    }
}

asio::awaitable<void> hedge_primary(benchmark::State& state) {
    Hedge hedge{HedgeConfig{.delay = 1s}};
    co_await calls(state, hedge, idempotent(plain));
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}};
    suite.add("floor/await_leaf", in_coroutine(floors::await_leaf), one);
    suite.add("pipeline/five_policies", in_coroutine(five_policies), one);
    suite.add("pipeline/timeout_of_context_operation", in_coroutine(timeout_of_context_operation), one);
    suite.add("pipeline/timeout_armed_and_disarmed", in_coroutine(timeout_armed_and_disarmed), one);
    suite.add("floor/co_spawn_with_slot", in_coroutine(floors::co_spawn_with_slot), one);
    suite.add("pipeline/timeout_of_plain_operation", in_coroutine(timeout_of_plain_operation), one);
    suite.add("hedge/primary_path", in_coroutine(hedge_primary), one);
}

} // namespace velostream::bench
