// SPDX-License-Identifier: Apache-2.0
#include "accounting/line_ledger.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace orders {
namespace {

TEST(LineLedger, RecognisesALineThatComesAgain) {
    LineLedger ledger;
    EXPECT_TRUE(ledger.take_up(0));
    EXPECT_FALSE(ledger.take_up(0));
    EXPECT_TRUE(ledger.take_up(2));
    EXPECT_FALSE(ledger.take_up(2));
    EXPECT_EQ(ledger.first_missing(), 1U);
    EXPECT_TRUE(ledger.take_up(1));
    EXPECT_EQ(ledger.first_missing(), 3U);
    EXPECT_EQ(ledger.count(), 3U);
}

TEST(LineLedger, CountsEveryLineOnceInAnyOrder) {
    std::vector<std::uint64_t> lines(5'000);
    std::iota(lines.begin(), lines.end(), 0U);
    lines.insert(lines.end(), lines.begin(), lines.begin() + 700);
    std::shuffle(lines.begin(), lines.end(), std::mt19937{7});

    LineLedger ledger;
    const auto fresh = std::ranges::count_if(lines, [&](std::uint64_t line) { return ledger.take_up(line); });

    EXPECT_EQ(fresh, 5'000);
    EXPECT_EQ(ledger.count(), 5'000U);
    EXPECT_EQ(ledger.first_missing(), 5'000U);
}

} // namespace
} // namespace orders
