// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/timed_outcomes.hpp"

namespace velostream {

TimedOutcomes::TimedOutcomes(Duration duration, std::size_t buckets, std::pmr::memory_resource& memory)
    : width_((duration - Duration{1}) / static_cast<Duration::rep>(buckets) + Duration{1}), // rounded up
      buckets_(buckets, &memory) {}

TimedOutcomes::Tick TimedOutcomes::tick_of(TimePoint time) const noexcept {
    const auto since = time.time_since_epoch();
    return since / width_ - (since % width_ < Duration::zero());
}

TimePoint TimedOutcomes::beginning_of(Tick tick) const noexcept {
    Duration::rep since = 0;
    if (__builtin_mul_overflow(tick, width_.count(), &since)) return tick > 0 ? TimePoint::max() : TimePoint::min();
    return TimePoint{Duration{since}};
}

void TimedOutcomes::clear() noexcept {
    has_begun_ = false;
    failed_ = slow_ = 0;
    std::ranges::fill(buckets_, Bucket{});
}

TimePoint TimedOutcomes::bucket_end() const noexcept {
    return has_begun_ ? beginning_of(tick_ + 1) : TimePoint::min();
}

void TimedOutcomes::advance(TimePoint now, std::uint64_t all) noexcept {
    const auto to = tick_of(now);
    const bool all_over = !has_begun_ || to - tick_ >= span();
    // In a window that has just begun, all outcomes so far are of its first bucket.
    const auto before = has_begun_ ? all : buckets_.front().before;
    for (auto tick = all_over ? to - span() + 1 : tick_ + 1; tick <= to; ++tick) {
        auto& next = bucket(tick);
        failed_ -= next.failures;
        slow_ -= next.slow;
        next = {before, 0, 0};
    }
    tick_ = to;
    has_begun_ = true;
}

void TimedOutcomes::note(bool failed, bool slow) noexcept {
    auto& present = bucket(tick_);
    present.failures += failed;
    present.slow += slow;
    failed_ += failed;
    slow_ += slow;
}

OutcomeCounts TimedOutcomes::counts(TimePoint now, std::uint64_t all) const noexcept {
    const auto first = has_begun_ && now >= bucket_end() ? tick_of(now) - span() + 1 : oldest();
    if (first > tick_) return {};
    auto failures = failed_, slow = slow_;
    for (auto tick = oldest(); tick < first; ++tick) {
        failures -= bucket(tick).failures;
        slow -= bucket(tick).slow;
    }
    const auto calls = all - bucket(first).before;
    return {calls, std::min(failures, calls), std::min(slow, calls)};
}

void TimedOutcomes::take_over(const TimedOutcomes& other, TimePoint now, std::uint64_t all) noexcept {
    clear();
    if (!other.has_begun_) return;
    other.for_each(all, [&](TimePoint beginning, std::uint64_t before, const OutcomeCounts& counts) {
        if (!has_begun_) std::ranges::fill(buckets_, Bucket{before, 0, 0});
        if (beginning >= bucket_end()) advance(beginning, before);
        auto& present = bucket(tick_);
        present.failures += counts.failures;
        present.slow += counts.slow;
        failed_ += counts.failures;
        slow_ += counts.slow;
    });
    if (now >= bucket_end()) advance(now, all);
}

void TimedOutcomes::take_over(const OutcomeCounts& counts, TimePoint now, std::uint64_t all) noexcept {
    clear();
    std::ranges::fill(buckets_, Bucket{all - counts.calls, 0, 0});
    advance(now, all);
    auto& present = bucket(tick_);
    present.failures = failed_ = counts.failures;
    present.slow = slow_ = counts.slow;
}

} // namespace velostream
