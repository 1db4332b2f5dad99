// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <iostream>
#include <string>

#include "samples.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/config/streaming_config.hpp"

namespace guide {

using namespace velostream;
using namespace std::chrono_literals;

// Configuration

StreamingConfig circuit_breaker_configuration() {
    const StreamingConfig config{
        .circuit_breaker =
            CircuitBreakerConfig{
                .failure_threshold = 5, // Open after 5 failures
                .success_threshold = 3, // Close after 3 successes
                .timeout = 60s,         // 60s timeout in open state

                // Advanced configuration
                .sliding_window_size = 100,      // Track last 100 calls
                .minimum_throughput = 10,        // Min calls before opening
                .slow_call_threshold = 5s,       // 5s = slow call
                .slow_call_rate_threshold = 0.5, // 50% slow calls = unhealthy
            },
    };
    return config;
}

// Programming API

namespace {

asio::awaitable<std::string> database_query() {
    co_return "42 rows";
}

} // namespace

asio::awaitable<void> programming_api(const CircuitBreakerConfig& circuit_config) {
    // Create circuit breaker
    CircuitBreaker circuit_breaker{circuit_config};

    // Protect operation with circuit breaker
    auto operation = []() -> asio::awaitable<std::string> {
        // Your risky operation here
        co_return co_await database_query();
    };
    const auto result = co_await circuit_breaker.execute(operation);

    if (result) {
        std::cout << "Operation succeeded: " << *result << '\n';
    } else if (result.error() == CircuitBreakerError::open) {
        std::cout << "Circuit breaker is open - failing fast\n";
    } else if (result.error() == CircuitBreakerError::operation_failed) {
        std::cout << "Operation failed: " << result.error() << '\n';
    }
}

} // namespace guide
