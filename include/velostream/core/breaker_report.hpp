// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "velostream/base/error.hpp"
#include "velostream/core/breaker_types.hpp"

namespace velostream {

/// A circuit breaker at one moment.
struct CircuitBreakerStats {
    /// The state in which the next call would find it.
    CircuitState state = CircuitState::closed;
    /// Failures in the window.
    std::size_t failure_count = 0;
    /// The fraction of calls in the window that did not fail, 0-1; 1 without calls.
    double success_rate = 1.0;
    /// Slow calls in the window; always 0 if the slow rule is off.
    std::size_t slow_count = 0;
    /// Calls in the window, and how many it holds at most (0: any number) or how far it goes back (unset: any time).
    /// After the circuit opened, the window is the one that was judged, until it closes again.
    std::size_t window_calls = 0;
    std::size_t window_size = 0;
    std::optional<Duration> window_duration;

    /// Since the breaker was made: calls that were refused; results of calls that began before the last change of state
    /// and were not judged; calls that were cancelled or abandoned, ignored, throttled; how often the circuit opened.
    std::uint64_t rejected = 0;
    std::uint64_t late_results = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t ignored = 0;
    std::uint64_t throttled = 0;
    std::uint64_t opened_count = 0;

    /// When the next probe may be made; only while the circuit is open.
    std::optional<TimePoint> next_probe_at;
    /// When the state changed last, when it opened last, when it closed last; nothing if it never did.
    std::optional<TimePoint> last_transition_at;
    std::optional<TimePoint> last_opened_at;
    std::optional<TimePoint> last_closed_at;
};

/// Why a circuit opened: the rule, the numbers, and the error that made it full.
struct OpenReason {
    BreakerCause cause = BreakerCause::manual;
    OutcomeCounts counts; ///< the window when it opened
    TimePoint at{};
    Error last_error; ///< no error if a slow or overdue call opened it
    std::string text; ///< all of it as a sentence
};

CircuitBreakerStats stats_of(const BreakerSnapshot& snapshot, const CircuitBreakerConfig& config) noexcept;

/// What a transition to `open` or `forced_open` tells.
OpenReason open_reason_of(const BreakerTransition& transition);

/// Why `transition` happened, for people: "5 failures in the last 12 calls (threshold 5)".
std::string describe(const BreakerTransition& transition);

} // namespace velostream
