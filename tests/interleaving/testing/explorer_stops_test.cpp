// SPDX-License-Identifier: Apache-2.0
// Threads that stop for ever, and schedules with few switches.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream::testing {
namespace {

TEST(InterleavingExplorer, StopsEachThreadBeforeEachOfItsStepsWhenTheOthersHaveEnded) {
    std::set<std::pair<std::size_t, int>> stops;
    std::size_t ends = 0;

    const auto report = explore([&](Interleaving& run) {
        const auto steps_of = std::make_shared<std::array<ScheduledAtomic<int>, 2>>();
        for (std::size_t thread = 0; thread < 2; ++thread) {
            run.thread([steps_of, thread] {
                for (int step = 0; step < 2; ++step) (*steps_of)[thread].fetch_add(1);
            });
        }
        run.stopped([steps_of, &stops, &run](std::size_t thread) {
            stops.emplace(thread, (*steps_of)[thread].load());
            if ((*steps_of)[1 - thread].load() != 2) run.fail("another has not ended");
        });
        run.finally([&ends] { ++ends; });
    });

    EXPECT_TRUE(report.passed()) << report.failure << "\n" << report.trace;
    EXPECT_EQ(stops, (std::set<std::pair<std::size_t, int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
    EXPECT_GT(ends, 0u) << "and lets it go on";
}

TEST(InterleavingExplorer, FindsWhatAThreadThatStopsLeavesBehind) {
    const auto report = explore([](Interleaving& run) {
        auto is_locked = std::make_shared<ScheduledAtomic<bool>>(false);
        run.thread([is_locked] {
            if (!is_locked->exchange(true)) is_locked->store(false);
        });
        run.thread([is_locked] { is_locked->load(); });
        run.stopped([is_locked, &run](std::size_t thread) {
            if (is_locked->load()) run.fail("locked for ever by thread " + std::to_string(thread));
        });
    });

    EXPECT_EQ(report.failure, "locked for ever by thread 0");
    EXPECT_NE(report.trace.find("thread 0: exchange"), std::string::npos);
}

TEST(InterleavingExplorer, ForgetsWhatIsDoneWhileAThreadIsStopped) {
    int stops = 0;

    const auto report = explore([&stops](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        for (int thread = 0; thread < 2; ++thread) run.thread([value] { value->fetch_add(1); });
        run.stopped([value, &stops](std::size_t) {
            value->store(100);
            ++stops;
        });
        run.finally([value, &run] {
            if (value->load() != 2) run.fail("it is remembered");
        });
    });

    EXPECT_TRUE(report.passed()) << report.failure;
    EXPECT_GT(stops, 0);
}

TEST(InterleavingExplorer, GoesThroughTheOrdersThatLeaveAThreadStandingSoOften) {
    // AABB; ABBA and BBAA; ABAB and BAAB; BABA
    constexpr std::array<std::size_t, 4> expected{1, 3, 5, 6};
    for (std::size_t switches = 0; switches < expected.size(); ++switches) {
        std::set<std::vector<int>> orders;

        const auto report = explore(
            [&orders](Interleaving& run) {
                auto order = std::make_shared<std::vector<int>>();
                run.begin([order] { order->clear(); });
                for (int thread = 0; thread < 2; ++thread) {
                    run.thread([order, thread, &run] {
                        for (int step = 0; step < 2; ++step) {
                            run.step();
                            run.event(static_cast<std::uint64_t>(thread));
                            order->push_back(thread);
                        }
                    });
                }
                run.finally([order, &orders] { orders.insert(*order); });
            },
            {.most_switches = switches});

        EXPECT_TRUE(report.passed());
        EXPECT_EQ(orders.size(), expected[switches]) << "with " << switches << " switches";
    }
}

TEST(InterleavingExplorer, FindsAFaultThatNeedsTwoSwitchesWithTwoAndNotWithOne) {
    const auto scenario = [](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        run.thread([value, &run] {
            const bool was_zero = value->load() == 0;
            if (was_zero && value->load() == 1) run.fail("it changed between two looks");
        });
        run.thread([value] {
            value->store(1);
            value->store(0);
        });
    };

    EXPECT_TRUE(explore(scenario, {.most_switches = 1}).passed());
    EXPECT_EQ(explore(scenario, {.most_switches = 2}).failure, "it changed between two looks");
}

} // namespace
} // namespace velostream::testing
