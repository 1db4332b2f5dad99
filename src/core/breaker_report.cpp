// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_report.hpp"

#include <charconv>

namespace velostream {

namespace {

std::string text_of(double fraction) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, fraction).ptr;
    return {buffer, end};
}

std::string text_of(Duration duration) {
    return text_of(std::chrono::duration<double>(duration).count()) + " s";
}

std::string in_the_window(std::uint64_t part, const char* what, std::uint64_t calls) {
    return std::to_string(part) + " " + what + " in the last " + std::to_string(calls) + " calls";
}

} // namespace

CircuitBreakerStats stats_of(const BreakerSnapshot& snapshot, const CircuitBreakerConfig& config) noexcept {
    const auto& window = snapshot.window;
    CircuitBreakerStats stats;
    stats.state = snapshot.state;
    stats.failure_count = window.failures;
    if (window.calls > 0)
        stats.success_rate = static_cast<double>(window.calls - window.failures) / static_cast<double>(window.calls);
    if (config.slow_call_threshold) stats.slow_count = window.slow;
    stats.window_calls = window.calls;
    stats.window_duration = config.sliding_window_duration;
    stats.window_size = config.sliding_window_duration ? 0 : config.sliding_window_size;
    stats.rejected = snapshot.rejected;
    stats.late_results = snapshot.late;
    stats.cancelled = snapshot.cancelled;
    stats.ignored = snapshot.ignored;
    stats.throttled = snapshot.throttled;
    stats.opened_count = snapshot.opened;
    stats.next_probe_at = snapshot.open_until;
    stats.last_transition_at = snapshot.last_transition;
    stats.last_opened_at = snapshot.last_opened;
    stats.last_closed_at = snapshot.last_closed;
    return stats;
}

OpenReason open_reason_of(const BreakerTransition& transition) {
    const auto& error = transition.error;
    OpenReason reason{transition.cause, transition.counts, transition.at, error, describe(transition)};
    if (error.code().failed()) reason.text.append("; last error: ").append(error.message());
    return reason;
}

std::string describe(const BreakerTransition& transition) {
    const auto& counts = transition.counts;
    switch (transition.cause) {
        case BreakerCause::failure_count:
            return in_the_window(counts.failures, "failures", counts.calls) + " (threshold " +
                   std::to_string(static_cast<std::uint64_t>(transition.threshold)) + ")";
        case BreakerCause::failure_rate:
            return in_the_window(counts.failures, "failures", counts.calls) + " (threshold rate " +
                   text_of(transition.threshold) + ")";
        case BreakerCause::slow_call_rate:
            return in_the_window(counts.slow, "slow calls", counts.calls) + " (threshold rate " +
                   text_of(transition.threshold) + ")";
        case BreakerCause::probe_failed:
            return "a probe failed";
        case BreakerCause::probe_slow:
            return "a probe was slow";
        case BreakerCause::probe_overdue:
            return "a probe did not end in time";
        case BreakerCause::timeout_elapsed:
            return "waited " + text_of(transition.wait) + ", probing";
        case BreakerCause::probes_succeeded:
            return std::to_string(static_cast<std::uint64_t>(transition.threshold)) + " probes succeeded";
        case BreakerCause::manual:
            return "set by hand";
    }
    return {};
}

} // namespace velostream
