// SPDX-License-Identifier: Apache-2.0
#include "async/background.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <thread>

#include "support/no_more_threads.hpp"

namespace velostream {
namespace {

TEST(BackgroundTest, TakesNoSignals) {
    std::promise<int> member;
    run_in_background([&member] {
        sigset_t blocked{};
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        member.set_value(sigismember(&blocked, SIGTERM));
    });
    EXPECT_EQ(member.get_future().get(), 1);
    sigset_t ours{};
    pthread_sigmask(SIG_SETMASK, nullptr, &ours);
    EXPECT_EQ(sigismember(&ours, SIGTERM), 0);
}

TEST(BackgroundTest, RunsItAtOnceWhereNoThreadCanBeStarted) {
    const NoMoreThreads for_a_while;
    bool was_run = false;
    run_in_background([&was_run] { was_run = true; });
    EXPECT_TRUE(was_run);
}

void say(const char* text) {
    std::cerr << text << std::flush;
}

// Its destruction is the program's end.
struct EndingProgram {
    ~EndingProgram() { ends.set_value(); }
    std::promise<void> ends;
};

struct OlderThanTheBackground {
    std::function<void()> work;
    ~OlderThanTheBackground() { run_in_background(work); }
};

void a_program_with_work_at_its_end() {
    static OlderThanTheBackground older{[] { say("and what comes later"); }};
    begin_background();
    static EndingProgram program;
    run_in_background([ends = program.ends.get_future().share()] {
        ends.wait();
        say("what runs, ");
    });
    std::exit(0);
}

void a_program_whose_work_never_ends() {
    const auto work = [] { std::promise<void>{}.get_future().wait(); };
    static OlderThanTheBackground older{work};
    begin_background(std::chrono::milliseconds{1});
    run_in_background(work);
    std::exit(0);
}

void a_program_that_is_held() {
    begin_background();
    static auto* hold = new HoldsEndOfProgram;
    static EndingProgram program;
    std::thread{[ends = program.ends.get_future().share()] {
        ends.wait();
        say("what is under way");
        delete hold;
    }}.detach();
    std::exit(0);
}

TEST(BackgroundTest, TheEndOfTheProgramWaitsForWhatHoldsIt) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(a_program_that_is_held(), ::testing::ExitedWithCode(0), "what is under way");
}

TEST(BackgroundTest, TheEndOfTheProgramWaitsForIt) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(a_program_with_work_at_its_end(), ::testing::ExitedWithCode(0), "what runs, and what comes later");
}

TEST(BackgroundTest, TheEndOfTheProgramDoesNotWaitForEver) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(a_program_whose_work_never_ends(), ::testing::ExitedWithCode(0), "");
}

} // namespace
} // namespace velostream
