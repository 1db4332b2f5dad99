// SPDX-License-Identifier: Apache-2.0
#include "kafka/offset_tracker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace velostream::kafka {
namespace {

TEST(OffsetTracker, HasNoPositionBeforeTheFirstRecordIsDone) {
    OffsetTracker tracker;
    tracker.read(7);

    EXPECT_EQ(tracker.position(), std::nullopt);
    EXPECT_EQ(tracker.open(), 1U);
}

TEST(OffsetTracker, MovesOnlyOverRecordsThatAreAllDone) {
    OffsetTracker tracker;
    const auto first = tracker.read(10);
    const auto second = tracker.read(11);
    const auto third = tracker.read(12);

    EXPECT_FALSE(tracker.done(second));
    EXPECT_EQ(tracker.position(), std::nullopt);
    EXPECT_TRUE(tracker.done(first));
    EXPECT_EQ(tracker.position(), 12);
    EXPECT_TRUE(tracker.done(third));
    EXPECT_EQ(tracker.position(), 13);
    EXPECT_EQ(tracker.open(), 0U);
}

TEST(OffsetTracker, GapsBetweenOffsetsDoNotHoldItUp) {
    OffsetTracker tracker;
    const auto first = tracker.read(10);
    const auto second = tracker.read(500);
    tracker.done(first);
    tracker.done(second);

    EXPECT_EQ(tracker.position(), 501);
}

TEST(OffsetTracker, DoneTwiceOrNeverReadHasNoEffect) {
    OffsetTracker tracker;
    const auto first = tracker.read(0);
    tracker.read(1);
    tracker.done(first);

    EXPECT_FALSE(tracker.done(first));
    EXPECT_FALSE(tracker.done(99));
    EXPECT_EQ(tracker.position(), 1);
}

TEST(OffsetTracker, AnyOrderOfCompletionEndsAtTheEnd) {
    std::mt19937 random{3};
    for (int round = 0; round < 50; ++round) {
        OffsetTracker tracker;
        std::vector<std::uint64_t> numbers;
        for (int i = 0; i < 300; ++i) numbers.push_back(tracker.read(i));
        std::shuffle(numbers.begin(), numbers.end(), random);

        std::vector<bool> is_done(301, false);
        for (const auto number : numbers) {
            tracker.done(number);
            is_done[number] = true;
            const auto expected = std::distance(is_done.begin(), std::find(is_done.begin(), is_done.end(), false));
            ASSERT_EQ(tracker.position().value_or(0), expected);
        }
    }
}

} // namespace
} // namespace velostream::kafka
