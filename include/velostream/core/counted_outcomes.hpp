// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "velostream/core/breaker_rules.hpp"
#include "velostream/core/outcome_runs.hpp"

namespace velostream {

class TimedOutcomes;

/// Which of the last `size` outcomes failed or were slow. How many outcomes there have been in all is counted
/// elsewhere and told: that number is the position of the one that was counted last.
///
/// Threads:  one at a time.
/// Lifetime: the memory must outlive it.
class CountedOutcomes {
  public:
    CountedOutcomes(std::size_t size, std::pmr::memory_resource& memory);
    /// Takes over what a window of time holds of `all` outcomes: buckets in their order, and in each the outcomes that
    /// neither failed nor were slow first.
    CountedOutcomes(const TimedOutcomes& timed, std::uint64_t all, std::size_t size, std::pmr::memory_resource& memory);

    /// An empty window; positions start at 1 again.
    void clear() noexcept;

    /// The outcome at `position` failed, was slow, or both. Positions ascend.
    void note(std::uint64_t position, bool failed, bool slow) noexcept {
        forget(beginning(position));
        if (failed) failed_.push(position);
        if (slow) slow_.push(position);
    }

    /// The window after `all` outcomes. It forgets what these have pushed out.
    OutcomeCounts counts(std::uint64_t all) noexcept {
        const auto first = beginning(all);
        forget(first);
        const auto calls = all - first;
        return {calls, std::min(failed_.count(), calls), std::min(slow_.count(), calls)};
    }

    /// How many of `all` outcomes the window has seen, those that have left it included.
    std::uint64_t seen(std::uint64_t all) const noexcept { return all - base_; }

    /// Changes the size after `all` outcomes. What is in the window stays, the newest first; what has left it does not
    /// come back.
    void resize(std::size_t size, std::uint64_t all) noexcept;

  private:
    std::uint64_t beginning(std::uint64_t all) const noexcept { return std::max(base_, all > size_ ? all - size_ : 0); }
    void forget(std::uint64_t until) noexcept {
        failed_.forget_until(until);
        slow_.forget_until(until);
    }

    std::uint64_t size_;
    std::uint64_t base_ = 0; // outcomes up to this position are not in the window, whatever its size
    OutcomeRuns failed_, slow_;
};

} // namespace velostream
