// SPDX-License-Identifier: Apache-2.0
#include "support/runner.hpp"

#include <sys/single_threaded.h>
#include <time.h>

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/floors.hpp"

using namespace velostream::bench;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Lt;
using testing::ThrowsMessage;

namespace {

const Measure one_call{.threads = {1}, .iterations = 1};
const RunOptions quick{.filter = {}, .repetitions = 1, .sample_time = std::chrono::duration<double>{0.001}};

void do_nothing(benchmark::State& state) {
    for (auto _ : counted(state)) {
    }
}

double cpu_seconds_of_this_thread() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

} // namespace

TEST(BenchRunner, ContendersTakeTurns) {
    std::vector<std::string> calls;
    const auto noting = [&calls](std::string name) {
        return [&calls, name](benchmark::State& state) {
            for (auto _ : counted(state)) calls.push_back(name);
        };
    };
    Suite suite{false, ""};
    suite.add("x/a", noting("a"), one_call);
    suite.add("x/b", noting("b"), one_call);

    const auto result = run(suite, "x_bench", {.filter = {}, .repetitions = 3});

    EXPECT_THAT(calls, ElementsAre("a", "b", "a", "b", "a", "b"));
    EXPECT_EQ(result.program, "x_bench");
    ASSERT_EQ(result.samples.size(), 2U);
    EXPECT_EQ(result.samples[0].wall_ns.size(), 3U);
    EXPECT_EQ(result.samples[1].cpu_ns.size(), 3U);
}

TEST(BenchRunner, EachNumberOfThreadsIsARow) {
    Suite suite{false, ""};
    suite.add("x/a", do_nothing);

    const auto result = run(suite, "x_bench", quick);

    ASSERT_EQ(result.samples.size(), 2U);
    EXPECT_EQ(result.samples[0].threads, 1);
    EXPECT_EQ(result.samples[1].threads, 2);
}

TEST(BenchRunner, CpuTimeIsPerOperationAtAnyNumberOfThreads) {
    constexpr double burnt = 0.004;
    Suite suite{false, ""};
    suite.add("x/burn",
              [](benchmark::State& state) {
                  for (auto _ : counted(state)) {
                      const auto end = cpu_seconds_of_this_thread() + burnt;
                      while (cpu_seconds_of_this_thread() < end) {
                      }
                  }
              },
              {.threads = {1, 2}, .iterations = 2});

    const auto result = run(suite, "x_bench", quick);

    for (const auto& samples : result.samples) {
        EXPECT_THAT(samples.cpu_ns, ElementsAre(testing::AllOf(Ge(burnt * 1e9 * 0.99), Lt(burnt * 1e9 * 1.5))));
        EXPECT_THAT(samples.wall_ns, ElementsAre(Ge(burnt * 1e9 * 0.99)));
    }
}

TEST(BenchRunner, TheLabelOfTheLastRepetitionIsTheRowsRemark) {
    int connects = 0;
    Suite suite{false, ""};
    suite.add(
        "x/spike",
        [&connects](benchmark::State& state) {
            for (auto _ : counted(state)) ++connects;
            state.SetLabel(std::to_string(connects) + " connects");
        },
        one_call);

    const auto result = run(suite, "x_bench", {.filter = {}, .repetitions = 2});

    EXPECT_EQ(result.samples[0].remark, "2 connects");
}

TEST(BenchRunner, AllocationsAreCountedPerOperation) {
    Suite suite{false, ""};
    suite.add("x/three",
              [](benchmark::State& state) {
                  const std::vector<int> not_counted(100);
                  for (auto _ : counted(state))
                      for (int i = 0; i < 3; ++i) benchmark::DoNotOptimize(std::vector<int>(10));
              },
              {.threads = {1, 2}, .iterations = 10});

    const auto result = run(suite, "x_bench", quick);

    EXPECT_THAT(result.samples[0].allocations, ElementsAre(3));
    EXPECT_THAT(result.samples[1].allocations, ElementsAre(3));
}

TEST(BenchRunner, AligningAndArrayFormsOfNewAreCountedToo) {
    struct alignas(128) Wide {
        char bytes[128];
    };
    const auto before = allocations_of_this_thread();

    benchmark::DoNotOptimize(std::make_unique<Wide>());
    benchmark::DoNotOptimize(std::make_unique<Wide[]>(3));
    benchmark::DoNotOptimize(std::make_unique<int[]>(3));

    EXPECT_EQ(allocations_of_this_thread() - before, 3U);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(BenchRunner, WhatAsioTakesFromTheHeapIsCountedToo) {
    constexpr auto coroutine = []() -> boost::asio::awaitable<int> { co_return 1; };
    const auto before = allocations_of_this_thread();

    const auto frame = coroutine(); // outside of any context: there is nothing to use again

    EXPECT_EQ(allocations_of_this_thread() - before, 1U);
}
#endif

TEST(BenchRunner, OnlySelectedRowsAndTheirFloorsAreRun) {
    Suite suite{false, ""};
    suite.add("floor/mutex_pair", do_nothing, one_call);
    suite.add("floor/other", do_nothing, one_call);
    suite.add("pool/borrow_return", do_nothing, one_call);
    suite.leave_out("pool/absent", "no server");
    suite.leave_out("job/absent", "no broker");
    auto options = quick;
    options.filter = Filter{"^pool/"};

    const auto result = run(suite, "x_bench", options);

    ASSERT_EQ(result.samples.size(), 2U);
    EXPECT_EQ(result.samples[0].name, "floor/mutex_pair");
    EXPECT_EQ(result.samples[1].name, "pool/borrow_return");
    ASSERT_EQ(result.left_out.size(), 1U);
    EXPECT_EQ(result.left_out[0].name, "pool/absent");
}

TEST(BenchRunner, ABenchmarkThatCountsNoAllocationsIsRefused) {
    Suite suite{false, ""};
    suite.add(
        "x/a",
        [](benchmark::State& state) {
            for (auto _ : state) {
            }
        },
        one_call);

    EXPECT_THAT([&] { run(suite, "x_bench", quick); },
                ThrowsMessage<std::runtime_error>(HasSubstr("x/a counts no allocations")));
}

TEST(BenchRunner, ABenchmarkThatReportsAnErrorEndsTheRun) {
    Suite suite{false, ""};
    suite.add(
        "x/a",
        [](benchmark::State& state) {
            for (auto _ : counted(state)) {
            }
            state.SkipWithError("the totals differ");
        },
        one_call);

    EXPECT_THAT([&] { run(suite, "x_bench", quick); }, ThrowsMessage<std::runtime_error>("x/a: the totals differ"));
}

TEST(BenchRunner, WhatIsReportedInsteadTakesThePlaceOfTheLoop) {
    Suite suite{false, ""};
    suite.add(
        "x/a",
        [](benchmark::State& state) {
            for (auto _ : counted(state)) benchmark::DoNotOptimize(std::vector<int>(10));
            report_instead(state, 7, 5);
        },
        one_call);

    const auto result = run(suite, "x_bench", quick);

    EXPECT_THAT(result.samples[0].wall_ns, ElementsAre(7));
    EXPECT_THAT(result.samples[0].cpu_ns, ElementsAre(5));
    EXPECT_THAT(result.samples[0].allocations, ElementsAre(0));
}

TEST(BenchRunner, TheProcessHasMoreThanOneThread) {
    bool single = true;
    Suite suite{false, ""};
    suite.add(
        "x/a",
        [&single](benchmark::State& state) {
            for (auto _ : counted(state)) single = __libc_single_threaded;
        },
        one_call);

    run(suite, "x_bench", quick);

    EXPECT_FALSE(single);
}

TEST(BenchSuite, NamesAreUniqueAndPlain) {
    Suite suite{false, ""};
    suite.add("x/a", do_nothing);

    EXPECT_THROW(suite.add("x/a", do_nothing), std::logic_error);
    EXPECT_THROW(suite.leave_out("x/a", "why"), std::logic_error);
    EXPECT_THROW(suite.add("x/A.*", do_nothing), std::logic_error);
    EXPECT_THROW(suite.add("", do_nothing), std::logic_error);
}

TEST(BenchFloors, RunAndAllocateNothing) {
    Suite suite{false, ""};
    suite.add("floor/fetch_add_pair", floors::fetch_add_pair, {.threads = {1}});
    suite.add("floor/mutex_ring_100", floors::mutex_ring_100);
    suite.add("floor/atomic_load", floors::atomic_load);
    suite.add("floor/mutex_pair", floors::mutex_pair);
    suite.add("floor/await_leaf", in_coroutine(floors::await_leaf));

    const auto result = run(suite, "floors_bench", quick);

    ASSERT_EQ(result.samples.size(), 9U);
    for (const auto& samples : result.samples) EXPECT_THAT(samples.allocations, ElementsAre(Lt(0.01))) << samples.name;
}
