// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/stack_trace.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

namespace velostream {
namespace {

[[gnu::noinline]] StackTrace from_here() {
    return StackTrace::capture();
}

[[gnu::noinline]] StackTrace from_deeper(int depth) {
    auto trace = depth == 0 ? from_here() : from_deeper(depth - 1);
    asm volatile(""); // no tail call
    return trace;
}

std::ptrdiff_t frames(const StackTrace& trace) {
    return trace.empty() ? 0 : std::ranges::count(trace.text(), '\n') + 1;
}

TEST(StackTrace, ADefaultOneIsEmpty) {
    EXPECT_TRUE(StackTrace{}.empty());
}

TEST(StackTrace, ListsFramesAsModuleAndOffset) {
    const auto trace = from_here();

    std::istringstream lines{std::string{trace.text()}};
    for (std::string line; std::getline(lines, line);) {
        const auto plus = line.rfind("+0x");
        ASSERT_NE(plus, std::string::npos) << line;
        EXPECT_GT(plus, 0u) << line;
        EXPECT_EQ(line.find('/'), std::string::npos) << "a name, not a path: " << line;
        EXPECT_EQ(line.find_first_not_of("0123456789abcdef", plus + 3), std::string::npos) << line;
    }
    EXPECT_GT(frames(trace), 2);
}

TEST(StackTrace, TheSamePlaceGivesTheSameText) {
    std::vector<std::string> texts;
    for (int i = 0; i < 3; ++i) texts.emplace_back(from_here().text());

    EXPECT_EQ(texts[0], texts[1]);
    EXPECT_EQ(texts[1], texts[2]);
}

TEST(StackTrace, AnotherPlaceGivesAnotherText) {
    const auto here = from_here();
    const auto there = from_here();

    EXPECT_NE(here.text(), there.text());
}

TEST(StackTrace, TheWayToThePlaceMatters) {
    EXPECT_EQ(frames(from_deeper(3)), frames(from_deeper(1)) + 2);
}

[[gnu::noinline]] StackTrace of_the_caller() {
    auto trace = StackTrace::capture(1);
    asm volatile(""); // no tail call
    return trace;
}

TEST(StackTrace, LeavesOutTheInnermostFramesThatItIsToldTo) {
    EXPECT_EQ(frames(from_here()), frames(of_the_caller()) + 1);
}

TEST(StackTrace, WhatWasThrownStandsAheadOfWhereItWasRecorded) {
    const auto thrown = from_deeper(2);

    const auto both = StackTrace::capture_behind(thrown);

    EXPECT_TRUE(both.text().starts_with("thrown at\n" + std::string{thrown.text()} + "\nrecorded at\n")) << both.text();
    EXPECT_EQ(frames(both), frames(thrown) + frames(from_here()) + 1) << "two lines more, without from_here";
    EXPECT_EQ(frames(StackTrace::capture_behind({})), frames(from_here()) - 1) << "nothing was thrown";
}

TEST(StackTrace, LeavesOutFramesBeyondTheLimit) {
    EXPECT_EQ(frames(from_deeper(100)), StackTrace::max_frames);
}

// Two callers of equal shape call the same function: stack pointer and innermost return address are the same, only an
// outer return address differs.
[[gnu::noinline]] StackTrace by_first() {
    auto trace = from_here();
    asm volatile("nop");
    return trace;
}
[[gnu::noinline]] StackTrace by_second() {
    auto trace = from_here();
    asm volatile("nop; nop");
    return trace;
}

TEST(StackTrace, CallersOfTheSameShapeAreToldApart) {
    std::vector<std::string> texts;
    for (auto* const caller : {by_first, by_second, by_first, by_second}) texts.emplace_back(caller().text());

    EXPECT_NE(texts[0], texts[1]);
    EXPECT_EQ(texts[0], texts[2]);
    EXPECT_EQ(texts[1], texts[3]);
}

} // namespace
} // namespace velostream
