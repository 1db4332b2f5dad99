// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "velostream/core/breaker_types.hpp"

namespace velostream {

/// Keyed circuit breakers at one moment. Totals are since they were made.
struct KeyedCircuitBreakersStats {
    std::size_t keys = 0;       ///< at most `max_keys` have an entry: something bad is in their window, they are not
                                ///< closed, or somebody waits for them
    std::size_t not_closed = 0; ///< of these, in another state than closed

    std::uint64_t rejected = 0; ///< calls that were refused
    std::uint64_t late_results = 0;
    std::uint64_t cancelled = 0, ignored = 0, throttled = 0;
    std::uint64_t opened_count = 0;
    std::uint64_t evicted = 0;   ///< entries that made place for others
    std::uint64_t untracked = 0; ///< failures and slow calls for which there was no place, or no memory
};

namespace detail {

// What all keys together count.
//
// Threads: safe. relaxed throughout: counts only, publishes nothing.
class KeyedBreakerTotals {
  public:
    using Total = std::atomic<std::uint64_t>;

    static void add(Total& total, std::uint64_t by = 1) noexcept {
        if (by != 0) total.fetch_add(by, std::memory_order_relaxed);
    }
    void add_undecided(CallOutcomeKind kind) noexcept {
        add(kind == CallOutcomeKind::ignored ? ignored : kind == CallOutcomeKind::throttled ? throttled : cancelled);
    }
    void add_transition(const BreakerTransition& transition) noexcept {
        const bool was_closed = transition.from == CircuitState::closed;
        const bool is_closed = transition.to == CircuitState::closed;
        if (was_closed && !is_closed) not_closed_.fetch_add(1, std::memory_order_relaxed);
        if (!was_closed && is_closed) not_closed_.fetch_sub(1, std::memory_order_relaxed);
        if (transition.to == CircuitState::open) add(opened);
    }

    // How many had an entry before.
    std::size_t add_key() noexcept { return keys_.fetch_add(1, std::memory_order_relaxed); }
    void remove_key() noexcept { keys_.fetch_sub(1, std::memory_order_relaxed); }

    KeyedCircuitBreakersStats read(std::size_t max_keys) const noexcept {
        const auto value = [](const auto& total) { return total.load(std::memory_order_relaxed); };
        KeyedCircuitBreakersStats stats;
        // More for a moment: who takes the place of another is counted before that one goes.
        stats.keys = std::min(value(keys_), max_keys);
        stats.not_closed = value(not_closed_);
        stats.rejected = value(rejected);
        stats.late_results = value(late);
        stats.cancelled = value(cancelled);
        stats.ignored = value(ignored);
        stats.throttled = value(throttled);
        stats.opened_count = value(opened);
        stats.evicted = value(evicted);
        stats.untracked = value(untracked);
        return stats;
    }

    Total rejected{0}, late{0}, cancelled{0}, ignored{0}, throttled{0}, opened{0}, evicted{0}, untracked{0};

  private:
    std::atomic<std::size_t> keys_{0}, not_closed_{0};
};

} // namespace detail

} // namespace velostream
