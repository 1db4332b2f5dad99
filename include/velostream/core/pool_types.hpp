// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// By what a pool of connections goes.
struct PoolRules {
    std::size_t max_size = 20;
    std::size_t min_idle = 5;
    std::size_t connect_limit = 4; ///< connects at once
    std::size_t max_waiters = 200; ///< 0: any number
    Duration connection_timeout = std::chrono::seconds{30};
    Duration validation_window = std::chrono::milliseconds{500};
    std::optional<Duration> idle_timeout, max_lifetime, keepalive, leak_threshold;
    double max_lifetime_jitter = 0.2;
};

/// A connection of a pool plan, and one who waits for one: numbers, used again after their end. 0: none.
using PoolSlot = std::uint32_t;
using PoolTicket = std::uint64_t;

/// Why somebody gets no connection.
enum class PoolRefusal : std::uint8_t {
    closed,         ///< the pool is
    too_many,       ///< `max_waiters` wait already
    connect_failed, ///< nothing is left that could come back, and the last connect has failed
};

/// Why a connection is closed.
enum class PoolClosing : std::uint8_t {
    broken,       ///< who had it said so
    invalid,      ///< a check of it failed
    reset_failed, ///< what the last borrower left could not be removed
    lifetime,     ///< it was `max_lifetime` old
    idle,         ///< nobody wanted it for `idle_timeout`
    shrunk,       ///< the pool was made smaller
    yielded,      ///< somebody else waits for its room
    shutdown,     ///< the pool was closed
};
inline constexpr std::size_t pool_closings = 8;

/// What whoever runs the plan does next.
struct PoolAction {
    enum class Kind : std::uint8_t {
        hand,    ///< `slot` is `ticket`'s
        refuse,  ///< `ticket`, for `refusal`
        open,    ///< a connection for `slot`; then `opened` or `open_failed`
        give_up, ///< the open of `slot`: it may go on, but nobody waits for it; then `opened` or `open_failed`
        check,   ///< whether `slot` works; then `checked`
        reset,   ///< `slot`, for the next borrower; then `was_reset`
        close,   ///< `slot`, for `closing`; then `was_closed`
        warn,    ///< that `slot` has been lent out for long
        drained, ///< the pool is closed and nothing is left of it
    };
    Kind kind;
    PoolSlot slot = 0;
    PoolTicket ticket = 0;
    PoolRefusal refusal = PoolRefusal::closed;
    PoolClosing closing = PoolClosing::broken;

    bool operator==(const PoolAction&) const = default;
};

/// What a pool holds at one moment: `active + idle + connecting` is `total`.
struct PoolFigures {
    std::size_t active = 0; ///< lent out, or being checked, reset or closed
    std::size_t idle = 0;
    std::size_t connecting = 0;
    std::size_t total = 0;
    std::size_t waiting = 0;
};

/// What kind of failure a connect has ended with: who refuses our name or password will do so again.
enum class ConnectFault : std::uint8_t { passing, misconfigured };

} // namespace velostream
