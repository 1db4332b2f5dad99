// SPDX-License-Identifier: Apache-2.0
#include "accuracy/trace.hpp"

#include <algorithm>
#include <chrono>

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr double usual = 0.001;

const ServicePhase& phase_at(const std::vector<ServicePhase>& phases, Duration after_start) noexcept {
    const auto next = std::upper_bound(phases.begin(), phases.end(), after_start,
                                       [](Duration at, const ServicePhase& phase) { return at < phase.from; });
    return next == phases.begin() ? phases.front() : *(next - 1);
}

} // namespace

double drawn(std::uint64_t call, std::uint32_t attempt, std::uint32_t of_what) noexcept {
    auto mixed = call * 0x9E3779B97F4A7C15U + (std::uint64_t{attempt} << 32 | of_what);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
    return static_cast<double>((mixed ^ (mixed >> 31)) >> 11) * 0x1p-53;
}

auto Trace::at(Duration after_start) const noexcept -> Moment {
    const auto& phase = phase_at(phases, after_start);
    const bool is_between = phase.period > Duration{0} && (after_start - phase.from) % phase.period >= phase.period / 2;
    if (is_between) return {phase.failures_in_between, 0, false};
    return {phase.failures, phase.slow, phase.is_bad};
}

auto Trace::attempt(std::uint64_t call, std::uint32_t attempt, Duration after_start) const noexcept -> Attempt {
    const auto now = at(after_start);
    const bool is_slow = drawn(call, attempt, 1) < now.slow;
    const auto usual_time = Duration{static_cast<Duration::rep>(2e6 + 6e6 * drawn(call, attempt, 2))};
    return {drawn(call, attempt, 0) < now.failures, is_slow ? Duration{2s} : usual_time};
}

auto Trace::bad_spans() const -> std::vector<Span> {
    std::vector<Span> spans;
    constexpr Duration step = 10ms; // all phases begin at multiples of it
    for (Duration now{}; now < duration; now += step) {
        if (!at(now).is_bad) continue;
        if (spans.empty() || spans.back().until != now) spans.push_back({now, now});
        spans.back().until = now + step;
    }
    return spans;
}

std::vector<Trace> traces() {
    return {
        {"steady", "one attempt in a thousand fails, always", 30min, {{.failures = usual}}},
        {"burst",
         "half of all attempts fail for a second, twice",
         5min,
         {{.failures = usual},
          {.from = 60s, .failures = 0.5},
          {.from = 61s, .failures = usual},
          {.from = 180s, .failures = 0.5},
          {.from = 181s, .failures = usual}}},
        {"brown-out",
         "for two minutes 70 % of all attempts take two seconds, and 2 % fail",
         5min,
         {{.failures = usual},
          {.from = 60s, .failures = 0.02, .slow = 0.7, .is_bad = true},
          {.from = 180s, .failures = usual}}},
        {"flapping",
         "for three minutes the service is away for ten seconds and back for ten",
         5min,
         {{.failures = usual},
          {.from = 60s, .failures = 1.0, .is_bad = true, .period = 20s, .failures_in_between = usual},
          {.from = 240s, .failures = usual}}},
        {"outage",
         "away for two minutes, then half a minute in which 5 % still fail",
         5min,
         {{.failures = usual},
          {.from = 60s, .failures = 1.0, .is_bad = true},
          {.from = 180s, .failures = 0.05},
          {.from = 210s, .failures = usual}}},
    };
}

} // namespace velostream::bench
