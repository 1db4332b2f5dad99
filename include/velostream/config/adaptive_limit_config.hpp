// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// How a limit of calls that run at once finds its size.
struct AdaptiveLimitConfig {
    /// The limit until something is known about the service. Legal: `min_limit` to `max_limit`. Default 20. One that is
    /// far too high comes down within a few windows, but what it let in has to be served first.
    std::size_t initial_limit = 20;

    /// The floor. Legal: 1 to `max_limit`. Default 1. What the service can take on its worst day: a floor above that
    /// keeps it overloaded, whatever its latency says.
    std::size_t min_limit = 1;

    /// The ceiling. Legal: `min_limit` to 1000000000. Default 200.
    std::size_t max_limit = 200;

    /// Latencies that are judged together; as many as the limit where that is more, up to 1000, and at most ten times
    /// the limit. Legal: 10 to 4000. Default 100. More where latencies vary by their nature, fewer where calls are
    /// rare.
    std::size_t window = 100;

    /// So many times the latency without load is still good. Legal: 1 to 3. Default 1.5. More where requests differ, or
    /// where throughput matters more than latency.
    double tolerance = 1.5;

    /// How much of the way to its target the limit goes after each window. Legal: > 0 and ≤ 1. Default 0.2. Less where
    /// the limit is restless.
    double smoothing = 0.2;

    /// What is left of the limit after too many calls were dropped. Legal: > 0 and < 1. Default 0.9.
    double drop_backoff = 0.9;

    /// The share of a window that may be dropped without consequence. Legal: ≥ 0 and < 1. Default 0.01. With 0 every
    /// dropped call lowers the limit.
    double tolerated_drop_rate = 0.01;

    /// After so many windows under load a quarter of the limit holds for one window, to measure the latency without
    /// load, and a quarter of that if latency has fallen as much; a fifth of them is enough when latency is far above
    /// what is good. Legal: 5 to 1000000. Default 100. Fewer where that latency changes often: each measurement costs
    /// a part of the throughput of a window.
    std::size_t remeasure_every = 100;

    /// Calls that may stand in line. Legal: 0 to 1000000000. Default 0: who finds no room is refused at once.
    std::size_t max_waiting = 0;

    /// How long a call stands in line, if its own deadline is not earlier. Legal: > 0. Unset: only that deadline ends
    /// its wait.
    std::optional<Duration> max_wait = std::nullopt;
};

} // namespace velostream
