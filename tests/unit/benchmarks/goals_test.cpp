// SPDX-License-Identifier: Apache-2.0
#include "figures/goals.hpp"

#include <map>
#include <string>

#include <gtest/gtest.h>

using namespace velostream::bench;

TEST(BenchGoals, EveryGoalPromisesSomethingAndKnowsWhatItComparesWith) {
    for (const auto& goal : project_goals()) {
        SCOPED_TRACE(goal.name);
        EXPECT_FALSE(goal.promises.empty());
        for (const auto& promise : goal.promises) {
            const bool is_absolute = promise.kind == Promise::Kind::at_most || promise.kind == Promise::Kind::at_least;
            EXPECT_TRUE(is_absolute || !goal.floor.empty());
            EXPECT_GE(promise.limit, 0);
        }
    }
}

TEST(BenchGoals, NoRowHasTwoGoals) {
    std::map<std::string, int> one_thread;
    std::map<std::string, int> two_threads;
    for (const auto& goal : project_goals()) {
        one_thread[std::string{goal.name}] += goal.is_about(goal.name, 1) ? 1 : 0;
        two_threads[std::string{goal.name}] += goal.is_about(goal.name, 2) ? 1 : 0;
    }
    for (const auto& [name, count] : one_thread) EXPECT_LE(count, 1) << name;
    for (const auto& [name, count] : two_threads) EXPECT_LE(count, 1) << name;
}

TEST(BenchGoals, AGoalForAnyThreadsComparesWithTheFloorAtTheSameThreads) {
    const Goal goal{.name = "x/y", .floor = "floor/f"};

    EXPECT_TRUE(goal.is_about("x/y", 1));
    EXPECT_TRUE(goal.is_about("x/y", 2));
    EXPECT_FALSE(goal.is_about("x/z", 1));
    EXPECT_EQ(goal.threads_of_floor(2), 2);
}
