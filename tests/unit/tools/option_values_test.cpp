// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/option_values.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "tools/dlq/shown.hpp"

namespace velostream::dlq {
namespace {

using namespace std::chrono_literals;

const WallTime now{std::chrono::milliseconds{1'700'000'000'000}}; // 2023-11-14T22:13:20Z

TEST(OptionValuesTest, AWholeNumberIsDecimalDigitsOnly) {
    EXPECT_EQ(whole_number("010"), 10U);
    EXPECT_EQ(whole_number("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
    for (const auto* text : {"", "-1", "+1", "1 ", "0x1", "18446744073709551616"})
        EXPECT_FALSE(whole_number(text)) << text;
}

TEST(OptionValuesTest, ASpanOfTimeHasAUnit) {
    EXPECT_EQ(time_span("500ms"), 500ms);
    EXPECT_EQ(time_span("30s"), 30s);
    EXPECT_EQ(time_span("5m"), 5min);
    EXPECT_EQ(time_span("1h"), 1h);
    EXPECT_EQ(time_span("7d"), 168h);
    EXPECT_EQ(time_span("3653d"), std::chrono::days{3653});
    for (const auto* text : {"", "5", "s", "0s", "-5s", "5 s", "5x", "3654d", "9223372036854775807d"})
        EXPECT_FALSE(time_span(text)) << text;
}

TEST(OptionValuesTest, APointInTimeIsADateInUtcOrSoLongAgo) {
    const auto read = [](const char* text) { return to_text(point_in_time(text, now).value_or(WallTime{})); };
    EXPECT_EQ(read("2026-11-29"), "2026-11-29T00:00:00.000Z");
    EXPECT_EQ(read("2026-11-29T10:05"), "2026-11-29T10:05:00.000Z");
    EXPECT_EQ(read("2026-11-29T10:05:30"), "2026-11-29T10:05:30.000Z");
    EXPECT_EQ(read("2026-11-29T10:05:30.250Z"), "2026-11-29T10:05:30.250Z");
    EXPECT_EQ(read("2024-02-29Z"), "2024-02-29T00:00:00.000Z");
    EXPECT_EQ(read("90m"), "2023-11-14T20:43:20.000Z");
    for (const auto* text :
         {"", "2026", "2026-13-01", "2023-02-29", "2026-11-29T24:00", "2026-11-29T10:60", "2026-11-29T10",
          "2026-11-29T10:05:61", "2026-11-29T10:05:30.25", "2026-11-29 10:05", "2026-11-29Zx"})
        EXPECT_FALSE(point_in_time(text, now)) << text;
}

TEST(OptionValuesTest, WhatSayHowTimesAreShownIsReadAgain) {
    EXPECT_EQ(point_in_time(to_text(now), now), now);
}

TEST(OptionValuesTest, APlaceIsPartitionAndOffset) {
    EXPECT_EQ(place("3:42"), (Place{3, 42}));
    EXPECT_EQ(to_string(*place("0:9223372036854775807")), "0:9223372036854775807");
    for (const auto* text : {"", "3", "3:", ":4", "-1:4", "3:-4", "3:4:5", "a:b", "2147483648:0"})
        EXPECT_FALSE(place(text)) << text;
}

TEST(OptionValuesTest, ASpanOfAPartitionIncludesItsLastOffset) {
    constexpr auto last = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(partition_span("3"), (PartitionSpan{3, 0, last}));
    EXPECT_EQ(partition_span("3:100"), (PartitionSpan{3, 100, 100}));
    EXPECT_EQ(partition_span("3:100-200"), (PartitionSpan{3, 100, 200}));
    EXPECT_EQ(partition_span("3:100-"), (PartitionSpan{3, 100, last}));
    EXPECT_TRUE(partition_span("3:100-200")->holds({3, 200}));
    EXPECT_FALSE(partition_span("3:100-200")->holds({3, 201}));
    EXPECT_FALSE(partition_span("3:100-200")->holds({4, 150}));
    for (const auto* text : {"", "x", "3:", "3:-5", "3:9-8", "3:1-2-3", "-3"})
        EXPECT_FALSE(partition_span(text)) << text;
}

TEST(OptionValuesTest, AFingerprintIsHexadecimal) {
    EXPECT_EQ(fingerprint("00000000000000ff"), 255U);
    EXPECT_EQ(fingerprint("FF"), 255U);
    for (const auto* text : {"", "0x1", "g", "10000000000000000"}) EXPECT_FALSE(fingerprint(text)) << text;
}

TEST(OptionValuesTest, AHeaderIsANamePerhapsWithAValue) {
    EXPECT_EQ(header_match("trace"), (HeaderMatch{"trace", std::nullopt}));
    EXPECT_EQ(header_match("trace="), (HeaderMatch{"trace", ""}));
    EXPECT_EQ(header_match("trace=a=b"), (HeaderMatch{"trace", "a=b"}));
    EXPECT_FALSE(header_match("=a"));
    EXPECT_FALSE(header_match(""));
}

TEST(OptionValuesTest, APropertyHasANameAndAValue) {
    EXPECT_EQ(property("sasl.password=a=b"), (std::pair<std::string, std::string>{"sasl.password", "a=b"}));
    EXPECT_FALSE(property("sasl.password"));
    EXPECT_FALSE(property("=x"));
}

TEST(OptionValuesTest, ATopicHasANameThatKafkaTakes) {
    EXPECT_TRUE(is_topic("failed-records_1.x"));
    EXPECT_TRUE(is_topic(std::string(249, 'a')));
    EXPECT_FALSE(is_topic(std::string(250, 'a')));
    for (const auto* text : {"", ".", "..", "a b", "^a", "a/b"}) EXPECT_FALSE(is_topic(text)) << text;
}

} // namespace
} // namespace velostream::dlq
