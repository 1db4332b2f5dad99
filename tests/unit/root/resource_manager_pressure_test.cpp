// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "resource_manager_fixture.hpp"

namespace velostream {
namespace {

TEST_F(ResourceManagerTest, ARefusalJudgesPressureAnew) {
    auto resources = limited(100);
    const auto quiet = resources.account("quiet").try_reserve(90_MiB); // no event tells of it
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    EXPECT_FALSE(resources.allocate_memory("sends", 20_MiB));

    EXPECT_EQ(resources.pressure(), PressureLevel::high);
}

TEST_F(ResourceManagerTest, WithoutALimitPressureWatchesTheControlGroupAndTheMachine) {
    auto resources = manager({});
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "912680550\n"); // 85 %

    auto stats = resources.get_memory_stats();
    EXPECT_NEAR(stats.pressure_percentage, 85, 0.001);
    EXPECT_EQ(stats.pressure, PressureLevel::high);
    EXPECT_EQ(stats.available_mb, 153u);

    write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 83886 kB\n"); // 99 % used
    stats = resources.get_memory_stats();
    EXPECT_EQ(stats.pressure, PressureLevel::critical);
    EXPECT_EQ(stats.available_mb, 81u);
    EXPECT_EQ(observer->take(), (Events{"normal -> high", "high -> critical"}));
}

TEST_F(ResourceManagerTest, PressureIsTheLargestOfAccountedControlGroupAndStalls) {
    auto resources = limited(100);
    const auto held = resources.allocate_memory("windows", 30_MiB);
    EXPECT_NEAR(resources.get_memory_stats().pressure_percentage, 30, 0.001);

    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "536870912\n");
    EXPECT_NEAR(resources.get_memory_stats().pressure_percentage, 50, 0.001);

    write("proc/pressure/memory", "some avg10=60.00 avg60=0.00 avg300=0.00 total=0\n");
    const auto stats = resources.get_memory_stats();
    EXPECT_NEAR(stats.pressure_percentage, 60, 0.001);
    EXPECT_NEAR(resources.get_memory_usage().percentage, 30, 0.001);
}

TEST_F(ResourceManagerTest, PressureRisesAtTheThresholdAndFallsBelowTheHysteresis) {
    auto resources =
        manager({.max_memory_mb = 100, .resource_limits = ResourceLimitsConfig{.memory_pressure_threshold = 0.7}});
    auto held = *resources.allocate_memory("windows", 70_MiB - 1);
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    EXPECT_TRUE(held.try_grow(1));
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
    EXPECT_TRUE(held.try_grow(25_MiB));
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);

    time.advance(1s);
    held.shrink(20_MiB);
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
    time.advance(1s);
    held.shrink(20_MiB);
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    EXPECT_EQ(observer->take(), (Events{"normal -> high", "high -> critical", "critical -> high", "high -> normal"}));
}

TEST_F(ResourceManagerTest, AChangeOfTheLevelIsToldWithAHundredPercentAtMost) {
    struct Percentages final : Observer {
        void on_pressure_changed(const PressureChanged& event) noexcept override {
            told.push_back(event.pressure_percentage);
        }
        std::vector<double> told;
    };
    const auto percentages = std::make_shared<Percentages>();
    auto with = options();
    with.observer = percentages;
    ResourceManager<NoConnections, ManualTime> resources{io.get_executor(), StreamingConfig{.max_memory_mb = 4}, with,
                                                         time};
    const auto held = resources.memory().try_reserve(2_MiB);
    resources.memory().set_limit(1_MiB);
    io.poll();

    EXPECT_EQ(percentages->told, std::vector{100.0});
}

TEST_F(ResourceManagerTest, WhatTheKernelSaysIsReadAtMostFourTimesASecond) {
    auto resources = limited(100);
    static_cast<void>(resources.allocate_memory("a", 1));
    write("proc/pressure/memory", "some avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");

    time.advance(249ms);
    static_cast<void>(resources.allocate_memory("a", 1));
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    time.advance(1ms);
    static_cast<void>(resources.allocate_memory("a", 1));
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);
}

TEST_F(ResourceManagerTest, WhoHoldsNothingIsNotAskedForMemory) {
    struct Idle final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::flush; }
        Bytes estimate() const noexcept override { return 1; }
        asio::awaitable<void> reclaim(Bytes) override { co_return; }
    };
    auto resources = limited(100);
    auto registered = resources.add_reclaimer(io.get_executor(), resources.account("idle"), std::make_shared<Idle>());
    write("proc/pressure/memory", "some avg10=85.00 avg60=0.00 avg300=0.00 total=0\n");

    EXPECT_EQ(resources.get_memory_stats().pressure, PressureLevel::high);

    EXPECT_EQ(resources.get_reclaim_stats().reclaims, 0u);
}

TEST_F(ResourceManagerTest, OfAFullControlGroupAsMuchIsWantedAsTakesItBelowTheThreshold) {
    struct Asked final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::flush; }
        Bytes estimate() const noexcept override { return 1; }
        asio::awaitable<void> reclaim(Bytes bytes) override {
            wanted.push_back(bytes);
            co_return;
        }
        std::vector<Bytes> wanted;
    };
    // The machine is full in both cases: that is pressure of a manager without a limit, and of no other.
    write("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 0 kB\n");
    for (const bool group_is_full : {false, true}) {
        if (group_is_full) {
            write("proc/self/cgroup", "0::/\n");
            write("cgroup/memory.max", "1000000\n");
            write("cgroup/memory.current", "900000\n");
        }
        auto resources = limited(1000);
        const auto asked = std::make_shared<Asked>();
        const auto account = resources.account("cache");
        const auto registered = resources.add_reclaimer(io.get_executor(), account, asked);
        const auto held = account.try_reserve(90_MiB);
        static_cast<void>(resources.get_memory_stats());
        io.restart();
        io.poll();

        if (!group_is_full) {
            EXPECT_TRUE(asked->wanted.empty());
            continue;
        }
        ASSERT_EQ(asked->wanted.size(), 1u);
        EXPECT_NEAR(static_cast<double>(asked->wanted[0]), 10.0 * mebibyte, 2) << "a ninth of what it holds";
    }
}

TEST_F(ResourceManagerTest, BetweenTwoReadingsTheLastOneCounts) {
    auto resources = limited(100);
    {
        const auto held = resources.allocate_memory("windows", 85_MiB);
        write("proc/pressure/memory", "some avg10=85.00 avg60=0.00 avg300=0.00 total=0\n");
        time.advance(200ms);
        EXPECT_EQ(resources.get_memory_stats().pressure, PressureLevel::high);
        time.advance(100ms);
    }

    EXPECT_EQ(resources.pressure(), PressureLevel::high) << "nothing is held, but the machine stalls";
}

TEST_F(ResourceManagerTest, WhatIsResidentAndChargedToNobodyIsAFigureOfItsOwn) {
    write("proc/self/status", "Name: test\nVmRSS:\t   10240 kB\n");
    auto resources = limited(100);
    const auto held = resources.allocate_memory("windows", 4_MiB);
    static_cast<void>(resources.allocate_memory("windows", 50_MiB)); // is gone again

    const auto stats = resources.get_memory_stats();

    EXPECT_EQ(stats.resident_bytes, 10_MiB);
    EXPECT_EQ(stats.unaccounted_bytes, 6_MiB);
}

TEST_F(ResourceManagerTest, NothingIsUnaccountedWhereMoreIsReservedThanResident) {
    write("proc/self/status", "Name: test\nVmRSS:\t   10240 kB\n");
    auto resources = limited(100);
    const auto reserved_and_not_touched = resources.allocate_memory("windows", 40_MiB);

    EXPECT_EQ(resources.get_memory_stats().unaccounted_bytes, 0u);
}

} // namespace
} // namespace velostream
