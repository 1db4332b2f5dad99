// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "velostream/config/adaptive_limit_config.hpp"
#include "velostream/config/bulkhead_config.hpp"
#include "velostream/config/flood_guard_config.hpp"
#include "velostream/config/hedge_config.hpp"
#include "velostream/config/keyed_circuit_breakers_config.hpp"
#include "velostream/config/rate_limiter_config.hpp"
#include "velostream/config/reprocess_config.hpp"
#include "velostream/config/spool_config.hpp"
#include "velostream/config/streaming_config.hpp"

namespace velostream {

/// One field that cannot be used as it is.
struct ConfigProblem {
    std::string field; ///< its name, with the path inside a `StreamingConfig`, e.g. `circuit_breaker.failure_threshold`
    std::string value; ///< what was given
    std::string legal; ///< what would be legal

    /// `circuit_breaker.timeout = 0 ns: must be > 0`
    std::string message() const;
};

/// All problems of a config, in the order of its fields; empty if it is usable. Defaults are always usable.
std::vector<ConfigProblem> validate(const ResourceLimitsConfig& config);
std::vector<ConfigProblem> validate(const ConnectionPoolConfig& config);
std::vector<ConfigProblem> validate(const KafkaPoolConfig& config);
std::vector<ConfigProblem> validate(const CircuitBreakerConfig& config);
std::vector<ConfigProblem> validate(const RetryBudgetConfig& config);
std::vector<ConfigProblem> validate(const KeyedCircuitBreakersConfig& config);
std::vector<ConfigProblem> validate(const RetryConfig& config);
std::vector<ConfigProblem> validate(const HedgeConfig& config);
std::vector<ConfigProblem> validate(const DeadLetterQueueConfig& config);
std::vector<ConfigProblem> validate(const BulkheadConfig& config);
std::vector<ConfigProblem> validate(const AdaptiveLimitConfig& config);
std::vector<ConfigProblem> validate(const Rate& rate);
std::vector<ConfigProblem> validate(const RateLimiterConfig& config);
std::vector<ConfigProblem> validate(const ReprocessConfig& config);
std::vector<ConfigProblem> validate(const SpoolConfig& config);
std::vector<ConfigProblem> validate(const FloodGuardConfig& config);
std::vector<ConfigProblem> validate(const StreamingConfig& config);

/// Throws `std::invalid_argument` that lists every problem, one a line; does nothing if there is none.
void throw_if_any(const std::vector<ConfigProblem>& problems);

/// `config` itself if it is usable, else throws as `throw_if_any`. For constructors.
template <class Config>
const Config& validated(const Config& config) {
    throw_if_any(validate(config));
    return config;
}

} // namespace velostream
