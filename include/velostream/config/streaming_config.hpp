// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "velostream/config/circuit_breaker_config.hpp"
#include "velostream/config/connection_pool_config.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/config/kafka_pool_config.hpp"
#include "velostream/config/resource_limits_config.hpp"
#include "velostream/config/retry_config.hpp"

namespace velostream {

/// Everything that a program configures in one place. Every part is optional and has defaults of its own.
struct StreamingConfig {
    /// The memory limit in MiB. Legal: ≥ 1 and representable in bytes. Unset: nothing is refused.
    std::optional<std::uint64_t> max_memory_mb = std::nullopt;

    /// Connections over all pools together. Legal: ≥ 1. Unset: each pool has only its own limit.
    std::optional<std::uint64_t> max_connections = std::nullopt;

    std::optional<ResourceLimitsConfig> resource_limits = std::nullopt;
    std::optional<CircuitBreakerConfig> circuit_breaker = std::nullopt;
    std::optional<RetryConfig> retry_policy = std::nullopt;
    std::optional<DeadLetterQueueConfig> dead_letter_queue = std::nullopt;
    std::optional<ConnectionPoolConfig> connection_pool = std::nullopt;
    std::optional<KafkaPoolConfig> kafka_pool = std::nullopt;

    /// Decisions of the component, at debug level, for every component that was given this config's observer.
    bool debug_resource_management = false;
    bool debug_circuit_breakers = false;
    bool debug_retries = false;

    /// The named events, at info level.
    bool log_resource_allocations = false;
    bool log_circuit_breaker_state_changes = false;
    bool log_retry_attempts = false;

    /// The limits in force: those given, or the defaults.
    ResourceLimitsConfig effective_limits() const { return resource_limits.value_or(ResourceLimitsConfig{}); }

    /// The default pool in force: `max_size` falls back to `resource_limits.connection_pool_size`.
    ConnectionPoolConfig effective_connection_pool() const {
        auto pool = connection_pool.value_or(ConnectionPoolConfig{});
        if (!pool.max_size.is_chosen())
            pool.max_size = Defaulted<std::size_t>::by_default(effective_limits().connection_pool_size);
        return pool;
    }
};

} // namespace velostream
