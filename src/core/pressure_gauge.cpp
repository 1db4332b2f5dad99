// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pressure_gauge.hpp"

#include <algorithm>

namespace velostream {

PressureLevel PressureGauge::rises_to(double fraction) const noexcept {
    if (fraction >= critical_at) return PressureLevel::critical;
    return fraction >= threshold_ ? PressureLevel::high : PressureLevel::normal;
}

PressureLevel PressureGauge::falls_to(double fraction) const noexcept {
    if (fraction >= falls_below(critical_at)) return PressureLevel::critical;
    return fraction >= falls_below(threshold_) ? PressureLevel::high : PressureLevel::normal;
}

std::optional<TimePoint> PressureGauge::falls_at(double fraction) const noexcept {
    const auto seen = state_.load();
    if (falls_to(fraction) >= level_of(seen)) return std::nullopt;
    return saturating_add(reached_at(seen), dwell_);
}

std::optional<PressureGauge::Change> PressureGauge::update(double fraction, TimePoint now) noexcept {
    for (auto seen = state_.load();;) {
        const auto level = level_of(seen);
        auto next = std::max(level, rises_to(fraction));
        if (next == level && now - reached_at(seen) >= dwell_) next = std::min(level, falls_to(fraction));
        if (next == level) return std::nullopt;
        if (state_.compare_exchange_weak(seen, state(next, now))) return Change{level, next};
    }
}

} // namespace velostream
