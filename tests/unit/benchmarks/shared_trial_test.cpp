// SPDX-License-Identifier: Apache-2.0
#include "support/shared_trial.hpp"

#include <gtest/gtest.h>

using namespace velostream::bench;

TEST(BenchSharedTrial, RowsShowTheSameTrialUntilOneAsksAgain) {
    int trials = 0;
    SharedTrial<int> trial{[&trials] { return ++trials; }};

    EXPECT_EQ(trial.for_row("x/first"), 1);
    EXPECT_EQ(trial.for_row("x/second"), 1);

    EXPECT_EQ(trial.for_row("x/first"), 2);
    EXPECT_EQ(trial.for_row("x/second"), 2);
}

TEST(BenchSharedTrial, ARowAloneHasATrialOfItsOwnEachTime) {
    int trials = 0;
    SharedTrial<int> trial{[&trials] { return ++trials; }};

    EXPECT_EQ(trial.for_row("x/only"), 1);
    EXPECT_EQ(trial.for_row("x/only"), 2);
}
