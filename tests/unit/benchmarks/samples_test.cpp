// SPDX-License-Identifier: Apache-2.0
#include "figures/samples.hpp"

#include <stdexcept>

#include <gtest/gtest.h>

using namespace velostream::bench;

TEST(BenchSamples, WhatAProgramWritesIsWhatTheReportReads) {
    const ProgramResult written{.program = "pool_bench",
                                .load_before = 0.5,
                                .load_after = 1.25,
                                .samples = {{.name = "pool/x",
                                             .threads = 2,
                                             .wall_ns = {1.5, 2},
                                             .cpu_ns = {3, 4},
                                             .allocations = {0, 1},
                                             .remark = "4 connects"}},
                                .left_out = {{.name = "pool/y", .reason = "no \"server\""}}};

    const auto read = program_result_from_json(to_json(written));

    EXPECT_EQ(read.program, "pool_bench");
    EXPECT_EQ(read.load_before, 0.5);
    EXPECT_EQ(read.load_after, 1.25);
    ASSERT_EQ(read.samples.size(), 1U);
    EXPECT_EQ(read.samples[0].name, "pool/x");
    EXPECT_EQ(read.samples[0].threads, 2);
    EXPECT_EQ(read.samples[0].wall_ns, (std::vector<double>{1.5, 2}));
    EXPECT_EQ(read.samples[0].cpu_ns, (std::vector<double>{3, 4}));
    EXPECT_EQ(read.samples[0].allocations, (std::vector<double>{0, 1}));
    EXPECT_EQ(read.samples[0].remark, "4 connects");
    ASSERT_EQ(read.left_out.size(), 1U);
    EXPECT_EQ(read.left_out[0].name, "pool/y");
    EXPECT_EQ(read.left_out[0].reason, "no \"server\"");
}

TEST(BenchSamples, AnythingElseIsRefused) {
    EXPECT_THROW(program_result_from_json(""), std::runtime_error);
    EXPECT_THROW(program_result_from_json("[]"), std::runtime_error);
    EXPECT_THROW(program_result_from_json(R"({"program": "x"})"), std::runtime_error);
    EXPECT_THROW(program_result_from_json(to_json({.program = "x", .samples = {{.name = "a/b"}}})), std::runtime_error);
}

TEST(BenchSamples, MedianIsTheMiddleOneOrTheMeanOfTheMiddleTwo) {
    EXPECT_EQ(median({7}), 7);
    EXPECT_EQ(median({9, 1, 5}), 5);
    EXPECT_EQ(median({4, 1, 3, 100}), 3.5);
}
