// SPDX-License-Identifier: Apache-2.0
#include "figures/rows.hpp"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace velostream::bench;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Optional;
using testing::ThrowsMessage;

namespace {

Samples samples(std::string name, int threads, double wall, double cpu, double allocations = 0) {
    return {
        .name = std::move(name), .threads = threads, .wall_ns = {wall}, .cpu_ns = {cpu}, .allocations = {allocations}};
}

/// Measures `x/subject` against `floor/f`, which takes 100 ns of wall time and 50 ns of CPU.
Row judged(std::vector<Promise> promises, double wall, double cpu, double allocations = 0) {
    const std::vector<Goal> goals{{.name = "x/subject", .floor = "floor/f", .promises = std::move(promises)}};
    const ProgramResult result{
        .program = "x_bench",
        .samples = {samples("floor/f", 1, 100, 50), samples("x/subject", 1, wall, cpu, allocations)}};
    return make_rows({result}, goals).at(1);
}

} // namespace

TEST(BenchRows, ARowShowsMedianAndExtremesOfItsRepetitions) {
    const ProgramResult result{
        .program = "x_bench",
        .samples = {
            {.name = "x/y", .threads = 2, .wall_ns = {30, 10, 20}, .cpu_ns = {5, 6, 7}, .allocations = {1, 1, 2}}}};

    const auto rows = make_rows({result}, {});

    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].name, "x/y");
    EXPECT_EQ(rows[0].threads, 2);
    EXPECT_EQ(rows[0].median_ns, 20);
    EXPECT_EQ(rows[0].min_ns, 10);
    EXPECT_EQ(rows[0].max_ns, 30);
    EXPECT_EQ(rows[0].cpu_ns, 6);
    EXPECT_EQ(rows[0].allocs_per_op, 1);
}

TEST(BenchRows, ARowWithoutGoalIsMetAndHasNoRatio) {
    const auto rows = make_rows({{.program = "x_bench", .samples = {samples("floor/f", 1, 1, 1)}}}, {});

    EXPECT_FALSE(rows[0].floor);
    EXPECT_FALSE(rows[0].ratio);
    EXPECT_FALSE(rows[0].goal);
    EXPECT_TRUE(rows[0].met);
}

TEST(BenchRows, AFactorIsComparedWithTheFloorAndItsLimitIsAllowed) {
    const auto on_the_limit = judged({wall_times(1.5)}, 150, 0);
    EXPECT_THAT(on_the_limit.floor, Optional(std::string{"floor/f"}));
    EXPECT_THAT(on_the_limit.ratio, Optional(1.5));
    EXPECT_THAT(on_the_limit.goal, Optional(1.5));
    EXPECT_TRUE(on_the_limit.met);

    EXPECT_FALSE(judged({wall_times(1.5)}, 151, 0).met);
    EXPECT_TRUE(judged({cpu_times(1.5)}, 1000, 75).met);
    EXPECT_FALSE(judged({cpu_times(1.5)}, 0, 76).met);
}

TEST(BenchRows, AnAdditionIsTheExtraInPartsOfTheAllowedExtra) {
    const auto row = judged({cpu_plus(80ns)}, 0, 70);

    EXPECT_THAT(row.ratio, Optional(0.25));
    EXPECT_THAT(row.goal, Optional(1.0));
    EXPECT_TRUE(row.met);
    EXPECT_TRUE(judged({cpu_plus(80ns)}, 0, 130).met);
    EXPECT_FALSE(judged({cpu_plus(80ns)}, 0, 131).met);
}

TEST(BenchRows, ARateIsASharePerTimeOfTheFloor) {
    const auto half_as_fast = judged({rate_at_least(0.75)}, 200, 0);

    EXPECT_THAT(half_as_fast.ratio, Optional(1.5));
    EXPECT_THAT(half_as_fast.goal, Optional(1.0));
    EXPECT_FALSE(half_as_fast.met);
    EXPECT_TRUE(judged({rate_at_least(0.5)}, 200, 0).met);
}

TEST(BenchRows, AnAbsoluteGoalIsInPartsOfWhatIsAllowed) {
    const std::vector<Goal> goals{{.name = "x/subject", .promises = {wall_at_most(1us)}}};

    const auto rows = make_rows({{.program = "x_bench", .samples = {samples("x/subject", 1, 2000, 0)}}}, goals);

    EXPECT_FALSE(rows[0].floor);
    EXPECT_THAT(rows[0].ratio, Optional(2.0));
    EXPECT_THAT(rows[0].goal, Optional(1.0));
    EXPECT_FALSE(rows[0].met);
}

TEST(BenchRows, WhatMustTakeSoLongIsNotMetByLess) {
    const std::vector<Goal> goals{{.name = "x/subject", .promises = {wall_at_least(1us)}}};
    const auto judged_at = [&](double wall) {
        return make_rows({{.program = "x_bench", .samples = {samples("x/subject", 1, wall, 0)}}}, goals).at(0);
    };

    EXPECT_FALSE(judged_at(500).met);
    EXPECT_THAT(judged_at(500).ratio, Optional(2.0));
    EXPECT_TRUE(judged_at(1000).met);
    EXPECT_TRUE(judged_at(2000).met);
}

TEST(BenchRows, OfSeveralPromisesTheWorstIsShownAndAllMustHold) {
    const auto wall_is_worse = judged({wall_times(0.5), cpu_times(1.1)}, 100, 50);
    EXPECT_THAT(wall_is_worse.ratio, Optional(1.0));
    EXPECT_THAT(wall_is_worse.goal, Optional(0.5));
    EXPECT_FALSE(wall_is_worse.met);

    const auto cpu_is_worse = judged({wall_times(0.5), cpu_times(1.1)}, 10, 60);
    EXPECT_THAT(cpu_is_worse.ratio, Optional(1.2));
    EXPECT_THAT(cpu_is_worse.goal, Optional(1.1));
    EXPECT_FALSE(cpu_is_worse.met);

    EXPECT_TRUE(judged({wall_times(0.5), cpu_times(1.1)}, 50, 55).met);
}

TEST(BenchRows, AnAllocationBreaksAPromiseOfNoneAndAThousandthOfOneDoesNot) {
    EXPECT_TRUE(judged({wall_times(2), no_allocations()}, 100, 50, 0.0004).met);

    const auto row = judged({wall_times(2), no_allocations()}, 100, 50, 1);
    EXPECT_FALSE(row.met);
    EXPECT_THAT(row.ratio, Optional(1.0));
    EXPECT_THAT(row.judged_by, HasSubstr("allocations"));
}

TEST(BenchRows, AGoalMayBeAboutOneNumberOfThreadsAndCompareWithAnother) {
    const std::vector<Goal> goals{
        {.name = "x/s", .threads = 2, .floor = "x/s", .floor_threads = 1, .promises = {cpu_times(1.15)}}};
    const ProgramResult result{.program = "x_bench", .samples = {samples("x/s", 1, 10, 10), samples("x/s", 2, 30, 11)}};

    const auto rows = make_rows({result}, goals);

    EXPECT_FALSE(rows[0].goal);
    EXPECT_THAT(rows[1].floor, Optional(std::string{"x/s"}));
    EXPECT_THAT(rows[1].ratio, Optional(1.1));
    EXPECT_TRUE(rows[1].met);
}

TEST(BenchRows, AFloorThatSeveralProgramsCarryIsOneRowAndEachSubjectIsJudgedByItsOwn) {
    const std::vector<Goal> goals{{.name = "x/s", .floor = "floor/f", .promises = {wall_times(2)}},
                                  {.name = "y/s", .floor = "floor/f", .promises = {wall_times(2)}}};
    const std::vector<ProgramResult> results{
        {.program = "x_bench", .samples = {samples("floor/f", 1, 10, 1), samples("x/s", 1, 10, 1)}},
        {.program = "y_bench", .samples = {samples("floor/f", 1, 20, 1), samples("y/s", 1, 10, 1)}}};

    const auto rows = make_rows(results, goals);

    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].median_ns, 15);
    EXPECT_EQ(rows[0].min_ns, 10);
    EXPECT_EQ(rows[0].max_ns, 20);
    EXPECT_THAT(rows[1].ratio, Optional(1.0));
    EXPECT_THAT(rows[2].ratio, Optional(0.5));
}

TEST(BenchRows, ASubjectWithoutItsFloorIsAnErrorThatNamesBoth) {
    const std::vector<Goal> goals{{.name = "x/s", .floor = "floor/f", .promises = {wall_times(2)}}};
    const std::vector<ProgramResult> results{{.program = "x_bench", .samples = {samples("x/s", 1, 10, 1)}}};

    EXPECT_THAT([&] { make_rows(results, goals); },
                ThrowsMessage<std::runtime_error>("x_bench measured x/s without floor/f at 1 thread(s)"));
}

TEST(BenchRows, GrowthIsTheExponentOverTheSizes) {
    const auto point = [](std::string name, double wall) { return Row{.name = std::move(name), .median_ns = wall}; };

    const auto growth =
        growth_of({point("growth/flat/1", 5), point("growth/flat/1000", 5), point("growth/flat/1000000", 5),
                   point("growth_long/linear/10", 20), point("growth_long/linear/1000", 2000),
                   point("growth/alone/10", 1), point("x/other/10", 1)});

    ASSERT_EQ(growth.size(), 2U);
    EXPECT_EQ(growth[0].what, "growth/flat");
    EXPECT_EQ(growth[0].from, 1);
    EXPECT_EQ(growth[0].to, 1000000);
    EXPECT_NEAR(growth[0].exponent, 0, 1e-9);
    EXPECT_EQ(growth[1].what, "growth_long/linear");
    EXPECT_NEAR(growth[1].exponent, 1, 1e-9);
}
