// SPDX-License-Identifier: Apache-2.0
// Refused: all policies of one pipeline must run by the same kind of time: give each the same TimeSource
#include "velostream/pipeline.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {

asio::awaitable<Result<int>> deadline_of_one_time_for_a_policy_of_another() {
    const testing::ManualTime time;
    RetryExecutor retry{RetryConfig{}, nullptr, time};
#ifdef VELOSTREAM_REFUSED
    CircuitBreaker breaker{CircuitBreakerConfig{}};
#else
    CircuitBreaker breaker{CircuitBreakerConfig{}, nullptr, time};
#endif
    const Pipeline guarded{retry, breaker};
    auto operation = []() -> asio::awaitable<int> { co_return 7; };
    auto call = guarded.execute(operation);
    co_return co_await std::move(call);
}

} // namespace velostream
