// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "velostream/base/observer.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

/// Turns a fraction of used memory into a level that does not flap.
///
/// It rises at once: to high at `threshold`, to critical at 0.95. It falls only 0.05 below the mark it rose at (below
/// 0.90 it is no longer critical, below `threshold - 0.05` it is normal), and only when the level has lasted for
/// `dwell`: so there are at most two changes in a dwell, whatever the input does.
///
/// Threads: one at a time. Reads no clock: time is an argument.
class PressureGauge {
  public:
    static constexpr double critical_at = 0.95;
    static constexpr double hysteresis = 0.05;
    static constexpr Duration default_dwell = std::chrono::milliseconds{250};

    struct Change {
        PressureLevel from, to;
    };

    /// `threshold`: 0 < x < 0.95.
    explicit PressureGauge(double threshold, Duration dwell = default_dwell) noexcept
        : threshold_(threshold), dwell_(dwell) {}

    /// Says that `fraction` (0-1, or more) is used now. Returns the change of the level, if it changed.
    std::optional<Change> update(double fraction, TimePoint now) noexcept;

    PressureLevel level() const noexcept { return level_; }

  private:
    PressureLevel falls_to(double fraction) const noexcept;
    PressureLevel rises_to(double fraction) const noexcept;

    double threshold_;
    Duration dwell_;
    PressureLevel level_ = PressureLevel::normal;
    TimePoint reached_at_{}; // when it last changed; no matter while it never did: normal falls no further
};

} // namespace velostream
