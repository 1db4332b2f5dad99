// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pressure_gauge.hpp"

#include <algorithm>

namespace velostream {

PressureLevel PressureGauge::rises_to(double fraction) const noexcept {
    if (fraction >= critical_at) return PressureLevel::critical;
    return fraction >= threshold_ ? PressureLevel::high : PressureLevel::normal;
}

PressureLevel PressureGauge::falls_to(double fraction) const noexcept {
    if (fraction >= critical_at - hysteresis) return PressureLevel::critical;
    return fraction >= threshold_ - hysteresis ? PressureLevel::high : PressureLevel::normal;
}

std::optional<PressureGauge::Change> PressureGauge::update(double fraction, TimePoint now) noexcept {
    auto next = std::max(level_, rises_to(fraction));
    if (next == level_ && now - reached_at_ >= dwell_) next = std::min(level_, falls_to(fraction));
    if (next == level_) return std::nullopt;
    const Change change{level_, next};
    level_ = next;
    reached_at_ = now;
    return change;
}

} // namespace velostream
