// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// When a circuit opens, how long it stays open, and what closes it again.
///
/// It opens when, among the last `sliding_window_size` outcomes and with at least `minimum_throughput` of them seen,
/// failures ≥ `failure_threshold`, or failures / calls ≥ `failure_rate_threshold` if set, or slow / calls ≥
/// `slow_call_rate_threshold` if `slow_call_threshold` is set.
struct CircuitBreakerConfig {
    /// Failures in the window that open the circuit. Legal: 1 to `sliding_window_size`. Default 5.
    std::size_t failure_threshold = 5;

    /// Successful probes that close it; also the most probes that are admitted. Legal: ≥ 1, ≤ 65 535. Default 3.
    std::size_t success_threshold = 3;

    /// Wait in the open state before the first probe. Legal: > 0. Default 60 s.
    Duration timeout = std::chrono::seconds{60};

    /// Outcomes that are judged. Legal: 1 to 1 000 000. Default 100.
    std::size_t sliding_window_size = 100;

    /// Outcomes that must have been seen before anything is judged. Legal: 1 to `sliding_window_size`.
    /// Unset: 1 for the failure count, 10 (or the window's size where that is smaller) for the rates.
    std::optional<std::size_t> minimum_throughput = std::nullopt;

    /// A call that takes this long or longer is slow, successful or not. Legal: > 0. Unset: no call is slow, and no
    /// clock is read.
    std::optional<Duration> slow_call_threshold = std::nullopt;

    /// The fraction of slow calls that opens the circuit. Legal: 0 < x ≤ 1. Default 0.5.
    double slow_call_rate_threshold = 0.5;

    /// The fraction of failures that opens the circuit, beside the count. Legal: 0 < x ≤ 1. Unset: only the count
    /// rules. With high traffic set this, and a `failure_threshold` as large as the window.
    std::optional<double> failure_rate_threshold = std::nullopt;

    /// A half-open state with a probe out for longer opens again. Legal: > 0. Unset: the larger of `timeout` and 60 s.
    std::optional<Duration> max_half_open_duration = std::nullopt;
};

} // namespace velostream
