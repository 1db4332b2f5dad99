// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace velostream {

/// One row for all trees, so that who waits for several of them keeps his turn.
inline std::uint64_t next_ticket() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed); // a number, publishes nothing
}

} // namespace velostream
