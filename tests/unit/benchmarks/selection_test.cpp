// SPDX-License-Identifier: Apache-2.0
#include "figures/selection.hpp"

#include <stdexcept>

#include <gtest/gtest.h>

using namespace velostream::bench;
using Names = std::set<std::string>;

namespace {

const std::vector<std::string> available{"floor/a", "floor/b",          "x/one",
                                         "x/two",   "growth_long/keys", "spill_long/groups"};
const std::vector<Goal> goals{{.name = "x/one", .floor = "floor/a", .promises = {wall_times(2)}}};

} // namespace

TEST(BenchSelection, WithoutFilterEverythingRunsButTheLongOnes) {
    EXPECT_EQ(names_to_run(available, Filter{}, goals), (Names{"floor/a", "floor/b", "x/one", "x/two"}));
    EXPECT_EQ(names_to_run(available, Filter{""}, goals), (Names{"floor/a", "floor/b", "x/one", "x/two"}));
}

TEST(BenchSelection, AFilterIsFoundAnywhereInTheName) {
    EXPECT_EQ(names_to_run(available, Filter{"two"}, goals), Names{"x/two"});
    EXPECT_EQ(names_to_run(available, Filter{"^x/t.o$"}, goals), Names{"x/two"});
    EXPECT_EQ(names_to_run(available, Filter{"nothing"}, goals), Names{});
}

TEST(BenchSelection, TheFloorOfASelectedRowRunsToo) {
    EXPECT_EQ(names_to_run(available, Filter{"one"}, goals), (Names{"floor/a", "x/one"}));
}

TEST(BenchSelection, LongOnesRunOnlyWhenTheFilterSpellsTheirFolder) {
    EXPECT_EQ(names_to_run(available, Filter{"keys|groups"}, goals), Names{});
    EXPECT_EQ(names_to_run(available, Filter{".*"}, goals), (Names{"floor/a", "floor/b", "x/one", "x/two"}));
    EXPECT_EQ(names_to_run(available, Filter{"growth_long/"}, goals), Names{"growth_long/keys"});
    EXPECT_EQ(names_to_run(available, Filter{"spill_long/groups"}, goals), Names{"spill_long/groups"});
}

TEST(BenchSelection, WhatIsNoRegularExpressionIsRefused) {
    EXPECT_THROW(Filter{"("}, std::invalid_argument);
}
