// SPDX-License-Identifier: Apache-2.0
// What policies cost a call that succeeds at once.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/pipeline.hpp"

namespace velostream::bench {

namespace {

constexpr auto ready = [](CallContext&) -> asio::awaitable<int> { co_return 1; };

// What Asio itself takes for a call with one frame around it, and no policy in it.
asio::awaitable<Result<int>> in_a_frame(CallContext& call) {
    co_return co_await ready(call);
}
asio::awaitable<void> no_policy(benchmark::State& state) {
    CallContext call;
    for (auto _ : counted(state)) {
        auto result = co_await in_a_frame(call);
        benchmark::DoNotOptimize(result);
    }
}

asio::awaitable<void> success_first_try(benchmark::State& state) {
    RetryExecutor retry{RetryConfig{}};
    for (auto _ : counted(state)) {
        auto result = co_await retry.execute_with_retry(ready);
        benchmark::DoNotOptimize(result);
    }
}

asio::awaitable<void> success_with_budget(benchmark::State& state) {
    RetryExecutor retry{RetryConfig{.budget = RetryBudgetConfig{}}};
    for (auto _ : counted(state)) {
        auto result = co_await retry.execute_with_retry(ready);
        benchmark::DoNotOptimize(result);
    }
}

// One budget for all threads of a row. Leave for a retry and its return, with what there is to pay for it in every
// bucket of the window.
void budget_withdraw(benchmark::State& state) {
    static const RetryBudget budget{RetryBudgetConfig{.reserve_per_second = 100}};
    const SteadyTime time;
    const auto now = time.now();
    for (int second = 0; second < 10; ++second) budget.record_call(now - std::chrono::seconds{second});
    for (auto _ : counted(state)) {
        auto withdrawal = budget.try_withdraw(now);
        benchmark::DoNotOptimize(withdrawal);
    }
}

// A call that a budget takes note of, without the call.
void budget_call(benchmark::State& state) {
    static const RetryBudget budget;
    const SteadyTime time;
    for (auto _ : counted(state)) budget.record_call(time.coarse_now());
}

asio::awaitable<void> retry_and_breaker(benchmark::State& state) {
    RetryExecutor retry{RetryConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
    Pipeline guarded{retry, breaker};
    for (auto _ : counted(state)) {
        auto result = co_await guarded.execute(ready);
        benchmark::DoNotOptimize(result);
    }
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/await_leaf", in_coroutine(floors::await_leaf), {.threads = {1}});
    suite.add("retry/frame_without_policy", in_coroutine(no_policy), {.threads = {1}});
    suite.add("retry/success_first_try", in_coroutine(success_first_try), {.threads = {1}});
    suite.add("retry/success_with_budget", in_coroutine(success_with_budget), {.threads = {1}});
    suite.add("retry/budget_call", budget_call);
    suite.add("retry/budget_withdraw", budget_withdraw);
    suite.add("pipeline/retry_breaker", in_coroutine(retry_and_breaker), {.threads = {1}});
}

} // namespace velostream::bench
