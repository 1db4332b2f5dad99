// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

namespace velostream {

/// This thread's number, in the order in which threads asked for theirs first: neighbours get different shards.
inline std::size_t thread_number() noexcept {
    static constinit std::atomic<std::size_t> threads{0};
    static constinit thread_local std::size_t number = 0; // from 1; a constant initialiser needs no guard
    if (number == 0) [[unlikely]]
        number = threads.fetch_add(1, std::memory_order_relaxed) + 1; // relaxed: only a number
    return number - 1;
}

} // namespace velostream
