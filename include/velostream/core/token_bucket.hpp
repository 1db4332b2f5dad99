// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>

#include "velostream/base/units.hpp"
#include "velostream/config/rate_limiter_config.hpp"

namespace velostream {

/// Permits that come back evenly over time and pile up to `burst`.
///
/// Exact, in integers: over any interval of length t at most burst + t × permits / period are taken, and whoever asks
/// when that leaves room for one gets it. Beyond the range of the clock it saturates: such a turn never comes.
///
/// Time is an argument. It may go back from call to call, as it does where threads read the clock in one order and ask
/// in another; the bound holds all the same.
///
/// Threads: one at a time.
class TokenBucket {
  public:
    /// Full at `now`. `rate` must be legal.
    TokenBucket(const Rate& rate, TimePoint now) noexcept;

    /// Takes a permit, if there is one.
    bool try_take(TimePoint now) noexcept {
        const auto from = from_at(now);
        // Whoever takes the last permit of a burst finds those before it still missing.
        if (from > Instant{saturating_add(now, missing_before_last_.whole), missing_before_last_.part}) return false;
        full_at_ = after(from, 1);
        return true;
    }

    /// When there is a permit for one who comes after `ahead` others, each of whom takes his as soon as he can; `now`
    /// at the earliest. At most 1000000000 others.
    TimePoint turn(std::uint64_t ahead, TimePoint now) const noexcept;

    /// How many could be taken at `now`.
    std::uint64_t available(TimePoint now) const noexcept;

    /// From now on another rate. What is missing stays missing, in permits, down to the fraction of one that is on its
    /// way, but not more than a bucket of the new size holds.
    void set_rate(const Rate& rate, TimePoint now) noexcept;

  private:
    // A moment in nanoseconds and parts of `parts_` of one.
    struct Instant {
        TimePoint at;
        std::uint64_t part = 0; // < parts_
        friend auto operator<=>(const Instant&, const Instant&) = default;
    };
    struct Span {
        Duration whole{0};
        std::uint64_t part = 0; // < parts_
    };

    void use(const Rate& rate) noexcept;
    Span permits(std::uint64_t count) const noexcept;
    Instant from_at(TimePoint now) const noexcept { return full_at_ > Instant{now} ? full_at_ : Instant{now}; }
    Instant after(const Instant& from, std::uint64_t count) const noexcept {
        const auto by = count == 1 ? interval_ : permits(count);
        const auto part = from.part + by.part;
        if (part < parts_) return {saturating_add(from.at, by.whole), part};
        return {saturating_add(saturating_add(from.at, by.whole), Duration{1}), part - parts_};
    }

    // A permit takes period / permits to come back: a fraction of nanoseconds, whose denominator is `parts_` once it is
    // reduced. All moments of the bucket are multiples of that part. It takes a nanosecond at least, so whoever takes
    // the last of a burst of several, at the first nanosecond that he can, does not move the bucket on by waiting for
    // that: turns are exact.
    std::uint64_t parts_ = 1;
    Span interval_;            // of one permit
    Span missing_before_last_; // burst − 1 permits
    std::uint64_t burst_ = 1;
    // When the bucket will be full if nobody takes: what is missing now is full_at_ − now. The bound follows from this:
    // whoever takes at time b finds full_at_ ≤ b + (burst − 1) × interval, and leaves it one interval later; whoever
    // takes at time a or later leaves it at a + interval or later, and everybody moves it on by an interval. So n takes
    // between a and b, in whatever order, fit n ≤ burst + (b − a) / interval.
    Instant full_at_;
};

} // namespace velostream
