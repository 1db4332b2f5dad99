// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// How many calls may run at once, and how many may wait for it.
struct BulkheadConfig {
    /// Calls that run at once. Legal: 1 to 1000000000. Default 25. As many as the service behind it serves well.
    std::size_t max_concurrent = 25;

    /// Calls that may stand in line. Legal: ≥ 0. Default 0: who finds no room is refused at once. Set it where calls
    /// come in bursts, to what one burst brings.
    std::size_t max_waiting = 0;

    /// How long a call stands in line, if its own deadline is not earlier. Legal: > 0. Unset: only that deadline ends
    /// its wait.
    std::optional<Duration> max_wait = std::nullopt;
};

} // namespace velostream
