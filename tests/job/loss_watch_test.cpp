// SPDX-License-Identifier: Apache-2.0
#include "accounting/loss_watch.hpp"

#include <gtest/gtest.h>

namespace orders {
namespace {

using namespace std::chrono_literals;

constexpr LossWatch::TimePoint t0{};
constexpr LossWatch::View missing{.written = 10, .taken_up = 7, .all_acknowledged = true};
constexpr auto too_long = LossWatch::longest_pause + 1ms;

/// Whether lines that look like this from the start until too long after are suspicious.
bool is_suspicious_if_it_stays(const LossWatch::View& view) {
    LossWatch watch{t0};
    EXPECT_FALSE(watch.is_suspicious(view, t0));
    return watch.is_suspicious(view, t0 + too_long);
}

TEST(LossWatch, SuspectsLinesThatAreAcknowledgedAndDoNotCome) {
    EXPECT_TRUE(is_suspicious_if_it_stays(missing));
}

TEST(LossWatch, SuspectsNothingWhereAllIsThereOrOnItsWayToKafka) {
    auto on_their_way = missing, complete = missing;
    on_their_way.all_acknowledged = false;
    complete.taken_up = complete.written;

    EXPECT_FALSE(is_suspicious_if_it_stays(on_their_way));
    EXPECT_FALSE(is_suspicious_if_it_stays(complete));
}

TEST(LossWatch, WaitsForTheLongestPauseAfterTheLastLine) {
    LossWatch watch{t0};
    auto one_more = missing;
    one_more.taken_up = 8;

    EXPECT_FALSE(watch.is_suspicious(missing, t0));
    EXPECT_FALSE(watch.is_suspicious(missing, t0 + 29s));
    EXPECT_FALSE(watch.is_suspicious(one_more, t0 + 31s));
    EXPECT_FALSE(watch.is_suspicious(one_more, t0 + 61s));
    EXPECT_TRUE(watch.is_suspicious(one_more, t0 + 61s + 1ms));
}

TEST(LossWatch, FindsThemLostWhenAllThatTheBrokersHaveStaysRead) {
    LossWatch watch{t0};

    EXPECT_FALSE(watch.are_lost(true, t0));
    EXPECT_FALSE(watch.are_lost(true, t0 + 30s));
    EXPECT_TRUE(watch.are_lost(true, t0 + 30s + 1ms));
}

TEST(LossWatch, BrokersThatHaveMoreOrDoNotAnswerBeginThePauseAnew) {
    LossWatch watch{t0};

    EXPECT_FALSE(watch.are_lost(true, t0));
    EXPECT_FALSE(watch.are_lost(false, t0 + 29s));
    EXPECT_FALSE(watch.are_lost(true, t0 + 31s));
    EXPECT_FALSE(watch.are_lost(true, t0 + 61s));
    EXPECT_TRUE(watch.are_lost(true, t0 + 61s + 1ms));
}

TEST(LossWatch, ALineThatComesBeginsItAnewAsWell) {
    LossWatch watch{t0};
    auto one_more = missing;
    one_more.taken_up = 8;
    EXPECT_FALSE(watch.is_suspicious(missing, t0));
    EXPECT_FALSE(watch.are_lost(true, t0));

    EXPECT_FALSE(watch.is_suspicious(one_more, t0 + 29s));

    EXPECT_FALSE(watch.are_lost(true, t0 + 31s));
    EXPECT_TRUE(watch.are_lost(true, t0 + 61s + 1ms));
}

TEST(AllRead, ComparesWhatTheBrokersHoldWithWhereTheConsumerStands) {
    using velostream::kafka::OffsetRange;
    using velostream::kafka::PartitionPosition;
    const auto reads = [](std::optional<std::int64_t> next, OffsetRange held) {
        const std::vector<PartitionPosition> positions{{.topic = "t", .partition = 1, .next = 7, .stored = {}},
                                                       {.topic = "t", .partition = 0, .next = next, .stored = {}}};
        return all_read({held, OffsetRange{.partition = 1, .first = 0, .end = 7}}, positions);
    };

    EXPECT_TRUE(reads(5, {.partition = 0, .first = 0, .end = 5}));
    EXPECT_TRUE(reads(5, {.partition = 0, .first = 3, .end = 4})); // the log was cut
    EXPECT_FALSE(reads(5, {.partition = 0, .first = 0, .end = 6}));
    EXPECT_TRUE(reads(5, {.partition = 0, .first = 9, .end = 9})); // all that was there is gone
    EXPECT_FALSE(reads(5, {.partition = 0, .first = 9, .end = 10}));
    EXPECT_TRUE(reads(std::nullopt, {.partition = 0, .first = 2, .end = 2}));
    EXPECT_FALSE(reads(std::nullopt, {.partition = 0, .first = 0, .end = 1}));
    EXPECT_FALSE(reads(5, {.partition = 2, .first = 0, .end = 1})); // not even assigned
}

} // namespace
} // namespace orders
