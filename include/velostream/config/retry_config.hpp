// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "velostream/base/error_type.hpp"
#include "velostream/base/units.hpp"
#include "velostream/config/retry_budget_config.hpp"

namespace velostream {

/// Delay before retry i (from 0): min(`max_delay`, `initial_delay` × `multiplier`^i). With the defaults 100, 200, 400
/// ms.
struct ExponentialBackoff {
    Duration initial_delay = std::chrono::milliseconds{100}; ///< Legal: > 0.
    Duration max_delay = std::chrono::seconds{30};           ///< Legal: > 0. Caps the first delay too.
    double multiplier = 2.0;                                 ///< Legal: ≥ 1, finite.
};

/// The same delay before every retry.
struct FixedInterval {
    Duration interval = std::chrono::seconds{1}; ///< Legal: > 0.
};

/// Delay before retry i (from 0): `initial_delay` + i × `increment`, at most `max_delay` if set.
struct LinearBackoff {
    Duration initial_delay = std::chrono::milliseconds{100}; ///< Legal: > 0.
    Duration increment = std::chrono::milliseconds{100};     ///< Legal: ≥ 0.
    std::optional<Duration> max_delay = std::nullopt;        ///< Legal: > 0. Unset: no cap.
};

/// One of the three strategies. `BackoffStrategy::FixedInterval{…}` and `FixedInterval{…}` mean the same.
struct BackoffStrategy : std::variant<ExponentialBackoff, FixedInterval, LinearBackoff> {
    using ExponentialBackoff = velostream::ExponentialBackoff;
    using FixedInterval = velostream::FixedInterval;
    using LinearBackoff = velostream::LinearBackoff;
    using variant::variant;
};

/// How a computed delay d is spread, so that many callers do not come back at the same moment. No kind exceeds the
/// strategy's cap.
enum class Jitter : std::uint8_t {
    none,         ///< d
    full,         ///< uniform in (0, d]
    equal,        ///< d/2 + uniform in [0, d/2]
    decorrelated, ///< uniform in [first delay, 3 × the delay before], capped
    proportional, ///< d ± 25 %, capped
};

/// How often, how patiently and after which errors a call is tried again.
struct RetryConfig {
    /// Extra tries after the first: 3 means at most four calls. Legal: ≥ 0. Default 3.
    std::uint32_t max_retries = 3;

    /// The delays. Default exponential, 100 ms doubling to at most 30 s.
    BackoffStrategy backoff_strategy = ExponentialBackoff{};

    /// If not empty, only these types are retried. Empty: network, timeout and service_unavailable are.
    std::vector<ErrorType> retry_on = {};

    /// Never retried, whatever `retry_on` says.
    std::vector<ErrorType> no_retry_on = {};

    /// Default none: delays are exactly those of the strategy.
    Jitter jitter = Jitter::none;

    /// The deadline of each try by itself. Legal: > 0. Unset: only the call's own deadline bounds it. Comes up to 8 ms
    /// late, never early, as every deadline by the machine's clock.
    std::optional<Duration> attempt_timeout = std::nullopt;

    /// How many of all calls may be tried again. Unset: `max_retries` of each call is the only limit. Set it where many
    /// calls fail at the same time, as when a service is away; several executors can share a `RetryBudget` instead.
    std::optional<RetryBudgetConfig> budget = std::nullopt;
};

} // namespace velostream
