// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace velostream {

/// The random numbers behind jitter: the same seed gives the same numbers in the same order.
///
/// Threads: safe; concurrent callers get different numbers of the sequence, in any order.
class BackoffRandom {
  public:
    /// Seeded differently in every process and instance.
    BackoffRandom() noexcept;
    explicit BackoffRandom(std::uint64_t seed) noexcept : state_(seed) {}

    /// Starts the sequence of `seed`.
    void seed(std::uint64_t seed) noexcept { state_.store(seed, std::memory_order_relaxed); }

    /// The next number, uniform over all 64-bit values.
    std::uint64_t next() noexcept {
        // A Weyl sequence, one step for each number, each number scrambled by itself: no state to lock.
        auto mixed = state_.fetch_add(step, std::memory_order_relaxed) + step; // relaxed: only a counter
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31);
    }

  private:
    static constexpr std::uint64_t step = 0x9E3779B97F4A7C15U; // 2^64 / golden ratio, odd: visits every value
    std::atomic<std::uint64_t> state_;
};

} // namespace velostream
