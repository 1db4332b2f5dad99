// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/token_bucket.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace velostream {

namespace {

__extension__ using Wide = unsigned __int128;

// Legal rates keep everything here far below 2^127: 10^9 permits, periods of 2^47 ns, buckets that fill within a year.
constexpr Duration clamped(Wide nanoseconds) noexcept {
    constexpr auto most = static_cast<Wide>(std::numeric_limits<Duration::rep>::max());
    return Duration{static_cast<Duration::rep>(std::min(nanoseconds, most))};
}

} // namespace

TokenBucket::TokenBucket(const Rate& rate, TimePoint now) noexcept : full_at_{now} {
    use(rate);
}

void TokenBucket::use(const Rate& rate) noexcept {
    const auto period = static_cast<std::uint64_t>(rate.period.count());
    const auto divisor = std::gcd(period, rate.permits);
    parts_ = rate.permits / divisor;
    const auto parts_of_a_permit = period / divisor;
    interval_ = {clamped(parts_of_a_permit / parts_), parts_of_a_permit % parts_};
    burst_ = rate.effective_burst();
    if (burst_ == 1 && interval_.part > 0) { // callers come at whole nanoseconds: nobody could take the rest
        interval_ = {interval_.whole + Duration{1}, 0};
        parts_ = 1;
    }
    missing_before_last_ = permits(burst_ - 1);
}

TokenBucket::Span TokenBucket::permits(std::uint64_t count) const noexcept {
    const auto part = count * interval_.part; // both below 2^31
    const auto whole = Wide{count} * static_cast<std::uint64_t>(interval_.whole.count()) + part / parts_;
    return {clamped(whole), part % parts_};
}

TimePoint TokenBucket::turn(std::uint64_t ahead, TimePoint now) const noexcept {
    auto at = from_at(now);
    if (ahead >= burst_ - 1) {
        at = after(at, ahead - (burst_ - 1));
    } else {
        const auto by = permits(burst_ - 1 - ahead);
        at.at = saturating_add(at.at, -by.whole);
        if (at.part < by.part) {
            at.at = saturating_add(at.at, Duration{-1});
            at.part += parts_;
        }
        at.part -= by.part;
    }
    return std::max(now, at.part > 0 ? saturating_add(at.at, Duration{1}) : at.at);
}

std::uint64_t TokenBucket::available(TimePoint now) const noexcept {
    if (full_at_ <= Instant{now}) return burst_;
    const auto permit = Wide{static_cast<std::uint64_t>(interval_.whole.count())} * parts_ + interval_.part;
    const auto missing = Wide{static_cast<std::uint64_t>((full_at_.at - now).count())} * parts_ + full_at_.part;
    const auto taken = (missing + permit - 1) / permit;
    return taken < burst_ ? burst_ - static_cast<std::uint64_t>(taken) : 0;
}

void TokenBucket::set_rate(const Rate& rate, TimePoint now) noexcept {
    const auto old_permit = Wide{static_cast<std::uint64_t>(interval_.whole.count())} * parts_ + interval_.part;
    const auto from = from_at(now);
    const auto missing = Wide{static_cast<std::uint64_t>((from.at - now).count())} * parts_ + from.part;
    auto count = missing / old_permit, fraction = missing % old_permit;
    use(rate);
    if (count >= burst_) {
        count = burst_;
        fraction = 0;
    }
    const auto permit = Wide{static_cast<std::uint64_t>(interval_.whole.count())} * parts_ + interval_.part;
    const auto still_missing = count * permit + (fraction * permit + old_permit - 1) / old_permit;
    full_at_ = {saturating_add(now, clamped(still_missing / parts_)),
                static_cast<std::uint64_t>(still_missing % parts_)};
}

} // namespace velostream
