// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/backoff_schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "velostream/core/backoff_random.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t lowest = 0;
constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t last_retry = std::numeric_limits<std::uint32_t>::max();

std::vector<Duration> delays(const BackoffStrategy& strategy, std::uint32_t count) {
    const BackoffSchedule schedule{strategy};
    std::vector<Duration> delays;
    for (std::uint32_t retry = 0; retry < count; ++retry) delays.push_back(schedule.delay(retry));
    return delays;
}

TEST(BackoffSchedule, DoublesByDefaultFromAHundredMilliseconds) {
    EXPECT_EQ(delays(ExponentialBackoff{}, 4), (std::vector<Duration>{100ms, 200ms, 400ms, 800ms}));
}

TEST(BackoffSchedule, GrowsExponentiallyUpToTheCap) {
    EXPECT_EQ(delays(ExponentialBackoff{.initial_delay = 1s, .max_delay = 5s, .multiplier = 1.5}, 6),
              (std::vector<Duration>{1s, 1500ms, 2250ms, 3375ms, 5s, 5s}));
}

TEST(BackoffSchedule, CapsTheFirstDelayToo) {
    EXPECT_EQ(delays(ExponentialBackoff{.initial_delay = 10s, .max_delay = 3s}, 2), (std::vector<Duration>{3s, 3s}));
    EXPECT_EQ(delays(LinearBackoff{.initial_delay = 10s, .increment = 1s, .max_delay = 3s}, 2),
              (std::vector<Duration>{3s, 3s}));
}

TEST(BackoffSchedule, AFixedIntervalStaysTheSame) {
    EXPECT_EQ(delays(FixedInterval{2s}, 3), (std::vector<Duration>{2s, 2s, 2s}));
}

TEST(BackoffSchedule, GrowsLinearlyAndIsCappedIfAsked) {
    EXPECT_EQ(delays(LinearBackoff{}, 4), (std::vector<Duration>{100ms, 200ms, 300ms, 400ms}));
    EXPECT_EQ(delays(LinearBackoff{.max_delay = 250ms}, 4), (std::vector<Duration>{100ms, 200ms, 250ms, 250ms}));
}

TEST(BackoffSchedule, SaturatesForAnyRetryAndAnyDurations) {
    constexpr auto most = Duration::max();
    struct Case {
        BackoffStrategy strategy;
        Duration at_the_end;
    };
    for (const auto& [strategy, at_the_end] :
         {Case{ExponentialBackoff{}, 30s}, Case{ExponentialBackoff{.max_delay = most}, most},
          Case{ExponentialBackoff{.initial_delay = most, .max_delay = most, .multiplier = 1e300}, most},
          Case{ExponentialBackoff{.multiplier = 1.0}, 100ms}, Case{FixedInterval{most}, most},
          Case{LinearBackoff{.initial_delay = most, .increment = most}, most},
          Case{LinearBackoff{.initial_delay = 1ns, .increment = Duration::zero()}, 1ns}}) {
        const BackoffSchedule schedule{strategy};
        EXPECT_EQ(schedule.delay(last_retry), at_the_end);
        auto previous = Duration::zero();
        for (std::uint64_t retry = 0; retry <= last_retry; retry = retry * 2 + 1) {
            const auto delay = schedule.delay(static_cast<std::uint32_t>(retry));
            ASSERT_GE(delay, previous);
            previous = delay;
        }
    }
}

TEST(BackoffSchedule, IsMonotoneEvenWhereTheMultiplierIsBarelyOne) {
    const BackoffSchedule schedule{ExponentialBackoff{.multiplier = 1.0000001}};
    auto previous = Duration::zero();
    for (std::uint32_t retry = 0; retry < 200'000; ++retry) {
        const auto delay = schedule.delay(retry);
        ASSERT_GE(delay, previous) << retry;
        ASSERT_LE(delay, 30s);
        previous = delay;
    }
}

struct Bounds {
    Duration low, high;
};

Bounds bounds(const BackoffStrategy& strategy, Jitter jitter, std::uint32_t retry, Duration previous = {}) {
    const BackoffSchedule schedule{strategy, jitter};
    return {schedule.delay(retry, previous, lowest), schedule.delay(retry, previous, highest)};
}

TEST(BackoffSchedule, EachJitterSpreadsOverItsRange) {
    const ExponentialBackoff strategy{.initial_delay = 100ms, .max_delay = 1s};
    const auto expect = [&](Jitter jitter, std::uint32_t retry, Duration previous, Bounds expected) {
        const auto [low, high] = bounds(strategy, jitter, retry, previous);
        EXPECT_EQ(low, expected.low) << static_cast<int>(jitter);
        EXPECT_EQ(high, expected.high) << static_cast<int>(jitter);
    };
    expect(Jitter::none, 2, {}, {400ms, 400ms});
    expect(Jitter::full, 2, {}, {1ns, 400ms});
    expect(Jitter::equal, 2, {}, {200ms, 400ms});
    expect(Jitter::proportional, 2, {}, {300ms, 500ms});
    expect(Jitter::decorrelated, 0, {}, {100ms, 300ms});
    expect(Jitter::decorrelated, 2, 200ms, {100ms, 600ms});
}

TEST(BackoffSchedule, EqualJitterOfAFewNanosecondsIsHalfOfThemAtLeast) {
    for (const auto& [delay, low] : {Bounds{0ns, 1ns}, {1ns, 1ns}, {2ns, 1ns}, {3ns, 2ns}, {4ns, 2ns}}) {
        const auto range = bounds(FixedInterval{delay}, Jitter::equal, 0);
        EXPECT_EQ(range.low, low) << delay.count();
        EXPECT_EQ(range.high, std::max<Duration>(delay, 1ns)) << delay.count();
    }
}

TEST(BackoffSchedule, NoJitterExceedsTheCap) {
    const ExponentialBackoff strategy{.initial_delay = 100ms, .max_delay = 1s};

    EXPECT_EQ(bounds(strategy, Jitter::proportional, 9).low, 750ms) << "many callers at the cap still spread";
    EXPECT_EQ(bounds(strategy, Jitter::proportional, 9).high, 1s);
    EXPECT_EQ(bounds(strategy, Jitter::decorrelated, 9, 900ms).high, 1s);
    EXPECT_EQ(bounds(strategy, Jitter::full, 9).high, 1s);
}

TEST(BackoffSchedule, AtTheCapProportionalJitterSpreadsEvenlyUpToIt) {
    const BackoffSchedule schedule{ExponentialBackoff{.initial_delay = 100ms, .max_delay = 1s}, Jitter::proportional};

    EXPECT_EQ(schedule.delay(9, {}, highest / 2), 875ms) << "halfway between three quarters and the cap";
}

TEST(BackoffSchedule, AStrategyWithoutACapIsHeldToAMultipleOfItsOwnDelay) {
    EXPECT_EQ(bounds(FixedInterval{1s}, Jitter::proportional, 5).high, 1250ms);
    EXPECT_EQ(bounds(FixedInterval{1s}, Jitter::decorrelated, 5, 3s).high, 3s);
}

TEST(BackoffSchedule, IsPositiveAndWithinTheCapForRandomStrategies) {
    std::mt19937_64 random{42};
    const auto any_duration = [&] { return Duration{1 + static_cast<Duration::rep>(random() >> (1 + random() % 62))}; };
    for (int i = 0; i < 100'000; ++i) {
        BackoffStrategy strategy;
        switch (random() % 3) {
            case 0:
                strategy = ExponentialBackoff{any_duration(), any_duration(),
                                              1.0 + static_cast<double>(random() % 1000) / 100};
                break;
            case 1:
                strategy = FixedInterval{any_duration()};
                break;
            default:
                strategy = LinearBackoff{any_duration(), any_duration() - 1ns};
                if (random() % 2) std::get<LinearBackoff>(strategy).max_delay = any_duration();
        }
        const BackoffSchedule schedule{strategy, static_cast<Jitter>(random() % 5)};
        const auto retry = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
        const auto delay = schedule.delay(retry, any_duration(), random());
        ASSERT_GT(delay, Duration::zero());
        ASSERT_LE(delay, schedule.cap());
        ASSERT_LE(schedule.delay(retry), schedule.cap());
        ASSERT_GT(schedule.delay(retry), Duration::zero());
        ASSERT_LE(schedule.delay(retry / 2), schedule.delay(retry));
        ASSERT_LE(schedule.delay(retry), schedule.delay(std::max(retry, retry + 1)));
    }
}

struct Spread {
    Jitter jitter;
    Duration low, high; // of retry 1, whose delay without jitter is 200 ms, after a delay of 150 ms
};

class BackoffJitter : public ::testing::TestWithParam<Spread> {};

INSTANTIATE_TEST_SUITE_P(Kinds, BackoffJitter,
                         ::testing::Values(Spread{Jitter::full, 0ms, 200ms}, Spread{Jitter::equal, 100ms, 200ms},
                                           Spread{Jitter::decorrelated, 100ms, 450ms},
                                           Spread{Jitter::proportional, 150ms, 250ms}));

TEST_P(BackoffJitter, IsUniformOverItsWholeRange) {
    const auto [jitter, low, high] = GetParam();
    const BackoffSchedule schedule{ExponentialBackoff{}, jitter};
    BackoffRandom random{1};
    constexpr int parts = 20, draws = 200'000;
    std::vector<int> counts(parts);
    for (int i = 0; i < draws; ++i) {
        const auto delay = schedule.delay(1, 150ms, random.next());
        ASSERT_GE(delay, low);
        ASSERT_LE(delay, high);
        const auto part = (std::min<Duration>(delay, high - 1ns) - low) * parts / (high - low);
        ++counts[static_cast<std::size_t>(part)];
    }

    // Chi-square with 19 degrees of freedom: above 50.8 once in 10 000 fair runs; the seed is fixed.
    double chi_square = 0;
    for (const int count : counts) {
        const double expected = static_cast<double>(draws) / parts;
        chi_square += (count - expected) * (count - expected) / expected;
    }
    EXPECT_LT(chi_square, 50.8);
}

TEST(BackoffSchedule, DelaysOfOneSequenceAreIndependent) {
    const BackoffSchedule schedule{FixedInterval{1s}, Jitter::full};
    BackoffRandom random{2};
    constexpr int parts = 10, draws = 200'000;
    std::vector<int> pairs(parts * parts);
    const auto part = [&] { return (schedule.delay(0, {}, random.next()) - 1ns) / 100ms; };
    auto before = part();
    for (int i = 0; i < draws; ++i) {
        const auto next = part();
        ++pairs[static_cast<std::size_t>(before * parts + next)];
        before = next;
    }

    // Chi-square of the pairs, 99 degrees of freedom: above 161 once in 10 000 fair runs.
    double chi_square = 0;
    for (const int count : pairs) {
        const double expected = static_cast<double>(draws) / (parts * parts);
        chi_square += (count - expected) * (count - expected) / expected;
    }
    EXPECT_LT(chi_square, 161);
}

TEST(BackoffRandom, GivesTheSameNumbersForTheSameSeed) {
    BackoffRandom first{7}, second{7}, other{8};
    for (int i = 0; i < 100; ++i) {
        const auto number = first.next();
        EXPECT_EQ(number, second.next());
        EXPECT_NE(number, other.next());
    }
}

TEST(BackoffRandom, UnseededInstancesDiffer) {
    BackoffRandom first, second;
    EXPECT_NE(first.next(), second.next());
}

} // namespace
} // namespace velostream
