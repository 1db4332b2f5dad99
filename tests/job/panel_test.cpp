// SPDX-License-Identifier: Apache-2.0
#include "program/panel.hpp"

#include <gtest/gtest.h>

namespace orders {
namespace {

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

} // namespace
} // namespace orders
