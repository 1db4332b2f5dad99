// SPDX-License-Identifier: Apache-2.0
#include "program/panel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace orders {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(Panel, CutsARowThatWouldWrap) {
    EXPECT_EQ(cut_to_columns("dead letters  12", 16), "dead letters  12");
    EXPECT_EQ(cut_to_columns("dead letters  12", 15), "dead letters  1");
    EXPECT_EQ(cut_to_columns("dead letters", 0), "");
}

TEST(Panel, CountsNoColumnForColoursAndEndsThemBehindTheEdge) {
    EXPECT_EQ(cut_to_columns("breaker \x1b[1;31mopen\x1b[0m, opened", 12), "breaker \x1b[1;31mopen\x1b[0m");
    EXPECT_EQ(cut_to_columns("breaker \x1b[1;31mopen\x1b[0m", 10), "breaker \x1b[1;31mop\x1b[0m");
}

TEST(Panel, SaysAHundredPerCentOfWhatIsDoneOnly) {
    EXPECT_EQ(whole_percent(0), 0);
    EXPECT_EQ(whole_percent(0.999), 99);
    EXPECT_EQ(whole_percent(1), 100);
}

TEST(Panel, ShowsTheRateSinceItWasLastShown) {
    testing::internal::CaptureStdout(); // no terminal
    Panel panel{false};
    Figures figures;
    figures.lines = 1'000;
    panel.show(figures, std::nullopt, 2s);
    figures.lines = 1'100;
    panel.show(figures, std::nullopt, 4s);

    const auto shown = testing::internal::GetCapturedStdout();

    EXPECT_THAT(shown, HasSubstr("2.0 s: 1000 lines (500/s)"));
    EXPECT_THAT(shown, HasSubstr("4.0 s: 1100 lines (50/s)"));
}

} // namespace
} // namespace orders
