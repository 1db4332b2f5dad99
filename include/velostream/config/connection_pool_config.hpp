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
    /// Connections that exist at once: in use, idle and connecting. Legal: ≥ 1. Default 20; inside a `StreamingConfig`
    /// the default is `resource_limits.connection_pool_size`.
    Defaulted<std::size_t> max_size = Defaulted<std::size_t>::by_default(20);

    /// Idle connections that are kept ready. Legal: 0 to `max_size`. Default 5, or `max_size` where that is smaller.
    /// Checked, but nothing acts on it yet: a pool opens a connection when a borrower needs one.
    Defaulted<std::size_t> min_idle = Defaulted<std::size_t>::by_default(5);

    /// How long a borrower waits. Legal: > 0. Default 30 s.
    Duration connection_timeout = std::chrono::seconds{30};

    /// Idle connections above `min_idle` are closed after this. Legal: > 0, or unset for never. Default 600 s.
    /// Checked, but nothing acts on it yet: an idle connection stays open until a check of it fails or the pool ends.
    std::optional<Duration> idle_timeout = std::chrono::seconds{600};

    /// A connection is replaced at this age once it is idle. Legal: > 0, or unset for never. Default 3600 s.
    /// Checked, but nothing acts on it yet: no connection is replaced because of its age.
    std::optional<Duration> max_lifetime = std::chrono::seconds{3600};

    /// `min_idle` as it acts: never above `max_size` unless the user asked for it.
    std::size_t effective_min_idle() const noexcept {
        return min_idle.value_or(std::min<std::size_t>(min_idle, max_size));
    }
};

} // namespace velostream
