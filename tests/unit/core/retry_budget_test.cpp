// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_budget.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "velostream/core/accounted_memory.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

const TimePoint start{1h};

// Takes retries at `at` until there are none, and keeps them.
std::size_t drain(const RetryBudget& budget, TimePoint at) {
    for (std::size_t granted = 0;; ++granted) {
        auto withdrawal = budget.try_withdraw(at);
        if (!withdrawal) return granted;
        withdrawal->spend();
    }
}

void call(const RetryBudget& budget, TimePoint at, int times) {
    for (int i = 0; i < times; ++i) budget.record_call(at);
}

TEST(RetryBudget, RefusesAnUnusableConfig) {
    EXPECT_THROW(RetryBudget{RetryBudgetConfig{.ratio = 2}}, std::invalid_argument);
}

TEST(RetryBudget, IsChargedToItsAccountUntilTheLastHandleHasGone) {
    const MemoryAccount account{"budgets", 4096}, full{"full", 1000};
    {
        std::optional<RetryBudget> other;
        {
            const RetryBudget budget{{}, account};
            other = budget;
        }
        EXPECT_GE(account.used(), 1000U);
        EXPECT_LE(account.used(), 2048U);
    }
    EXPECT_EQ(account.used(), 0U);
    EXPECT_THROW((RetryBudget{{}, full}), MemoryRefusedException);
    EXPECT_EQ(full.used(), 0U);
}

TEST(RetryBudget, GrantsATenthOfTheCallsAndTheReserveOfTheWindow) {
    const RetryBudget budget;
    EXPECT_EQ(drain(budget, start), 10U) << "one for each second of the window";

    call(budget, start, 9);
    EXPECT_EQ(drain(budget, start), 0U);
    call(budget, start, 1);
    EXPECT_EQ(drain(budget, start), 1U);
    call(budget, start, 1000);
    EXPECT_EQ(drain(budget, start), 100U);
}

struct RuleCase {
    RetryBudgetConfig config;
    int calls;
    std::size_t granted;
};

class RetryBudgetRule : public ::testing::TestWithParam<RuleCase> {};

INSTANTIATE_TEST_SUITE_P(
    Table, RetryBudgetRule,
    ::testing::Values(RuleCase{{.ratio = 0, .reserve_per_second = 0}, 1000, 0},
                      RuleCase{{.ratio = 1, .reserve_per_second = 0}, 1000, 1000},
                      RuleCase{{.ratio = 0.3, .reserve_per_second = 0}, 10, 3}, // 0.3 × 10 < 3 in binary fractions
                      RuleCase{{.ratio = 0.1, .reserve_per_second = 0}, 9, 0},
                      RuleCase{{.ratio = 1.0 / 3, .reserve_per_second = 0}, 3, 1},
                      RuleCase{{.ratio = 1e-300, .reserve_per_second = 0}, 1000, 0},
                      RuleCase{{.ratio = 0.5, .reserve_per_second = 0.05}, 1, 1}, // a half and a half
                      RuleCase{{.ratio = 0, .reserve_per_second = 0.25}, 0, 2},
                      RuleCase{{.ratio = 0, .reserve_per_second = 3, .window = 1s}, 0, 3},
                      RuleCase{{.ratio = 0, .reserve_per_second = 1, .window = 1h}, 0, 3600}));

TEST_P(RetryBudgetRule, IsKeptWithoutRounding) {
    const RetryBudget budget{GetParam().config};
    call(budget, start, GetParam().calls);
    EXPECT_EQ(budget.get_stats(start).allowed, GetParam().granted);
    EXPECT_EQ(drain(budget, start), GetParam().granted);
}

TEST(RetryBudget, ForgetsCallsAndRetriesWithTheirWindow) {
    const RetryBudget budget{{.ratio = 1, .reserve_per_second = 0}};
    call(budget, start, 5);
    EXPECT_EQ(drain(budget, start + 3s), 5U);

    EXPECT_EQ(budget.get_stats(start + 9s).calls, 5U);
    EXPECT_EQ(budget.get_stats(start + 10s).calls, 0U);
    EXPECT_EQ(budget.get_stats(start + 12s).retries, 5U);
    EXPECT_EQ(budget.get_stats(start + 13s).retries, 0U);
    call(budget, start + 12s, 7);
    EXPECT_EQ(drain(budget, start + 12s), 2U) << "the five of before still count";
    EXPECT_EQ(drain(budget, start + 13s), 5U);
    EXPECT_EQ(drain(budget, start + 200s), 0U);
}

TEST(RetryBudget, TheReserveOfTwoWindowsMayComeCloseTogetherAndNoMore) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10, .window = 10s}};
    const TimePoint end_of_a_tenth{1s - 1ns};

    EXPECT_EQ(drain(budget, end_of_a_tenth), 100U);
    EXPECT_EQ(drain(budget, TimePoint{10s - 1ns}), 0U) << "in the window that begins with that tenth";
    EXPECT_EQ(drain(budget, TimePoint{10s}), 100U) << "10 x (9 seconds + 1.1 windows) within 9 seconds";
    EXPECT_EQ(drain(budget, TimePoint{20s - 1ns}), 0U);
}

TEST(RetryBudget, PaysBackWhatIsNotSpent) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.1}};
    {
        const auto withdrawal = budget.try_withdraw(start);
        ASSERT_TRUE(withdrawal);
        EXPECT_FALSE(budget.try_withdraw(start));
    }
    auto again = budget.try_withdraw(start);
    ASSERT_TRUE(again);
    again->spend();
    again.reset();
    EXPECT_FALSE(budget.try_withdraw(start));

    const auto stats = budget.get_stats(start);
    EXPECT_EQ(stats.retries, 1U);
    EXPECT_EQ(stats.withdrawn, 2U);
    EXPECT_EQ(stats.refunded, 1U);
    EXPECT_EQ(stats.refused, 2U);
}

TEST(RetryBudget, PaysBackOnceHoweverAWithdrawalIsMoved) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.2}};
    auto first = *budget.try_withdraw(start);
    auto second = *budget.try_withdraw(start);
    first = std::move(second);
    EXPECT_EQ(budget.get_stats(start).retries, 1U) << "the one that was replaced";
    {
        const auto last = std::move(first);
    }
    EXPECT_EQ(budget.get_stats(start).retries, 0U);
    EXPECT_EQ(budget.get_stats(start).refunded, 2U);
}

TEST(RetryBudget, AWithdrawalThatIsAssignedIsPaidBackWhereItWasTaken) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.2}}; // two in ten seconds
    auto kept = budget.try_withdraw(start);
    auto later = budget.try_withdraw(start + 9s);
    ASSERT_TRUE(kept && later);

    *kept = std::move(*later); // the first is paid back
    EXPECT_EQ(budget.get_stats(start + 9s).retries, 1U);
    EXPECT_EQ(budget.get_stats(start + 12s).retries, 1U) << "that of the ninth second";
    kept.reset();

    EXPECT_EQ(budget.get_stats(start + 12s).retries, 0U);
}

TEST(RetryBudget, WhatComesAfterAMomentIsNotInItsWindow) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 1}};
    budget.record_call(start + 5s);

    EXPECT_EQ(budget.get_stats(start).calls, 0U);
    EXPECT_EQ(budget.get_stats(start + 5s).calls, 1U);
}

TEST(RetryBudget, ARefundAfterItsWindowGivesNobodyMore) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.1}};
    auto early = budget.try_withdraw(start);
    EXPECT_EQ(drain(budget, start + 20s), 1U);

    early.reset();

    EXPECT_EQ(drain(budget, start + 20s), 0U);
}

TEST(RetryBudget, AClockThatFallsBehindCountsAsTheLatest) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.1}};
    EXPECT_EQ(drain(budget, start + 20s), 1U);

    EXPECT_EQ(drain(budget, start), 0U);
    EXPECT_EQ(drain(budget, start + 29s), 0U);
    EXPECT_EQ(drain(budget, start + 30s), 1U);
}

TEST(RetryBudget, ACallThatIsToldOfAfterItsWindowTakesNoOthersPlace) {
    const RetryBudget budget{{.ratio = 1, .reserve_per_second = 0}};
    call(budget, start + 10s, 3);

    budget.record_call(start);

    EXPECT_EQ(budget.get_stats(start + 10s).calls, 3U);
    EXPECT_EQ(drain(budget, start + 10s), 3U);
}

TEST(RetryBudget, AnyMomentIsLegal) {
    const RetryBudget budget{{.ratio = 1, .reserve_per_second = 0.1}};
    for (const auto at : {TimePoint::min(), start, TimePoint::max()}) {
        EXPECT_EQ(drain(budget, at), 1U);
        budget.record_call(at);
        EXPECT_EQ(drain(budget, at), 1U);
    }
}

TEST(RetryBudget, CopiesAreTheSameBudget) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 0.1}};
    const auto copy = budget;
    EXPECT_EQ(copy, budget);
    EXPECT_NE(copy, RetryBudget{});

    EXPECT_EQ(drain(copy, start), 1U);
    EXPECT_EQ(drain(budget, start), 0U);
    EXPECT_EQ(budget.config().reserve_per_second, 0.1);
}

// Random traffic against a list of all that happened: granted is exactly what the rule allows, and over every stretch
// of time the bound of the docstring holds.
TEST(RetryBudget, GrantsExactlyWhatTheRuleAllowsInRandomTraffic) {
    std::mt19937_64 random{7};
    for (int round = 0; round < 60; ++round) {
        const RetryBudgetConfig config{.ratio = static_cast<double>(random() % 11) / 10,
                                       .reserve_per_second = static_cast<double>(random() % 4) / 2,
                                       .window = 1s * static_cast<int>(1 + random() % 20)};
        const RetryBudget budget{config};
        const auto tenth = config.window / 10;
        const auto number = [&](TimePoint at) { return at.time_since_epoch() / tenth; };
        std::vector<TimePoint> calls, retries;
        std::vector<std::pair<TimePoint, RetryBudget::Withdrawal>> waiting;
        const auto within_window = [&](const std::vector<TimePoint>& events, TimePoint now) {
            return std::ranges::end(events) -
                   std::ranges::upper_bound(events, number(now) - 10, {}, number); // in their order
        };
        auto now = start;
        for (int step = 0; step < 1500; ++step) {
            if (random() % 8 == 0) now += tenth * static_cast<int>(random() % (random() % 50 == 0 ? 40 : 3)) / 2;
            const auto choice = random() % 10;
            if (choice < 5) {
                budget.record_call(now);
                calls.push_back(now);
            } else if (choice < 9) {
                // In twentieths: all of these ratios and reserves are whole numbers then.
                const auto paid = std::llround(config.ratio * 20) * within_window(calls, now) +
                                  std::llround(config.reserve_per_second * 20) * (config.window / 1s);
                const bool allowed = (within_window(retries, now) + 1) * 20 <= paid;
                auto withdrawal = budget.try_withdraw(now);
                ASSERT_EQ(withdrawal.has_value(), allowed) << "round " << round << ", step " << step;
                if (!withdrawal) continue;
                retries.push_back(now);
                if (random() % 3 == 0)
                    waiting.emplace_back(now, std::move(*withdrawal));
                else
                    withdrawal->spend();
            } else if (!waiting.empty()) { // cancelled
                const auto one = waiting.begin() + static_cast<std::ptrdiff_t>(random() % waiting.size());
                retries.erase(std::ranges::find(retries, one->first));
                waiting.erase(one);
            }
        }
        for (auto& [at, withdrawal] : waiting) withdrawal.spend();

        // Stretches that begin with a retry and end with one are the hardest.
        const double seconds_of_window = std::chrono::duration<double>{config.window}.count();
        for (std::size_t from = 0; from < retries.size(); from += 7)
            for (std::size_t to = from; to < retries.size(); to += 5) {
                const auto paying = std::ranges::upper_bound(calls, retries[to]) -
                                    std::ranges::upper_bound(calls, retries[from] - config.window);
                const double seconds = std::chrono::duration<double>{retries[to] - retries[from]}.count();
                ASSERT_LE(static_cast<double>(to - from + 1),
                          config.ratio * static_cast<double>(paying) +
                              config.reserve_per_second * (seconds + 1.1 * seconds_of_window) + 1e-6)
                    << "round " << round;
            }
    }
}

} // namespace
} // namespace velostream
