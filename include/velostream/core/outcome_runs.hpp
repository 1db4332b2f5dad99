// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace velostream {

/// Positions of outcomes, ascending: neighbours are kept together, as a run. What it takes grows with need.
///
/// Without memory to grow, the two oldest runs become one that ends where the newer ended: nothing is forgotten, the
/// older ones only stay for as long as the newer.
///
/// Threads:  one at a time.
/// Lifetime: the memory must outlive it.
class OutcomeRuns {
  public:
    /// Throws `std::bad_alloc` if there is no memory for the first few.
    explicit OutcomeRuns(std::pmr::memory_resource& memory);
    OutcomeRuns(OutcomeRuns&&) noexcept = default;
    OutcomeRuns& operator=(OutcomeRuns&&) = delete;

    /// `length` positions, the last of which is `last`: all of them larger than those before.
    void push(std::uint64_t last, std::uint64_t length = 1) noexcept;
    /// All positions up to `position`.
    void forget_until(std::uint64_t position) noexcept {
        if (runs_ > 0 && run(0).last - run(0).length < position) forget_some_until(position);
    }
    void clear() noexcept { first_ = runs_ = count_ = 0; }

    std::uint64_t count() const noexcept { return count_; }

  private:
    struct Run {
        std::uint64_t last = 0, length = 0;
    };

    Run& run(std::size_t index) noexcept { return ring_[(first_ + index) & (ring_.size() - 1)]; }
    void drop_oldest() noexcept {
        first_ = (first_ + 1) & (ring_.size() - 1);
        --runs_;
    }
    void forget_some_until(std::uint64_t position) noexcept;
    void make_room() noexcept;

    std::pmr::vector<Run> ring_; // a power of two
    std::size_t first_ = 0;
    std::size_t runs_ = 0;
    std::uint64_t count_ = 0; // of positions, in all runs
};

} // namespace velostream
