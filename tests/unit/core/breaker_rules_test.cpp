// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_rules.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

using namespace std::chrono_literals;

TEST(ExactFraction, IsTheFractionThatWasWrittenDown) {
    struct Case {
        double value;
        std::uint64_t numerator, denominator;
    };
    for (const auto& [value, numerator, denominator] :
         {Case{0.5, 1, 2}, Case{0.1, 1, 10}, Case{1.0, 1, 1}, Case{0.25, 1, 4}, Case{0.333, 333, 1000},
          Case{1.0 / 3, 1, 3}, Case{2.0 / 3, 2, 3}, Case{0.7, 7, 10}, Case{0.95, 19, 20}, Case{0.001, 1, 1000},
          Case{1e-9, 1, 1'000'000'000}}) {
        const ExactFraction fraction{value};
        EXPECT_EQ(fraction.numerator(), numerator) << value;
        EXPECT_EQ(fraction.denominator(), denominator) << value;
    }
}

TEST(ExactFraction, OfATinyValueIsTheSmallestThereIs) {
    for (const double value : {9e-13, 1e-13, 1e-300, 5e-324}) {
        const ExactFraction fraction{value};
        EXPECT_EQ(fraction.numerator(), 1u) << value;
        EXPECT_EQ(fraction.denominator(), std::uint64_t{1} << 40) << value;
        EXPECT_TRUE(fraction.is_reached(1, 1'000'000'000)) << value;
    }
}

TEST(ExactFraction, IsReachedInclusivelyAndWithoutRounding) {
    const ExactFraction half{0.5};
    EXPECT_TRUE(half.is_reached(100, 200));
    EXPECT_FALSE(half.is_reached(99, 199)); // 49.7 %: rounded to percent it would be 50
    EXPECT_FALSE(half.is_reached(99, 200));

    EXPECT_TRUE(ExactFraction{0.1}.is_reached(10, 100)); // 0.1 as a double is more than 1/10
    EXPECT_TRUE(ExactFraction{2.0 / 3}.is_reached(2, 3));
    EXPECT_FALSE(ExactFraction{2.0 / 3}.is_reached(666'666, 1'000'000));
}

TEST(ExactFraction, EveryRateOfAWindowIsReachedByItselfAndMissedByOneLess) {
    for (std::uint32_t whole = 1; whole <= 300; ++whole)
        for (std::uint32_t part = 1; part <= whole; ++part) {
            const ExactFraction fraction{static_cast<double>(part) / whole};
            ASSERT_TRUE(fraction.is_reached(part, whole)) << part << "/" << whole;
            ASSERT_FALSE(fraction.is_reached(part - 1, whole)) << part << "/" << whole;
        }
}

TEST(ExactFraction, DoesNotOverflowForTheLargestWindowAndTheOddestRate) {
    for (const double value : {0.12345678901234567, 5e-324, 1e-300, 0.99999999999999989}) {
        const ExactFraction fraction{value};
        EXPECT_LE(fraction.denominator(), std::uint64_t{1} << 40);
        EXPECT_LE(fraction.numerator(), fraction.denominator());
        EXPECT_GT(fraction.numerator(), 0u);
        EXPECT_TRUE(fraction.is_reached(1'000'000, 1'000'000)) << value;
        EXPECT_FALSE(fraction.is_reached(0, 1'000'000)) << value;
    }
}

struct RulesCase {
    const char* name;
    CircuitBreakerConfig config;
    OutcomeCounts counts;
    std::optional<BreakerRule> expected;
};

class BreakerRulesTable : public ::testing::TestWithParam<RulesCase> {};

TEST_P(BreakerRulesTable, Judges) {
    EXPECT_EQ(BreakerRules{GetParam().config}.judge(GetParam().counts), GetParam().expected);
}

const CircuitBreakerConfig rates{.failure_threshold = 100,
                                 .slow_call_threshold = 1s,
                                 .slow_call_rate_threshold = 0.5,
                                 .failure_rate_threshold = 0.25};
const CircuitBreakerConfig slow_minimum_30{.failure_threshold = 100,
                                           .slow_call_threshold = 1s,
                                           .slow_call_minimum_throughput = 30,
                                           .failure_rate_threshold = 0.25};
const CircuitBreakerConfig slow_minimum_3{
    .failure_threshold = 100, .minimum_throughput = 20, .slow_call_threshold = 1s, .slow_call_minimum_throughput = 3};
const CircuitBreakerConfig minimum_20{.failure_threshold = 5, .minimum_throughput = 20, .failure_rate_threshold = 0.25};

INSTANTIATE_TEST_SUITE_P(
    Rules, BreakerRulesTable,
    ::testing::Values(RulesCase{"BelowTheCount", {}, {100, 4, 0}, std::nullopt},
                      RulesCase{"AtTheCount", {}, {100, 5, 0}, BreakerRule::failure_count},
                      RulesCase{"AboveTheCount", {}, {100, 6, 0}, BreakerRule::failure_count},
                      RulesCase{"TheCountNeedsNoMinimumUnlessSet", {}, {5, 5, 0}, BreakerRule::failure_count},
                      RulesCase{"NoRateRuleUnlessSet", {.failure_threshold = 100}, {99, 99, 99}, std::nullopt},
                      RulesCase{"BelowTheMinimumOfTheRates", rates, {9, 9, 9}, std::nullopt},
                      RulesCase{"AtTheMinimumOfTheRates", rates, {10, 9, 9}, BreakerRule::failure_rate},
                      RulesCase{"BelowTheRate", rates, {100, 24, 0}, std::nullopt},
                      RulesCase{"AtTheRate", rates, {100, 25, 0}, BreakerRule::failure_rate},
                      RulesCase{"BelowTheSlowRate", rates, {100, 0, 49}, std::nullopt},
                      RulesCase{"AtTheSlowRate", rates, {100, 0, 50}, BreakerRule::slow_call_rate},
                      RulesCase{"FailuresAndSlowCallsAreNotAddedUp", rates, {100, 24, 49}, std::nullopt},
                      RulesCase{"SlowCallsMayNeedMore", slow_minimum_30, {29, 0, 29}, std::nullopt},
                      RulesCase{"SlowCallsThatAreEnough", slow_minimum_30, {30, 0, 15}, BreakerRule::slow_call_rate},
                      RulesCase{"FailuresDoNotNeedAsMany", slow_minimum_30, {29, 8, 29}, BreakerRule::failure_rate},
                      RulesCase{"SlowCallsMayNeedLess", slow_minimum_3, {3, 0, 2}, BreakerRule::slow_call_rate},
                      RulesCase{"SlowCallsBelowTheirMinimum", slow_minimum_3, {2, 0, 2}, std::nullopt},
                      RulesCase{"AMinimumHoldsBackTheCountToo", minimum_20, {19, 19, 0}, std::nullopt},
                      RulesCase{"AMinimumThatIsReached", minimum_20, {20, 19, 0}, BreakerRule::failure_count},
                      RulesCase{"TheDefaultMinimumFitsIntoASmallWindow",
                                {.failure_threshold = 3, .sliding_window_size = 3, .failure_rate_threshold = 0.5},
                                {3, 2, 0},
                                BreakerRule::failure_rate}),
    [](const auto& test) { return test.param.name; });

TEST(BreakerRules, AFastSuccessMayOpenUntilTheLargerMinimumIsComplete) {
    EXPECT_EQ(BreakerRules{{}}.last_minimum(), 10u);
    EXPECT_EQ(BreakerRules{{.minimum_throughput = 20}}.last_minimum(), 20u);
    EXPECT_EQ((BreakerRules{{.failure_threshold = 3, .sliding_window_size = 3}}.last_minimum()), 3u);
    EXPECT_EQ(BreakerRules{slow_minimum_30}.last_minimum(), 30u);
    EXPECT_EQ(BreakerRules{slow_minimum_3}.last_minimum(), 20u);
    EXPECT_EQ(BreakerRules{{.slow_call_minimum_throughput = 30}}.last_minimum(), 10u) << "no call is slow";
}

} // namespace
} // namespace velostream
