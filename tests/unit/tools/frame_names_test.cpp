// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/frame_names.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "velostream/base/stack_trace.hpp"

namespace velostream::dlq {

[[gnu::noinline]] StackTrace trace_of_a_known_function() {
    auto trace = StackTrace::capture();
    asm volatile(""); // no tail call
    return trace;
}

namespace {

const auto this_program = std::filesystem::read_symlink("/proc/self/exe").string();
const auto this_module = std::filesystem::path{this_program}.filename().string();

TEST(FrameNames, AFrameOfTheProgramHasItsFunctionBehindIt) {
    const auto trace = std::string{trace_of_a_known_function().text()};

    const auto named = FrameNames{{this_program}}.named(trace);

    ASSERT_TRUE(named) << named.error();
    const auto first = trace.substr(0, trace.find('\n'));
    EXPECT_TRUE(named->starts_with(first + "  velostream::dlq::trace_of_a_known_function() at ")) << *named;
    EXPECT_EQ(std::ranges::count(*named, '\n'), std::ranges::count(trace, '\n'));
}

TEST(FrameNames, WhatNoProgramKnowsStaysAsItIs) {
    for (const auto& trace :
         {std::string{"thrown at\nother+0x12\n" + this_module + "+0xfffffffffffff\nrecorded at"},
          this_module + "+0x12; rm -rf", this_module + "+0x12345678901234567", this_module + "+0xG", std::string{}}) {
        const auto named = FrameNames{{this_program}}.named(trace);
        ASSERT_TRUE(named) << named.error();
        EXPECT_EQ(*named, trace);
    }
}

TEST(FrameNames, WithoutProgramsNothingIsAsked) {
    const auto trace = trace_of_a_known_function();
    EXPECT_EQ(FrameNames{{}}.named(trace.text()).value(), trace.text());
}

TEST(FrameNames, ATraceOfThousandsOfFramesIsNamedAsFarAsACommandLineGoes) {
    const auto frame = std::string{trace_of_a_known_function().text()};
    std::string trace = frame.substr(0, frame.find('\n'));
    for (int i = 0; i < 100'000; ++i) trace += '\n' + this_module + "+0xfffffffff" + std::to_string(i);

    const auto named = FrameNames{{this_program}}.named(trace);

    ASSERT_TRUE(named) << named.error();
    EXPECT_NE(named->find("trace_of_a_known_function() at "), std::string::npos);
}

TEST(FrameNames, WhereAddr2lineIsMissingItSaysWhatToInstall) {
    const std::string path = std::getenv("PATH");
    ::setenv("PATH", "/nonexistent", 1);
    const auto named = FrameNames{{this_program}}.named(trace_of_a_known_function().text());
    ::setenv("PATH", path.c_str(), 1);

    ASSERT_FALSE(named);
    EXPECT_EQ(named.error(), boost::system::errc::no_such_file_or_directory);
    EXPECT_EQ(named.error().detail(), "cannot run addr2line (Debian package: binutils)");
}

} // namespace
} // namespace velostream::dlq
