// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "samples.hpp"
#include "velostream/config/streaming_config.hpp"

namespace guide {

using namespace velostream;
using namespace std::chrono_literals;

// High Availability Setup

StreamingConfig high_availability_setup() {
    const StreamingConfig production_config{
        // Generous resource limits
        .max_memory_mb = 16'384, // 16GB
        .max_connections = 2'000,

        // Resource management
        .resource_limits =
            ResourceLimitsConfig{
                .max_concurrent_queries = 500,
                .max_window_buffer_size = 10'000'000,
                .max_aggregation_groups = 1'000'000,
                .connection_pool_size = 50,
                .memory_pressure_threshold = 0.75,
            },

        // Circuit breakers for external services
        .circuit_breaker =
            CircuitBreakerConfig{
                .failure_threshold = 10,
                .success_threshold = 5,
                .timeout = 120s,
                .sliding_window_size = 200,
                .minimum_throughput = 20,
            },

        // Aggressive retry logic
        .retry_policy =
            RetryConfig{
                .max_retries = 5,
                .backoff_strategy =
                    BackoffStrategy::ExponentialBackoff{
                        .initial_delay = 50ms,
                        .max_delay = 60s,
                        .multiplier = 2.0,
                    },
            },

        // Dead letter queue
        .dead_letter_queue =
            DeadLetterQueueConfig{
                .topic = "production-dlq",
                .max_retries = 3,
                .retry_delay = 5min,
                .retention_period = std::chrono::days{30},
            },
    };
    return production_config;
}

// Development Configuration

StreamingConfig development_configuration() {
    const StreamingConfig dev_config{
        // Conservative limits for development
        .max_memory_mb = 1'024, // 1GB
        .max_connections = 100,

        // Relaxed circuit breaker for testing
        .circuit_breaker =
            CircuitBreakerConfig{
                .failure_threshold = 20, // More tolerant
                .success_threshold = 2,
                .timeout = 30s,
            },

        // Immediate retry for faster feedback
        .retry_policy =
            RetryConfig{
                .max_retries = 2,
                .backoff_strategy =
                    BackoffStrategy::FixedInterval{
                        .interval = 100ms,
                    },
            },
    };
    return dev_config;
}

} // namespace guide
