// SPDX-License-Identifier: Apache-2.0
#include "program/options.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace orders {
namespace {

using namespace std::chrono_literals;

TEST(ParseOutage, TakesPerCentOrLinesAndALength) {
    const auto percent = parse_outage("40%+3s");
    ASSERT_TRUE(percent);
    EXPECT_TRUE(percent->at_percent);
    EXPECT_EQ(percent->at, 40U);
    EXPECT_EQ(percent->length, 3s);

    const auto lines = parse_outage("200000+500ms");
    ASSERT_TRUE(lines);
    EXPECT_FALSE(lines->at_percent);
    EXPECT_EQ(lines->at, 200'000U);
    EXPECT_EQ(lines->length, 500ms);
}

TEST(ParseOutage, RefusesEverythingElse) {
    for (const auto* text : {"", "40%", "+3s", "40%+", "101%+3s", "x%+3s", "40%+3", "40%+3m", "40%+0s", "-1+3s",
                             "40%+-3s", "40%+3s ", "40%+99999999999s", "40%+3s+2s"})
        EXPECT_FALSE(parse_outage(text)) << text;
}

} // namespace
} // namespace orders
