// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "samples.hpp"
#include "velostream/config/retry_config.hpp"
#include "velostream/retry_executor.hpp"

namespace guide {

using namespace velostream;
using namespace std::chrono_literals;

// Retry Strategies: Exponential Backoff

RetryConfig exponential_backoff() {
    const RetryConfig retry_config{
        .max_retries = 3,
        .backoff_strategy =
            BackoffStrategy::ExponentialBackoff{
                .initial_delay = 100ms,
                .max_delay = 30s,
                .multiplier = 2.0,
            },

        // Retry conditions
        .retry_on =
            {
                ErrorType::network,
                ErrorType::timeout,
                ErrorType::service_unavailable,
            },

        // Don't retry these
        .no_retry_on =
            {
                ErrorType::authentication,
                ErrorType::authorization,
                ErrorType::bad_request,
            },
    };
    return retry_config;
}

// Retry Strategies: Fixed Interval

RetryConfig fixed_interval() {
    const RetryConfig retry_config{
        .max_retries = 5,
        .backoff_strategy =
            BackoffStrategy::FixedInterval{
                .interval = 1s,
            },
    };
    return retry_config;
}

// Retry Strategies: Linear Backoff

RetryConfig linear_backoff() {
    const RetryConfig retry_config{
        .max_retries = 4,
        .backoff_strategy =
            BackoffStrategy::LinearBackoff{
                .initial_delay = 100ms,
                .increment = 100ms,
            },
    };
    return retry_config;
}

// Retry Implementation

asio::awaitable<Result<void>> retry_implementation(const RetryConfig& retry_config, kafka::Producer& kafka_producer,
                                                   const kafka::Record& record) {
    // Create retry executor
    RetryExecutor retry_executor{retry_config};

    // Execute with retry logic
    auto operation = [&] {
        // Your operation that might fail
        return kafka_producer.send(record);
    };
    const auto result = co_await retry_executor.execute_with_retry(operation);
    if (!result) co_return result.error();
    co_return Result<void>{};
}

} // namespace guide
