// SPDX-License-Identifier: Apache-2.0
#include "loss_watch.hpp"

#include <gtest/gtest.h>

namespace orders {
namespace {

using namespace std::chrono_literals;

constexpr LossWatch::TimePoint t0{};
constexpr LossWatch::View missing{.written = 10, .taken_up = 7, .all_acknowledged = true, .at_end = true};
constexpr auto too_long = LossWatch::longest_pause + 1ms;

/// Whether lines that look like this from the start until too long after are lost.
bool are_lost_if_they_stay(const LossWatch::View& view) {
    LossWatch watch{t0};
    EXPECT_FALSE(watch.are_lost(view, t0));
    return watch.are_lost(view, t0 + too_long);
}

TEST(LossWatch, FindsLinesThatAreMissingAtTheEndOfAllPartitions) {
    EXPECT_TRUE(are_lost_if_they_stay(missing));
}

TEST(LossWatch, FindsNothingWhereLinesMayStillCome) {
    auto on_their_way = missing, unread = missing, complete = missing;
    on_their_way.all_acknowledged = false;
    unread.at_end = false;
    complete.taken_up = complete.written;

    EXPECT_FALSE(are_lost_if_they_stay(on_their_way));
    EXPECT_FALSE(are_lost_if_they_stay(unread));
    EXPECT_FALSE(are_lost_if_they_stay(complete));
}

TEST(LossWatch, WaitsForTheLongestPauseAfterTheLastLine) {
    LossWatch watch{t0};
    auto one_more = missing;
    one_more.taken_up = 8;

    EXPECT_FALSE(watch.are_lost(missing, t0));
    EXPECT_FALSE(watch.are_lost(missing, t0 + 59s));
    EXPECT_FALSE(watch.are_lost(one_more, t0 + 61s));
    EXPECT_FALSE(watch.are_lost(one_more, t0 + 121s));
    EXPECT_TRUE(watch.are_lost(one_more, t0 + 121s + 1ms));
}

} // namespace
} // namespace orders
