// SPDX-License-Identifier: Apache-2.0
// What policies cost a call that succeeds at once.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

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
    suite.add("pipeline/retry_breaker", in_coroutine(retry_and_breaker), {.threads = {1}});
}

} // namespace velostream::bench
