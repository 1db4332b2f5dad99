// SPDX-License-Identifier: Apache-2.0
#include "program/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace orders {
namespace {

using testing::HasSubstr;
using testing::Not;
using velostream::CircuitState;

Figures with_transitions(int count) {
    Figures figures;
    for (int second = 1; second <= count; ++second)
        figures.guard.transitions.push_back(
            {std::chrono::seconds{second}, CircuitState::open, CircuitState::half_open, {}});
    return figures;
}

TEST(Summary, ShowsEveryTransitionOfTheBreakerWhereTheyAreFew) {
    const auto text = summary(with_transitions(12));

    for (int second = 1; second <= 12; ++second)
        EXPECT_THAT(text, HasSubstr(" " + std::to_string(second) + ".000 s  open -> half_open\n"));
    EXPECT_THAT(text, Not(HasSubstr("more")));
}

TEST(Summary, ShowsTheFirstAndTheLastTransitionsWhereTheyAreMany) {
    const auto text = summary(with_transitions(40));

    for (const int second : {1, 6, 35, 40})
        EXPECT_THAT(text, HasSubstr(" " + std::to_string(second) + ".000 s  open -> half_open\n"));
    for (const int second : {7, 34}) EXPECT_THAT(text, Not(HasSubstr(" " + std::to_string(second) + ".000 s ")));
    EXPECT_THAT(text, HasSubstr("...  28 more\n"));
}

TEST(Summary, SaysWhetherTotalsAreAcknowledgedOnlyWhereSomeWereSent) {
    Figures figures;
    EXPECT_THAT(summary(figures), Not(HasSubstr("acknowledged")));

    figures.totals_sent = figures.totals_acknowledged = 2;
    EXPECT_THAT(summary(figures), HasSubstr("2, all acknowledged: yes\n"));

    figures.totals_acknowledged = 1;
    EXPECT_THAT(summary(figures), HasSubstr("2, all acknowledged: NO, only 1\n"));
}

TEST(Summary, ShowsWhatLookUpsCameTo) {
    Figures figures;
    EXPECT_THAT(summary(figures), Not(HasSubstr("look-ups")));

    figures.lookup = LookupFigures{.database = "postgres",
                                   .found = 1'200,
                                   .unknown = 34,
                                   .connections_opened = 9,
                                   .failed_connects = 2,
                                   .segments = {{.segment = "retail", .lines = 1'200, .total = 5'000'000}}};
    figures.lookup->guard.opened = 1;

    EXPECT_THAT(summary(figures), HasSubstr("look-ups      1 234 in postgres, 34 of customers without a segment\n"));
    EXPECT_THAT(summary(figures), HasSubstr("db connects   9 done, 2 failed\n"));
    EXPECT_THAT(summary(figures), HasSubstr("db breaker    closed, opened 1 time\n"));
    EXPECT_THAT(summary(figures), testing::ContainsRegex("retail +1 200 +5 000.00\n"));
}

TEST(Summary, SaysHowLongItTookAndHowFast) {
    Figures figures;
    figures.lines = 5'000;
    figures.seconds = 2.5;

    EXPECT_THAT(summary(figures), HasSubstr("2.50 s, 2 000 lines/s\n"));
}

} // namespace
} // namespace orders
