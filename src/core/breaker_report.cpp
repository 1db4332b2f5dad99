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

std::string in_the_window(std::uint32_t part, const char* what, std::uint32_t calls) {
    return std::to_string(part) + " " + what + " in the last " + std::to_string(calls) + " calls";
}

} // namespace

CircuitBreakerStats stats_of(const BreakerMachine::Snapshot& snapshot, std::size_t window_size) noexcept {
    const auto& window = snapshot.window;
    CircuitBreakerStats stats;
    stats.state = snapshot.state;
    stats.failure_count = window.failures;
    if (window.calls > 0)
        stats.success_rate = static_cast<double>(window.calls - window.failures) / static_cast<double>(window.calls);
    stats.slow_count = window.slow;
    stats.window_calls = window.calls;
    stats.window_size = window_size;
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

std::string describe(const BreakerTransition& transition, const CircuitBreakerConfig& config) {
    const auto& counts = transition.counts;
    switch (transition.cause) {
        case BreakerCause::failure_count:
            return in_the_window(counts.failures, "failures", counts.calls) + " (threshold " +
                   std::to_string(config.failure_threshold) + ")";
        case BreakerCause::failure_rate:
            return in_the_window(counts.failures, "failures", counts.calls) + " (threshold rate " +
                   text_of(config.failure_rate_threshold.value_or(1.0)) + ")";
        case BreakerCause::slow_call_rate:
            return in_the_window(counts.slow, "slow calls", counts.calls) + " (threshold rate " +
                   text_of(config.slow_call_rate_threshold) + ")";
        case BreakerCause::probe_failed:
            return "a probe failed";
        case BreakerCause::probe_slow:
            return "a probe was slow";
        case BreakerCause::probe_overdue:
            return "a probe did not end in time";
        case BreakerCause::timeout_elapsed:
            return "waited " + text_of(config.timeout) + ", probing";
        case BreakerCause::probes_succeeded:
            return std::to_string(config.success_threshold) + " probes succeeded";
        case BreakerCause::manual:
            return "set by hand";
    }
    return {};
}

} // namespace velostream
