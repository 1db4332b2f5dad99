// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/token_bucket.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace velostream::token_bucket_test {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint t0{1h};

std::uint64_t take_all(TokenBucket& bucket, TimePoint now) {
    std::uint64_t taken = 0;
    while (bucket.try_take(now)) ++taken;
    return taken;
}

TEST(TokenBucket, BeginsFull) {
    TokenBucket bucket{{.permits = 10, .period = 1s}, t0};

    EXPECT_EQ(bucket.available(t0), 10u);
    EXPECT_EQ(take_all(bucket, t0), 10u);
    EXPECT_EQ(bucket.available(t0), 0u);
}

TEST(TokenBucket, PermitsComeBackOneByOne) {
    TokenBucket bucket{{.permits = 10, .period = 1s}, t0};
    take_all(bucket, t0);

    EXPECT_FALSE(bucket.try_take(t0 + 100ms - 1ns));
    EXPECT_TRUE(bucket.try_take(t0 + 100ms));
    EXPECT_FALSE(bucket.try_take(t0 + 100ms));
    EXPECT_EQ(take_all(bucket, t0 + 450ms), 3u);
}

TEST(TokenBucket, NoMoreThanABurstPilesUp) {
    TokenBucket bucket{{.permits = 10, .period = 1s, .burst = 3}, t0};

    EXPECT_EQ(take_all(bucket, t0), 3u);
    EXPECT_EQ(take_all(bucket, t0 + 24h), 3u);
}

TEST(TokenBucket, FractionsOfANanosecondAreNotLost) {
    TokenBucket thirds{{.permits = 3, .period = 1s, .burst = 1}, t0};
    std::uint64_t taken = 0;
    for (auto now = t0; now < t0 + 1000s; now = thirds.turn(0, now)) taken += thirds.try_take(now) ? 1U : 0U;
    EXPECT_EQ(taken, 3000u);

    TokenBucket sevenths{{.permits = 7, .period = 9ns, .burst = 100}, t0};
    take_all(sevenths, t0);
    taken = 0;
    for (int i = 1; i <= 90; ++i) taken += take_all(sevenths, t0 + i * 1ns);
    EXPECT_EQ(taken, 70u);
}

TEST(TokenBucket, TheTurnOfANewcomerIsWhenThoseBeforeHimHaveTheirs) {
    TokenBucket bucket{{.permits = 10, .period = 1s, .burst = 2}, t0};

    EXPECT_EQ(bucket.turn(0, t0), t0);
    EXPECT_EQ(bucket.turn(1, t0), t0);
    EXPECT_EQ(bucket.turn(2, t0), t0 + 100ms);
    take_all(bucket, t0);
    EXPECT_EQ(bucket.turn(0, t0), t0 + 100ms);
    EXPECT_EQ(bucket.turn(4, t0), t0 + 500ms);
    EXPECT_EQ(bucket.turn(0, t0 + 1s), t0 + 1s);
}

TEST(TokenBucket, ATurnIsTheFirstMomentAtWhichItCanTake) {
    for (const std::uint64_t permits : {1U, 2U, 3U, 5U, 7U, 1000U})
        for (const Duration period : {1ns, 2ns, 9ns, 1000ns})
            for (const std::uint64_t burst : {1U, 2U, 5U})
                for (std::uint64_t ahead = 0; ahead < 12; ++ahead) {
                    if (std::cmp_greater(permits, period.count())) continue; // not legal
                    TokenBucket bucket{{permits, period, burst}, t0};
                    bucket.try_take(t0);
                    const auto turn = bucket.turn(ahead, t0);
                    auto now = t0;
                    for (std::uint64_t before = 0; before < ahead; ++before) {
                        now = bucket.turn(0, now);
                        ASSERT_TRUE(bucket.try_take(now));
                    }
                    ASSERT_TRUE(turn == t0 || !bucket.try_take(turn - 1ns));
                    ASSERT_TRUE(bucket.try_take(turn));
                }
}

TEST(TokenBucket, WhatItSaysIsAvailableIsWhatCanBeTaken) {
    TokenBucket bucket{{.permits = 7, .period = 10ns}, t0};
    take_all(bucket, t0);

    for (auto now = t0; now <= t0 + 12ns; now += 1ns) {
        auto taken_from = bucket;
        EXPECT_EQ(bucket.available(now), take_all(taken_from, now)) << (now - t0).count();
    }
}

TEST(TokenBucket, WhatIsMissingStaysMissingUnderAnotherRate) {
    TokenBucket bucket{{.permits = 10, .period = 1s}, t0};
    for (int i = 0; i < 4; ++i) bucket.try_take(t0);

    bucket.set_rate({.permits = 100, .period = 1s}, t0);

    EXPECT_EQ(bucket.available(t0), 96u);
    EXPECT_EQ(bucket.available(t0 + 10ms), 97u);
}

TEST(TokenBucket, NoMoreThanABurstIsMissingUnderASmallerOne) {
    TokenBucket bucket{{.permits = 10, .period = 10s}, t0};
    while (bucket.try_take(t0)) {
    }

    bucket.set_rate({.permits = 1, .period = 1s, .burst = 9}, t0 + 500ms); // nine and a half are missing

    EXPECT_EQ(bucket.turn(0, t0 + 500ms), t0 + 1500ms);
}

TEST(TokenBucket, APermitOnItsWayIsNotLostUnderAnotherRate) {
    TokenBucket bucket{{.permits = 10, .period = 1s, .burst = 1}, t0};
    bucket.try_take(t0);

    bucket.set_rate({.permits = 1, .period = 1s, .burst = 1}, t0 + 75ms);

    EXPECT_EQ(bucket.turn(0, t0 + 75ms), t0 + 75ms + 250ms) << "a quarter of a permit was missing";
    for (int i = 0; i < 1000; ++i)
        bucket.set_rate({.permits = i % 2 == 0 ? 3U : 1U, .period = 1s, .burst = 1}, t0 + 75ms);
    EXPECT_LE(bucket.turn(0, t0 + 75ms) - (t0 + 75ms + 250ms), 2us) << "nor by many changes";
    EXPECT_GE(bucket.turn(0, t0 + 75ms), t0 + 75ms + 250ms) << "nor won by them";
}

TEST(TokenBucket, NoMoreIsMissingThanABucketHolds) {
    TokenBucket bucket{{.permits = 1000, .period = 1s}, t0};
    take_all(bucket, t0);

    bucket.set_rate({.permits = 1, .period = 1s, .burst = 2}, t0);

    EXPECT_EQ(bucket.turn(0, t0), t0 + 1s);
    EXPECT_EQ(bucket.available(t0 + 2s), 2u);

    TokenBucket on_its_way{{.permits = 10, .period = 10s}, t0};
    take_all(on_its_way, t0);
    on_its_way.set_rate({.permits = 1, .period = 1s, .burst = 2}, t0 + 500ms); // 9.5 permits are missing
    EXPECT_EQ(on_its_way.turn(0, t0 + 500ms), t0 + 1500ms);
}

TEST(TokenBucket, SaturatesInsteadOfWrapping) {
    TokenBucket slow{{.permits = 1, .period = 24h, .burst = 1}, t0};
    slow.try_take(t0);
    EXPECT_EQ(slow.turn(1'000'000'000, t0), TimePoint::max());
    EXPECT_EQ(slow.turn(9, t0), t0 + 240h);

    TokenBucket large{{.permits = 1'000'000'000, .period = 24h, .burst = 1'000'000'000}, TimePoint::max() - 1h};
    EXPECT_TRUE(large.try_take(TimePoint::max() - 1h));
    EXPECT_EQ(large.available(TimePoint::max() - 1h), 999'999'999u);
    EXPECT_LE(large.turn(1'000'000'000, TimePoint::max() - 1h), TimePoint::max());
}

// The rule itself, looked up in everything that was taken so far.
class Reference {
  public:
    explicit Reference(const Rate& rate) : rate_(rate) {}

    bool has_room(TimePoint now) const {
        std::int64_t count = 1;
        for (auto taken = taken_.rbegin(); taken != taken_.rend(); ++taken)
            if (!fits(++count, now - *taken)) return false;
        return true;
    }
    void take(TimePoint now) { taken_.push_back(now); }

    // Every interval between two takes, whatever their order was.
    bool bound_holds() {
        std::ranges::sort(taken_);
        for (std::size_t from = 0; from < taken_.size(); ++from)
            for (std::size_t to = from; to < taken_.size(); ++to)
                if (!fits(static_cast<std::int64_t>(to - from + 1), taken_[to] - taken_[from])) return false;
        return true;
    }

  private:
    bool fits(std::int64_t count, Duration length) const {
        const auto burst = static_cast<std::int64_t>(rate_.effective_burst());
        return (count - burst) * rate_.period.count() <= length.count() * static_cast<std::int64_t>(rate_.permits);
    }

    const Rate rate_;
    std::vector<TimePoint> taken_;
};

TEST(TokenBucketProperties, EveryShortSequenceIsExact) {
    constexpr int steps = 6, gaps = 4;
    for (std::uint64_t permits = 1; permits <= 3; ++permits)
        for (int period = 1; period <= 4; ++period)
            for (std::uint64_t burst = 1; burst <= 3; ++burst)
                for (int sequence = 0; sequence < 4096; ++sequence) {
                    const Rate rate{permits, period * 1ns, burst};
                    TokenBucket bucket{rate, t0};
                    Reference reference{rate};
                    auto now = t0;
                    for (int step = 0, rest = sequence; step < steps; ++step, rest /= gaps) {
                        now += rest % gaps * 1ns;
                        const bool has_room = reference.has_room(now);
                        ASSERT_EQ(bucket.try_take(now), has_room)
                            << permits << " in " << period << " ns, burst " << burst << ", sequence " << sequence;
                        if (has_room) reference.take(now);
                    }
                }
}

TEST(TokenBucketProperties, RandomSequencesAreExact) {
    std::mt19937_64 random{7};
    for (int round = 0; round < 300; ++round) {
        const Rate rate{1 + random() % 1000, Duration{1000 + static_cast<std::int64_t>(random() % 1'000'000)},
                        1 + random() % 20};
        const auto interval = static_cast<std::uint64_t>(rate.period.count()) / rate.permits + 1;
        TokenBucket bucket{rate, t0};
        Reference reference{rate};
        auto now = t0;
        for (int step = 0; step < 200; ++step) {
            now += Duration{static_cast<std::int64_t>(random() % (2 * interval))};
            const bool has_room = reference.has_room(now);
            ASSERT_EQ(bucket.try_take(now), has_room) << "round " << round << ", step " << step;
            if (has_room) reference.take(now);
        }
        ASSERT_TRUE(reference.bound_holds());
    }
}

TEST(TokenBucketProperties, TheBoundHoldsAlsoWhereTimesComeOutOfOrder) {
    std::mt19937_64 random{11};
    for (int round = 0; round < 2000; ++round) {
        const Rate rate{1 + random() % 5, Duration{5 + static_cast<std::int64_t>(random() % 20)}, 1 + random() % 4};
        TokenBucket bucket{rate, t0};
        Reference reference{rate};
        for (int step = 0; step < 60; ++step) {
            const auto asked = t0 + Duration{step + static_cast<std::int64_t>(random() % 8)};
            if (bucket.try_take(asked)) reference.take(asked);
        }
        ASSERT_TRUE(reference.bound_holds()) << "round " << round;
    }
}

} // namespace
} // namespace velostream::token_bucket_test
