// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>

#include "velostream/base/observer.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

/// Turns a fraction of used memory into a level that does not flap.
///
/// It rises at once: to high at `threshold`, to critical at 0.95. It falls only 0.05 below the mark it rose at (below
/// 0.90 it is no longer critical, below `threshold - 0.05` it is normal; with a threshold up to 0.05 only at 0), and
/// only when the level has lasted for `dwell`: so there are at most two changes in a dwell, whatever the input does.
///
/// Threads: safe, lock-free. Reads no clock: time is an argument.
class PressureGauge {
  public:
    static constexpr double critical_at = 0.95;
    static constexpr double hysteresis = 0.05;
    static constexpr Duration default_dwell = std::chrono::milliseconds{250};

    /// Where a level ends that began at the mark `rise`: it lasts at exactly 0.05 below, whatever doubles make of that.
    static constexpr double falls_below(double rise) noexcept {
        constexpr double rounding = 1e-9, smallest = std::numeric_limits<double>::min();
        const auto mark = rise - hysteresis - rounding;
        return mark < smallest ? smallest : mark;
    }

    struct Change {
        PressureLevel from, to;
    };

    /// `threshold`: 0 < x < 0.95.
    explicit PressureGauge(double threshold, Duration dwell = default_dwell) noexcept
        : threshold_(threshold), dwell_(dwell) {}

    /// Says that `fraction` (0-1, or more) is used now. Returns the change of the level, if this call changed it.
    std::optional<Change> update(double fraction, TimePoint now) noexcept;

    /// When the level may fall, if `fraction` lasts until then; unset if it would not.
    std::optional<TimePoint> falls_at(double fraction) const noexcept;

    PressureLevel level() const noexcept { return level_of(state_.load()); }

  private:
    PressureLevel falls_to(double fraction) const noexcept;
    PressureLevel rises_to(double fraction) const noexcept;

    // The level, and above it when it last changed: one word, so that each change is made by one call. When does not
    // matter while it never changed: normal falls no further.
    static constexpr unsigned level_bits = 2;
    static std::int64_t state(PressureLevel level, TimePoint reached_at) noexcept {
        return reached_at.time_since_epoch().count() * (1 << level_bits) + static_cast<std::int64_t>(level);
    }
    static PressureLevel level_of(std::int64_t state) noexcept {
        return static_cast<PressureLevel>(state & ((1 << level_bits) - 1));
    }
    static TimePoint reached_at(std::int64_t state) noexcept { return TimePoint{Duration{state >> level_bits}}; }

    const double threshold_;
    const Duration dwell_;
    std::atomic<std::int64_t> state_{0};
};

} // namespace velostream
