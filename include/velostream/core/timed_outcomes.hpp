// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "velostream/core/breaker_rules.hpp"

namespace velostream {

class CountedOutcomes;

/// How many outcomes of the last while failed or were slow, by buckets of time that begin at multiples of their width.
/// How many outcomes there have been in all is counted elsewhere; each bucket remembers how many that were when it
/// began. So an outcome that neither failed nor was slow changes nothing here.
///
/// Covers the bucket of the present and the `buckets` − 1 before it: between (buckets − 1) / buckets and the whole of
/// the duration, depending on how old the present bucket is.
///
/// Threads:  one at a time.
/// Lifetime: the memory must outlive it.
class TimedOutcomes {
  public:
    /// Legal: `buckets` ≥ 1, and at least a nanosecond for each.
    TimedOutcomes(Duration duration, std::size_t buckets, std::pmr::memory_resource& memory);
    TimedOutcomes(TimedOutcomes&&) noexcept = default;
    TimedOutcomes& operator=(TimedOutcomes&&) = delete;

    /// Takes over what another window of time holds of `all` outcomes at `now`, each bucket at its beginning.
    void take_over(const TimedOutcomes& other, TimePoint now, std::uint64_t all) noexcept;
    /// Takes over what a window of a number of outcomes holds, as if all of it were of `now`.
    void take_over(const OutcomeCounts& counts, TimePoint now, std::uint64_t all) noexcept;

    /// An empty window, which begins with the first `advance`.
    void clear() noexcept;

    /// Begins the bucket of `now`, after `all` outcomes. Not before `bucket_end()`.
    void advance(TimePoint now, std::uint64_t all) noexcept;
    /// When the present bucket ends; the beginning of time where there is none yet.
    TimePoint bucket_end() const noexcept;

    /// An outcome of the present bucket failed, was slow, or both.
    void note(bool failed, bool slow) noexcept;

    /// The window at `now`, after `all` outcomes; as of the present bucket if `now` is not beyond it.
    OutcomeCounts counts(TimePoint now, std::uint64_t all) const noexcept;

    /// How many outcomes there had been when the oldest bucket began.
    std::uint64_t beginning() const noexcept { return bucket(oldest()).before; }

    /// Calls `visit(beginning, outcomes before it, its counts)` for each bucket, the oldest first, after `all`
    /// outcomes.
    template <std::invocable<TimePoint, std::uint64_t, const OutcomeCounts&> Visit>
    void for_each(std::uint64_t all, Visit visit) const {
        for (auto tick = oldest(); tick <= tick_; ++tick) {
            const auto& shown = bucket(tick);
            const auto calls = (tick == tick_ ? all : bucket(tick + 1).before) - shown.before;
            visit(beginning_of(tick), shown.before,
                  OutcomeCounts{calls, std::min(shown.failures, calls), std::min(shown.slow, calls)});
        }
    }

  private:
    using Tick = std::int64_t;
    struct Bucket {
        std::uint64_t before = 0, failures = 0, slow = 0;
    };

    Tick tick_of(TimePoint time) const noexcept;
    TimePoint beginning_of(Tick tick) const noexcept;
    Tick span() const noexcept { return static_cast<Tick>(buckets_.size()); }
    Tick oldest() const noexcept { return tick_ - span() + 1; }
    std::size_t place(Tick tick) const noexcept { return static_cast<std::size_t>((tick % span() + span()) % span()); }
    Bucket& bucket(Tick tick) noexcept { return buckets_[place(tick)]; }
    const Bucket& bucket(Tick tick) const noexcept { return buckets_[place(tick)]; }

    Duration width_;
    bool has_begun_ = false;
    Tick tick_ = 0;                       // of the present bucket
    std::uint64_t failed_ = 0, slow_ = 0; // in all buckets
    std::pmr::vector<Bucket> buckets_;    // of the ticks up to that one, each at its number modulo their number
};

} // namespace velostream
