// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

namespace velostream {

/// Where this thread's shard lies in any node. A thread begins at the node's first member, a shard that is never open,
/// so that its first take chooses one.
inline constinit thread_local std::ptrdiff_t thread_shard_offset = 0;

/// The atomics that budget trees run on. Tests put others in their place, to run every interleaving.
struct MachineAtomics {
    template <class T>
    using Atomic = std::atomic<T>;

    /// Stands in functions that tell their caller nothing but what they pass to `returns`, and between parts of them
    /// that hand on nothing else. Here it does nothing; the exploration in the tests takes two ways to such a place for
    /// one if they pass the same.
    struct Scope {
        Scope() noexcept {} // not trivial: one that only stands there is not unused
        template <class... Values>
        void returns(Values...) const noexcept {}
    };

    /// One for each core, a power of two, at most 8.
    static std::size_t shard_count() noexcept;
    static std::ptrdiff_t shard_offset() noexcept { return thread_shard_offset; }
    /// Gives this thread the shard that the fewest living threads have, if it has none yet.
    static void choose_shard() noexcept;
};

} // namespace velostream
