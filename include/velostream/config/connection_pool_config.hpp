// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>

#include "velostream/base/units.hpp"
#include "velostream/config/defaulted.hpp"

namespace velostream {

/// One pool of connections.
struct ConnectionPoolConfig {
    /// Connections that exist at once: in use, idle and connecting. Legal: 1 to 1 000 000. Default 20; inside a
    /// `StreamingConfig` the default is `resource_limits.connection_pool_size`.
    Defaulted<std::size_t> max_size = Defaulted<std::size_t>::by_default(20);

    /// Idle connections that are kept ready, from the beginning. Legal: 0 to `max_size`. Default 5, or `max_size` where
    /// that is smaller.
    Defaulted<std::size_t> min_idle = Defaulted<std::size_t>::by_default(5);

    /// How long a borrower waits. Legal: > 0. Default 30 s.
    Duration connection_timeout = std::chrono::seconds{30};

    /// A connection above `min_idle` that nobody has wanted for so long is closed, one every 100 ms. Legal: > 0, or
    /// unset for never. Default 600 s.
    std::optional<Duration> idle_timeout = std::chrono::seconds{600};

    /// A connection is replaced at this age once it is idle. Legal: > 0, or unset for never. Default 3600 s.
    std::optional<Duration> max_lifetime = std::chrono::seconds{3600};

    /// By how much of `max_lifetime` a connection may be replaced earlier, by chance, so that those that were opened
    /// together do not end together. Legal: 0 to 1. Default 0.2.
    double max_lifetime_jitter = 0.2;

    /// How long one connect may take. Legal: > 0. Default `connection_timeout`.
    std::optional<Duration> connect_timeout = std::nullopt;

    /// Connects at once. Legal: 1 to `max_size`. Default 4, or `max_size` where that is smaller.
    Defaulted<std::size_t> connect_limit = Defaulted<std::size_t>::by_default(4);

    /// Borrowers that may wait; one more is refused at once. Legal: ≥ 0, where 0 means any number. Default ten for each
    /// connection of `max_size`.
    std::optional<std::size_t> max_waiters = std::nullopt;

    /// An idle connection that was last seen to work longer ago is checked before it is lent. Legal: ≥ 0. Default
    /// 500 ms.
    Duration validation_window = std::chrono::milliseconds{500};

    /// How long a check, a reset or a goodbye may take; then it has failed. Legal: > 0. Default 5 s.
    Duration validation_timeout = std::chrono::seconds{5};

    /// An idle connection is checked so often, less up to a tenth of it by chance, for servers and firewalls that drop
    /// what is silent. Legal: > 0, or unset for never. Default: unset.
    std::optional<Duration> keepalive = std::nullopt;

    /// The observer is told, once, of a connection that has been lent out for so long, and who borrowed it. Every loan
    /// takes the lock of the pool then. Legal: > 0, or unset for never. Default: unset.
    std::optional<Duration> leak_threshold = std::nullopt;

    /// What each connection is charged to the pool's memory account for as long as it exists. Legal: ≥ 0. Default 0.
    Bytes connection_memory = 0;

    /// `min_idle` as it acts: never above `max_size` unless the user asked for it.
    std::size_t effective_min_idle() const noexcept {
        return min_idle.value_or(std::min<std::size_t>(min_idle, max_size));
    }
    /// `connect_limit` as it acts.
    std::size_t effective_connect_limit() const noexcept {
        return connect_limit.value_or(std::min<std::size_t>(connect_limit, max_size));
    }
    Duration effective_connect_timeout() const noexcept { return connect_timeout.value_or(connection_timeout); }
    std::size_t effective_max_waiters() const noexcept { return max_waiters.value_or(10 * max_size); }
};

} // namespace velostream
