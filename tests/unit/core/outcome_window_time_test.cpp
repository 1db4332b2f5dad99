// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "breaker_fixture.hpp"
#include "velostream/core/outcome_window.hpp"

namespace velostream::testing {
namespace {

CircuitBreakerConfig last(Duration duration, std::size_t buckets = 10, std::size_t minimum = 10) {
    return {.failure_threshold = 1'000'000'000,
            .minimum_throughput = minimum,
            .sliding_window_duration = duration,
            .sliding_window_buckets = buckets};
}

WindowEntry record(OutcomeWindow& window, std::uint32_t era, bool failed, bool slow, TimePoint now) {
    return failed || slow ? window.record(era, failed, slow, now) : window.record_success(era, now);
}

// What a window of time holds, the obvious way.
class ReferenceTimeWindow {
  public:
    ReferenceTimeWindow(Duration width, Duration::rep buckets) : width_(width), buckets_(buckets) {}

    void record(bool failed, bool slow, TimePoint now) { outcomes_.push_back({bucket_of(now), failed, slow}); }
    OutcomeCounts counts(TimePoint now) const {
        OutcomeCounts counts;
        for (const auto& outcome : outcomes_) {
            if (outcome.bucket + buckets_ <= bucket_of(now)) continue;
            ++counts.calls;
            counts.failures += outcome.failed;
            counts.slow += outcome.slow;
        }
        return counts;
    }

  private:
    struct Outcome {
        Duration::rep bucket;
        bool failed, slow;
    };
    Duration::rep bucket_of(TimePoint at) const { return at.time_since_epoch() / width_; }

    Duration width_;
    Duration::rep buckets_;
    std::vector<Outcome> outcomes_;
};

TEST(OutcomeWindowOfTime, HoldsExactlyTheOutcomesOfItsBuckets) {
    std::mt19937_64 random{20240502};
    for (const std::size_t buckets : {1U, 2U, 3U, 10U, 60U})
        for (const Duration::rep milliseconds : {1, 50, 400, 20'000}) {
            const Duration width{milliseconds * 1'000'000};
            OutcomeWindow window{last(width * static_cast<Duration::rep>(buckets), buckets)};
            ReferenceTimeWindow reference{width, static_cast<Duration::rep>(buckets)};
            auto now = t0;
            for (int i = 0; i < 2000; ++i) {
                now += Duration{random() % 200 * 1'000'000};
                if (random() % 200 == 0) now += Duration{random() % 600 * 1'000'000'000};
                const bool failed = random() % 3 == 0, slow = random() % 4 == 0;
                record(window, 0, failed, slow, now);
                reference.record(failed, slow, now);
                ASSERT_EQ(window.counts(now), reference.counts(now))
                    << buckets << " of " << milliseconds << " ms, " << i;
                const auto later = now + Duration{random() % 30'000 * 1'000'000};
                ASSERT_EQ(window.counts(later), reference.counts(later)) << "looking ahead changes nothing";
            }
        }
}

TEST(OutcomeWindowOfTime, CoversBetweenAllButOneBucketAndTheWholeDuration) {
    OutcomeWindow window{last(10s)};
    window.record(0, true, false, t0 + 999ms); // late in its bucket
    EXPECT_EQ(window.counts(t0 + 10s - 1ns).failures, 1u);
    EXPECT_EQ(window.counts(t0 + 10s).failures, 0u) << "after 9 buckets and a little";

    OutcomeWindow other{last(10s)};
    other.record(0, true, false, t0); // early in its bucket
    EXPECT_EQ(other.counts(t0 + 10s - 1ns).failures, 1u) << "for all of the duration";
    EXPECT_EQ(other.counts(t0 + 10s).failures, 0u);
}

TEST(OutcomeWindowOfTime, ALongSilenceEmptiesIt) {
    OutcomeWindow window{last(10s)};
    for (int i = 0; i < 100; ++i) record(window, 0, i % 2 == 0, false, t0);

    record(window, 0, true, false, t0 + 10'000h);

    EXPECT_EQ(window.counts(t0 + 10'000h), (OutcomeCounts{1, 1, 0}));
    EXPECT_EQ(window.counts(t0 + 20'000h), OutcomeCounts{});
    EXPECT_EQ(window.counts(TimePoint::max()), OutcomeCounts{});
}

TEST(OutcomeWindowOfTime, BucketsBeginAtMultiplesOfTheirWidthAlsoBeforeTheEpoch) {
    OutcomeWindow window{last(2s, 2)};
    const TimePoint before{-500ms};
    record(window, 0, true, false, before);
    EXPECT_EQ(window.counts(before + 1s), (OutcomeCounts{1, 1, 0}));

    record(window, 0, true, false, TimePoint{1s});

    EXPECT_EQ(window.counts(TimePoint{1s}), (OutcomeCounts{1, 1, 0}));
}

TEST(OutcomeWindowOfTime, AWidthThatDoesNotDivideIsRoundedUp) {
    const Duration odd{10'000'000'001};
    OutcomeWindow window{last(odd)};
    const TimePoint bucket{Duration{1'000'000'001} * 1000};

    window.record(0, true, false, bucket);

    EXPECT_EQ(window.counts(bucket + 10 * Duration{1'000'000'001} - 1ns).failures, 1u);
    EXPECT_EQ(window.counts(bucket + 10 * Duration{1'000'000'001}).failures, 0u);
}

TEST(OutcomeWindowOfTime, AnOutcomeOfThePastIsCountedInThePresentBucket) {
    OutcomeWindow window{last(10s)};
    record(window, 0, false, false, t0 + 5s);

    record(window, 0, true, false, t0 + 1s);

    EXPECT_EQ(window.counts(t0 + 14s), (OutcomeCounts{2, 1, 0}));
}

TEST(OutcomeWindowOfTime, AsksToBeJudgedAgainWhenABucketBegins) {
    OutcomeWindow window{last(10s)};
    for (int i = 1; i <= 11; ++i) EXPECT_EQ(window.record_success(0, t0), WindowEntry::to_judge) << i;
    EXPECT_EQ(window.record_success(0, t0), WindowEntry::counted);
    EXPECT_EQ(window.record_success(0, t0 + 999ms), WindowEntry::counted);

    EXPECT_EQ(window.record_success(0, t0 + 1s), WindowEntry::to_judge) << "what left the window may change a rate";
    EXPECT_EQ(window.record_success(0, t0 + 1s), WindowEntry::counted);

    EXPECT_EQ(window.record_success(0, t0 + 60s), WindowEntry::to_judge);
    EXPECT_EQ(window.record_success(0, t0 + 60s), WindowEntry::to_judge) << "below the minimum again";
}

TEST(OutcomeWindowOfTime, TakesNothingFromAnotherEra) {
    OutcomeWindow window{last(10s)};
    window.record(0, true, false, t0);
    window.begin_era(3);
    window.record(3, true, true, t0 + 1s);

    for (const std::uint32_t other : {0U, 6U, 2U}) {
        EXPECT_EQ(window.record_success(other, t0 + 90s), WindowEntry::late);
        EXPECT_EQ(window.record(other, true, true, t0 + 90s), WindowEntry::late);
    }

    EXPECT_EQ(window.counts(t0 + 1s), (OutcomeCounts{1, 1, 1})) << "and no time passes for it either";
}

TEST(OutcomeWindowOfTime, IsOffByNoMoreThanTheOutcomesThatWereBeingRecorded) {
    constexpr int thread_count = 4, calls = 20'000;
    constexpr Duration width = 1ms;
    OutcomeWindow window{last(10 * width)};
    std::vector<std::thread> threads;
    // Every thread has a time of its own that all share but for the call that each is making.
    std::atomic<int> made{0};
    for (int thread = 0; thread < thread_count; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < calls; ++i) {
                const auto now = t0 + Duration{made.fetch_add(1) * 1000}; // 1000 calls in a bucket
                record(window, 0, i % 8 == 0, false, now);
                if (thread == 0 && i % 100 == 99) {
                    const auto seen = window.counts();
                    EXPECT_LE(seen.failures, seen.calls);
                    EXPECT_LE(seen.calls, 10'000u + 2 * thread_count);
                }
            }
        });
    for (auto& thread : threads) thread.join();

    // At rest: whole buckets of 1000 but for what was being recorded when the oldest began.
    const auto end = t0 + Duration{(thread_count * calls - 1) * 1000};
    const auto seen = window.counts(end);
    EXPECT_GE(seen.calls + thread_count, 10'000u);
    EXPECT_LE(seen.calls, 10'000u + thread_count);
}

// Another window

TEST(OutcomeWindowChanged, ASmallerNumberKeepsTheNewestAndALargerOneAll) {
    OutcomeWindow window{{.failure_threshold = 10, .sliding_window_size = 10}};
    for (int i = 0; i < 25; ++i) record(window, 0, i % 5 == 0 || i > 22, false, t0); // 15 and 20, 23, 24

    window.reconfigure({.failure_threshold = 4, .sliding_window_size = 4}, t0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{4, 2, 0}));

    window.reconfigure({.failure_threshold = 100, .sliding_window_size = 100}, t0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{4, 2, 0})) << "what has left does not come back";
    record(window, 0, false, false, t0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{5, 2, 0}));
}

TEST(OutcomeWindowChanged, ANumberThatBecomesATimeIsOfNow) {
    OutcomeWindow window{{.failure_threshold = 10, .sliding_window_size = 10}};
    for (int i = 0; i < 25; ++i) record(window, 0, i % 2 == 0, i % 5 == 0, t0);

    window.reconfigure(last(10s), t0 + 100s);

    EXPECT_EQ(window.counts(t0 + 100s), (OutcomeCounts{10, 5, 2}));
    EXPECT_EQ(window.counts(t0 + 110s), OutcomeCounts{});
}

TEST(OutcomeWindowChanged, ATimeThatBecomesANumberKeepsTheNewestBuckets) {
    OutcomeWindow window{last(10s)};
    for (int second = 0; second < 20; ++second)
        for (int i = 0; i < 10; ++i)
            record(window, 0, second == 12 || (second == 19 && i == 0), false, t0 + second * 1s);

    window.reconfigure({.failure_threshold = 80, .sliding_window_size = 80}, t0 + 19s);
    EXPECT_EQ(window.counts(), (OutcomeCounts{80, 11, 0}));

    for (int i = 0; i < 9; ++i) record(window, 0, false, false, t0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{80, 2, 0})) << "9 of the 10 failures in the 13th second have gone";
}

TEST(OutcomeWindowChanged, AnotherTimeTakesEachBucketAtItsBeginning) {
    OutcomeWindow window{last(10s)};
    for (int second = 0; second < 10; ++second) record(window, 0, true, false, t0 + second * 1s + 900ms);

    window.reconfigure(last(4s, 8), t0 + 10s - 1ms);

    EXPECT_EQ(window.counts(t0 + 10s - 1ms), (OutcomeCounts{4, 4, 0})) << "those of 6 s to 9 s";
    EXPECT_EQ(window.counts(t0 + 11s), (OutcomeCounts{2, 2, 0}));
}

TEST(OutcomeWindowChanged, TheNextOutcomeIsLookedAtByTheNewRules) {
    OutcomeWindow window{{.failure_threshold = 5, .sliding_window_size = 100}};
    for (int i = 0; i < 50; ++i) record(window, 0, i % 20 == 0, false, t0); // 3 failures
    ASSERT_EQ(window.record_success(0), WindowEntry::counted);
    ASSERT_FALSE(window.judge());

    window.reconfigure({.failure_threshold = 3, .sliding_window_size = 100}, t0);

    EXPECT_EQ(window.record_success(0), WindowEntry::to_judge);
    ASSERT_TRUE(window.judge());
    EXPECT_EQ(window.judge()->rule, BreakerRule::failure_count);
    EXPECT_EQ(window.judge()->threshold, 3);
}

} // namespace
} // namespace velostream::testing
