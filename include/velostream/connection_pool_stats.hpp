// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/pool_types.hpp"

namespace velostream {

/// A pool at one moment, and what it did so far.
struct ConnectionPoolStats {
    std::size_t active = 0;     ///< lent out, or being checked, reset or closed
    std::size_t idle = 0;       ///< ready to be lent
    std::size_t connecting = 0; ///< being opened
    std::size_t total = 0;      ///< all of these; more than `max_size` only after that was lowered
    std::size_t waiting = 0;    ///< borrowers
    std::size_t max_size = 0;   ///< as it is now

    std::uint64_t created = 0;          ///< connects that succeeded
    std::uint64_t connect_failures = 0; ///< and those that failed; one that was given up counts as neither
    std::array<std::uint64_t, pool_closings> closed{}; ///< by `PoolClosing`
    std::uint64_t detached = 0;

    std::uint64_t lent_at_once = 0; ///< to borrowers who did not wait
    std::uint64_t lent_waited = 0;  ///< to borrowers who waited
    std::uint64_t timed_out = 0;    ///< borrowers whose time was over
    std::uint64_t cancelled = 0;    ///< borrowers who were cancelled while they waited
    std::uint64_t refused = 0;      ///< borrowers who were told at once, or by a failed connect
    Duration waited{};              ///< by all of `lent_waited` together
    Duration longest_wait{};        ///< of one of them
    std::uint64_t leaks = 0;        ///< connections that were lent out for longer than `leak_threshold`

    bool is_misconfigured = false;             ///< the server refuses our name or password
    std::optional<Error> last_connect_error{}; ///< since a connect succeeded

    /// How much of the pool is in use or on its way there, 0 to 1 or above: worth an alert from 0.9.
    double utilization() const noexcept {
        return max_size == 0 ? 0 : static_cast<double>(total - idle) / static_cast<double>(max_size);
    }
    std::uint64_t closed_for(PoolClosing why) const noexcept { return closed[static_cast<std::size_t>(why)]; }
};

} // namespace velostream
