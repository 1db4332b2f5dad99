// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/flood_guard.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

namespace velostream {
namespace {

using namespace std::chrono_literals;

class FloodGuardTest : public ::testing::Test {
  protected:
    // Empty if it may become a dead letter.
    std::string letter(std::uint64_t cause) {
        const auto hold = guard().on_letter(now, false, cause, processed);
        return hold ? std::string{hold->why} : "";
    }
    std::string bad_record() {
        const auto hold = guard().on_letter(now, true, 1, processed);
        return hold ? std::string{hold->why} : "";
    }
    // How many of `letters` with causes that all differ come through before the first is held.
    int until_held(int letters) {
        for (int count = 0; count < letters; ++count)
            if (!letter(next_cause++).empty()) return count;
        return letters;
    }
    FloodGuard& guard() {
        if (!made) made.emplace(config);
        return *made;
    }

    FloodGuardConfig config{.max_in_a_row = 20, .max_share = 0.8, .sample = 10, .window = 60s, .hold = 10s};
    TimePoint now{1h};
    std::uint64_t processed = 0, next_cause = 1000;
    std::optional<FloodGuard> made;
};

TEST_F(FloodGuardTest, TooManyInARowAreAFlood) {
    EXPECT_EQ(until_held(100), 20);
    EXPECT_EQ(letter(1), "too many in a row");
}

TEST_F(FloodGuardTest, ARecordThatWasProcessedEndsTheRow) {
    EXPECT_EQ(until_held(20), 20);
    ++processed;
    EXPECT_EQ(until_held(100), 20);
}

TEST_F(FloodGuardTest, AnOldOneIsNoneOfTheRow) {
    EXPECT_EQ(until_held(20), 20);
    now += 60s + 1ns;
    EXPECT_EQ(until_held(19), 19);
    now += 60s;
    EXPECT_EQ(until_held(100), 1) << "the twentieth came just in time";
}

TEST_F(FloodGuardTest, MostOfTheLastOnesWithOneCauseAreAFlood) {
    for (int count = 0; count < 9; ++count) EXPECT_EQ(letter(7), "");
    EXPECT_EQ(letter(7), "one cause");
}

TEST_F(FloodGuardTest, OneCauseIsMoreThanItsShareOfTheSampleThatSlides) {
    for (const int cause : {7, 7, 7, 7, 1, 7, 2, 7, 7, 7}) EXPECT_EQ(letter(static_cast<std::uint64_t>(cause)), "");
    EXPECT_EQ(letter(7), "") << "eight of ten: the share may be 0.8";
    for (int count = 0; count < 3; ++count) EXPECT_EQ(letter(7), "");
    EXPECT_EQ(letter(7), "one cause") << "now the first other one has left the sample";
}

TEST_F(FloodGuardTest, OneCauseIsNoFloodIfItTakesLongOrIfMostRecordsAreProcessed) {
    for (int count = 0; count < 12; ++count) {
        EXPECT_EQ(letter(7), "");
        now += 7s; // ten take 63 s
    }
    made.reset();
    for (int count = 0; count < 15; ++count) {
        EXPECT_EQ(letter(7), "");
        processed += 5; // the ten are less than a fifth
    }
    made.reset();
    std::string last;
    for (int count = 0; count < 10; ++count) {
        last = letter(7);
        processed += 4;
    }
    EXPECT_EQ(last, "one cause");
}

TEST_F(FloodGuardTest, OneCauseIsNoFloodIfItIsAFifthOfTheRecords) {
    EXPECT_EQ(letter(7), "");
    processed = 40;
    for (int count = 0; count < 9; ++count) EXPECT_EQ(letter(7), "");
}

TEST_F(FloodGuardTest, TheHoldLastsAndThenFewAreEnoughForTheNext) {
    until_held(100);
    const auto end = now + 10s;
    now = end - 1ns;
    const auto held = guard().on_letter(now, false, 1, processed);
    ASSERT_TRUE(held);
    EXPECT_EQ(held->until, end);
    EXPECT_FALSE(held->begins);

    now = end;
    EXPECT_EQ(until_held(100), 4);
    EXPECT_EQ(letter(1), "not over yet");
    now += 10s + 60s;
    EXPECT_EQ(until_held(100), 4) << "just now";
    now += 10s + 60s + 1ns;
    EXPECT_EQ(until_held(100), 20) << "long ago";
}

TEST_F(FloodGuardTest, AfterAHoldNoMoreComeThroughThanBefore) {
    config.max_in_a_row = 2;
    EXPECT_EQ(until_held(100), 2);
    now += 10s;
    EXPECT_EQ(until_held(100), 2);
}

TEST_F(FloodGuardTest, TheSampleBeginsAnewAfterAHold) {
    for (const auto cause : {1U, 2U, 3U, 7U, 7U, 7U, 7U, 7U, 7U, 7U, 7U}) EXPECT_EQ(letter(cause), "");
    EXPECT_EQ(letter(7), "one cause");
    now += 10s;
    for (int count = 0; count < 10; ++count, ++processed) {
        EXPECT_EQ(letter(7), "") << "the first of the ten are too old";
        if (count == 1) now += 60s + 1ns;
    }
}

TEST_F(FloodGuardTest, TheFirstThatIsHeldSaysSo) {
    until_held(20);
    const auto first = guard().on_letter(now, false, 1, processed);
    ASSERT_TRUE(first);
    EXPECT_TRUE(first->begins);
    EXPECT_EQ(first->until, now + 10s);
}

TEST_F(FloodGuardTest, BadRecordsNeverAreAFlood) {
    for (int count = 0; count < 1000; ++count) EXPECT_EQ(bad_record(), "");
    EXPECT_EQ(until_held(100), 20) << "nor do they count, or end a row";
    EXPECT_EQ(bad_record(), "") << "nor are they held for others";
}

TEST_F(FloodGuardTest, BadRecordsAreAFloodWhereARatioSaysSo) {
    config.max_bad_ratio = 0.4;
    for (int count = 0; count < 10; ++count) {
        EXPECT_EQ(bad_record(), "") << count;
        processed += 3;
    }
    for (int count = 0; count < 10; ++count) EXPECT_EQ(bad_record(), "") << "twenty of fifty may be";
    EXPECT_EQ(bad_record(), "too many bad records");
    now += 10s;
    for (int count = 0; count < 9; ++count) EXPECT_EQ(bad_record(), "") << "fewer than the sample say nothing";
    EXPECT_EQ(bad_record(), "too many bad records");
}

TEST_F(FloodGuardTest, BadRecordsAreHeldAsLongAsTheirFloodLasts) {
    config.max_bad_ratio = 0.4;
    for (int count = 0; count < 9; ++count) EXPECT_EQ(bad_record(), "");
    EXPECT_EQ(bad_record(), "too many bad records");
    now += 10s - 1ns;
    EXPECT_EQ(bad_record(), "too many bad records");
    now += 1ns;
    EXPECT_EQ(bad_record(), "");
}

TEST_F(FloodGuardTest, BadRecordsAreCountedAnewInEachWindow) {
    config.max_bad_ratio = 0.5;
    for (int count = 0; count < 9; ++count) EXPECT_EQ(bad_record(), "");
    now += 60s;
    for (int count = 0; count < 9; ++count) EXPECT_EQ(bad_record(), "");
    EXPECT_EQ(bad_record(), "too many bad records");
}

TEST_F(FloodGuardTest, SwitchedOffItHoldsNothing) {
    config.enabled = false;
    EXPECT_EQ(until_held(10'000), 10'000);
}

TEST_F(FloodGuardTest, AShareOfOneNeverHolds) {
    config.max_share = 1;
    for (int count = 0; count < 20; ++count) EXPECT_EQ(letter(7), "");
}

TEST_F(FloodGuardTest, TimesAtTheEndOfTheClockDoNotWrapAround) {
    config.window = config.hold = Duration::max();
    now = TimePoint::max() - 1s;
    EXPECT_EQ(until_held(100), 20);
    EXPECT_EQ(letter(1), "too many in a row");
    now = TimePoint::max() - 1ns;
    EXPECT_EQ(letter(1), "too many in a row") << "the hold has no end";
}

} // namespace
} // namespace velostream
