// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

namespace velostream {

/// Where this thread's shard lies behind the first. A thread begins at the first shard, and gets one of its own (in
/// turn) when it first needs more than that shard holds.
inline constinit thread_local std::size_t thread_shard_offset = 0;

/// The atomics that budget trees run on. Tests put others in their place, to run every interleaving.
struct MachineAtomics {
    template <class T>
    using Atomic = std::atomic<T>;

    /// One for each core, a power of two, at most 8.
    static std::size_t shard_count() noexcept;
    static std::size_t shard_offset() noexcept { return thread_shard_offset; }
    static void choose_shard() noexcept;
};

} // namespace velostream
