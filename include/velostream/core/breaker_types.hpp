// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "velostream/base/error.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/core/breaker_rules.hpp"

namespace velostream {

/// Leave to make one call, to be given back with its result. It is good for the epoch in which it was issued.
struct BreakerPermit {
    static constexpr TimePoint unmeasured = TimePoint::min();

    std::uint32_t epoch = 0;
    bool probe = false;
    /// When the call began; only where something depends on it: probes, and all calls if the slow rule is on.
    TimePoint started = unmeasured;
};

/// What a call came to. Earlier kinds take precedence where a call could be counted as several.
enum class CallOutcomeKind : std::uint8_t {
    cancelled, ///< the caller gave up: says nothing about the service
    ignored,   ///< a failure that is not the service's, such as a bad record
    throttled, ///< the service, or a limit of ours, asked for less: counted apart, never opens
    failure,
    success,
};

/// Why a circuit changed its state.
enum class BreakerCause : std::uint8_t {
    failure_count,
    failure_rate,
    slow_call_rate,
    probe_failed,
    probe_slow,
    probe_overdue,
    timeout_elapsed,
    probes_succeeded,
    manual,
};

/// One change of state.
struct BreakerTransition {
    CircuitState from = CircuitState::closed, to = CircuitState::closed;
    BreakerCause cause = BreakerCause::manual;
    TimePoint at{};
    OutcomeCounts counts{};   ///< the window when it happened
    Error error{};            ///< of the call that made it, if one failed
    double threshold = 0;     ///< what was reached, where the cause is a rule or probes that succeeded
    Duration wait{};          ///< how long it will stay open, or has been open; 0 in every other state
    std::uint64_t resets = 0; ///< how often the circuit had been reset before
};

/// What the result of a call made of the circuit, beside being counted.
enum class BreakerEffect : std::uint8_t {
    none,
    permit_returned, ///< a probe has ended: another may be admitted
    state_changed,   ///< `publish_transitions` is due
};

/// All of a circuit from one moment. Counts of calls that end meanwhile may be in one number and not yet in another.
struct BreakerSnapshot {
    CircuitState state;                  ///< the effective one
    OutcomeCounts window;                ///< judged now or, until the circuit closes again, judged last
    std::optional<TimePoint> open_until; ///< while it is open
    std::optional<TimePoint> last_transition, last_opened, last_closed;
    std::uint64_t rejected, late, cancelled, ignored, throttled, opened;
};

/// Where a circuit breaker asks for the time, and only if something depends on it. Every `TimeSource` is one.
template <class Clock>
concept BreakerClock = requires(const Clock& clock) {
    { clock.now() } -> std::same_as<TimePoint>;
    { clock.coarse_now() } -> std::same_as<TimePoint>;
};

/// When a call ended that began at `started` and is slow if it took `slow_after`: by the coarse clock where that can
/// tell, exactly where it cannot. A source that does not say how coarse its `coarse_now()` is (as `coarse_step`) can
/// only tell that a call was slow.
template <BreakerClock Clock>
TimePoint end_of_call(const Clock& clock, TimePoint started, Duration slow_after) {
    const auto coarse = clock.coarse_now();
    const auto lasted = coarse - started;
    if (lasted >= slow_after) return coarse;
    if constexpr (requires { Clock::coarse_step; })
        if (lasted + Clock::coarse_step < slow_after) return coarse;
    return clock.now();
}

} // namespace velostream
