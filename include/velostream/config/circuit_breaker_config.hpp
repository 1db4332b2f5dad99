// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// When a circuit opens, how long it stays open, and what closes it again.
///
/// It opens when, among the last `sliding_window_size` outcomes (or those of the last `sliding_window_duration`, if
/// that is set) and with at least `minimum_throughput` of them seen, failures ≥ `failure_threshold`, or failures /
/// calls ≥ `failure_rate_threshold` if set, or slow / calls ≥ `slow_call_rate_threshold` if `slow_call_threshold` is
/// set.
///
/// It stays open for `timeout`; for longer if it opens again and again (`timeout_multiplier`), if jitter is asked for
/// (`timeout_jitter`), or if the error that opened it says so (`Error::retry_after`): that is the least it waits.
struct CircuitBreakerConfig {
    /// Failures in the window that open the circuit. Legal: 1 to `sliding_window_size`; with a window of time, to
    /// 1 000 000 000, as for all minimums. Default 5.
    std::size_t failure_threshold = 5;

    /// Successful probes that close it; also the most probes that are admitted. Legal: ≥ 1, ≤ 65 535. Default 3.
    std::size_t success_threshold = 3;

    /// Wait in the open state before the first probe, the first time. Legal: > 0. Default 60 s.
    Duration timeout = std::chrono::seconds{60};

    /// Outcomes that are judged, where no `sliding_window_duration` is set. Legal: 1 to 1 000 000. Default 100.
    std::size_t sliding_window_size = 100;

    /// Outcomes that must have been seen before anything is judged. Legal: 1 to `sliding_window_size`.
    /// Unset: 1 for the failure count, 10 (or the window's size where that is smaller) for the rates.
    std::optional<std::size_t> minimum_throughput = std::nullopt;

    /// A call that takes this long or longer is slow, successful or not: to the nanosecond, as the machine's clock
    /// tells it. That is read when the call begins, about 25 ns; at its end only if the coarse clock, about 5 ns,
    /// cannot tell which it was. Legal: > 0. Unset: no call is slow, and no clock is read.
    std::optional<Duration> slow_call_threshold = std::nullopt;

    /// The fraction of slow calls that opens the circuit. Legal: 0 < x ≤ 1. Default 0.5.
    double slow_call_rate_threshold = 0.5;

    /// Outcomes that must have been seen before slow calls are judged. Set it where slow calls need more evidence, or
    /// less, than failures. Legal: 1 to `sliding_window_size`. Unset: as for the failure rate.
    std::optional<std::size_t> slow_call_minimum_throughput = std::nullopt;

    /// The fraction of failures that opens the circuit, beside the count. Legal: 0 < x ≤ 1. Unset: only the count
    /// rules. With high traffic set this, and a `failure_threshold` as large as the window.
    std::optional<double> failure_rate_threshold = std::nullopt;

    /// A half-open state with a probe out for longer opens again. Legal: > 0. Unset: the larger of `timeout` and 60 s.
    std::optional<Duration> max_half_open_duration = std::nullopt;

    /// The open wait grows by this factor each time that the circuit opens again without having been closed:
    /// `timeout × timeout_multiplier^n`. Set it for a service that needs long, and must not be asked too often
    /// meanwhile. Legal: ≥ 1, finite. Default 1: every wait is `timeout`.
    double timeout_multiplier = 1.0;

    /// The longest that the wait grows to. Legal: ≥ `timeout`. Unset: ten times `timeout`.
    std::optional<Duration> max_timeout = std::nullopt;

    /// Up to this fraction of a wait is added to it at random, so that the instances of a program do not probe at the
    /// same moment: never less than the wait, and beyond `max_timeout` too. Legal: 0 ≤ x ≤ 1. Default 0.
    double timeout_jitter = 0.0;

    /// Judges the outcomes of the last while instead of a number of them. Set it where traffic varies: a hundred calls
    /// may be a second by day and an hour by night. Legal: at least 1 ms for each bucket. Unset: a number of outcomes.
    std::optional<Duration> sliding_window_duration = std::nullopt;

    /// Buckets into which that time is divided, all of one length: the window begins with the oldest, and so covers
    /// between (buckets − 1) / buckets and the whole of `sliding_window_duration`. Buckets of 100 ms and more begin and
    /// end by the coarse clock: late by a tick of the kernel or two, 20 ms as a rule at most (see
    /// `SteadyTime::coarse_step`). Shorter ones do so by the exact clock, at 20 ns more for each outcome. Legal: 1 to
    /// 1000. Default 10.
    std::size_t sliding_window_buckets = 10;
};

} // namespace velostream
