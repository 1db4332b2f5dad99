// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// How many calls may begin per unit of time.
struct Rate {
    /// Calls that may begin in each `period`. Legal: 1 to 1000000000. Default 100.
    std::uint64_t permits = 100;

    /// Legal: > 0, at most 24 h, and a nanosecond for each permit at least. Default 1 s. Permits come back one by one,
    /// evenly over it.
    Duration period = std::chrono::seconds{1};

    /// Calls that may begin at the same moment after a pause. Legal: 1 to 1000000000, and no more than come back
    /// within 365 days. Unset: `permits`. 1 keeps calls evenly apart, and wastes a little of the rate wherever a timer
    /// is late.
    std::optional<std::uint64_t> burst = std::nullopt;

    /// `burst` as it acts.
    std::uint64_t effective_burst() const noexcept { return burst.value_or(permits); }
};

/// How many calls may begin per unit of time, and how many may wait for their turn.
struct RateLimiterConfig {
    /// As in `Rate`.
    std::uint64_t permits = Rate{}.permits;
    /// As in `Rate`.
    Duration period = Rate{}.period;
    /// As in `Rate`.
    std::optional<std::uint64_t> burst = std::nullopt;

    /// Calls that may stand in line. Legal: 0 to 1000000000. Default 0: who comes too early is refused at once.
    std::size_t max_waiting = 0;

    /// How far ahead a turn may lie; a call whose turn is later is refused at once. Legal: > 0. Unset: as far as the
    /// call's own deadline allows.
    std::optional<Duration> max_wait = std::nullopt;

    Rate rate() const noexcept { return {permits, period, burst}; }
};

} // namespace velostream
