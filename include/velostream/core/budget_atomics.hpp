// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace velostream {

/// Where this thread's shard lies in any node. A thread begins at the node's first member, a shard that is never open,
/// so that its first take chooses one.
inline constinit thread_local std::ptrdiff_t thread_shard_offset = 0;

/// See `MachineAtomics::innermost_serving`.
inline constinit thread_local void* thread_serving = nullptr;

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

    /// How many lists a line of those who wait has, one above the other, and how many of them have the place with this
    /// index: one of 16 each list more. With 100 000 in line some 50 places are passed to find one.
    static constexpr std::size_t line_heights = 4;
    static std::size_t line_height(std::uint32_t place) noexcept {
        const auto scattered = std::uint64_t{place} * 0x9e3779b97f4a7c15 >> 32;
        return 1 + std::min<std::size_t>(static_cast<std::size_t>(std::countr_zero(scattered)) / 4, line_heights - 1);
    }
    /// How many of those who wait, and places of theirs, are made first.
    static constexpr std::size_t items_at_once = 64;
    /// What this thread is serving; so what it gives back meanwhile is served there.
    static void*& innermost_serving() noexcept { return thread_serving; }

    /// One for each core, a power of two, at most 8.
    static std::size_t shard_count() noexcept;
    static std::ptrdiff_t shard_offset() noexcept { return thread_shard_offset; }
    /// Gives this thread the shard that the fewest living threads have, if it has none yet.
    static void choose_shard() noexcept;
};

} // namespace velostream
