// SPDX-License-Identifier: Apache-2.0
#include "velostream/config/presets.hpp"

#include <chrono>

namespace velostream::presets {

using namespace std::chrono_literals;

StreamingConfig production() {
    return {
        .max_memory_mb = 16'384,
        .max_connections = 2'000,
        .resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 500,
                                                .max_window_buffer_size = 10'000'000,
                                                .max_aggregation_groups = 1'000'000,
                                                .connection_pool_size = 50,
                                                .memory_pressure_threshold = 0.75},
        .circuit_breaker = CircuitBreakerConfig{.failure_threshold = 10,
                                                .success_threshold = 5,
                                                .timeout = 120s,
                                                .sliding_window_size = 200,
                                                .minimum_throughput = 20},
        .retry_policy = RetryConfig{.max_retries = 5,
                                    .backoff_strategy =
                                        ExponentialBackoff{.initial_delay = 50ms, .max_delay = 60s, .multiplier = 2.0}},
        .dead_letter_queue = DeadLetterQueueConfig{
            .topic = "production-dlq", .max_retries = 3, .retry_delay = 5min, .retention_period = 24h * 30}};
}

StreamingConfig development() {
    return {.max_memory_mb = 1'024,
            .max_connections = 100,
            .circuit_breaker = CircuitBreakerConfig{.failure_threshold = 20, .success_threshold = 2, .timeout = 30s},
            .retry_policy = RetryConfig{.max_retries = 2, .backoff_strategy = FixedInterval{.interval = 100ms}}};
}

StreamingConfig debug() {
    return {.debug_resource_management = true,
            .debug_circuit_breakers = true,
            .debug_retries = true,
            .log_resource_allocations = true,
            .log_circuit_breaker_state_changes = true,
            .log_retry_attempts = true};
}

} // namespace velostream::presets
