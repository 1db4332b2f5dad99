// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pressure_gauge.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint t0{1h};

struct Step {
    double fraction;
    PressureLevel level;
};

TEST(PressureGauge, RisesAtTheThresholdAndAtCriticalAndFallsBelowThemByTheHysteresis) {
    PressureGauge gauge{0.8, 0s};

    for (const auto& [fraction, level] : {
             Step{0.0, PressureLevel::normal},
             Step{0.799, PressureLevel::normal},
             Step{0.8, PressureLevel::high},
             Step{0.949, PressureLevel::high},
             Step{0.75, PressureLevel::high},
             Step{0.749, PressureLevel::normal},
             Step{0.79, PressureLevel::normal},
             Step{0.95, PressureLevel::critical},
             Step{0.9, PressureLevel::critical},
             Step{0.899, PressureLevel::high},
             Step{0.76, PressureLevel::high},
             Step{1.2, PressureLevel::critical},
             Step{0.1, PressureLevel::normal},
         }) {
        gauge.update(fraction, t0);
        EXPECT_EQ(gauge.level(), level) << "at " << fraction;
    }
}

TEST(PressureGauge, ExactlyAtTheMarksBelowItDoesNotFall) {
    PressureGauge gauge{0.8, 0s};
    gauge.update(1, t0);

    gauge.update(PressureGauge::critical_at - PressureGauge::hysteresis, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::critical);
    gauge.update(0.85, t0);
    gauge.update(0.8 - PressureGauge::hysteresis, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::high);
}

TEST(PressureGauge, WholeHundredthsAreExactWhateverDoublesMakeOfThem) {
    for (int percent = 6; percent < 95; ++percent) {
        PressureGauge gauge{percent / 100.0, 0s};
        gauge.update((percent - 0.001) / 100, t0);
        EXPECT_EQ(gauge.level(), PressureLevel::normal) << percent;
        gauge.update(percent / 100.0, t0);
        EXPECT_EQ(gauge.level(), PressureLevel::high) << percent;
        gauge.update((percent - 5) / 100.0, t0);
        EXPECT_EQ(gauge.level(), PressureLevel::high) << percent << ": not below it yet";
        gauge.update((percent - 5.001) / 100, t0);
        EXPECT_EQ(gauge.level(), PressureLevel::normal) << percent;
    }
}

TEST(PressureGauge, WithAThresholdBelowTheHysteresisItFallsWhenNothingIsUsed) {
    PressureGauge gauge{0.03, 0s};
    gauge.update(0.03, t0);
    gauge.update(0.001, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::high);

    gauge.update(0, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::normal);
}

TEST(PressureGauge, TellsEachChangeOnce) {
    PressureGauge gauge{0.8, 0s};

    const auto rise = gauge.update(0.96, t0);
    const auto nothing = gauge.update(0.97, t0);
    const auto fall = gauge.update(0.5, t0);

    ASSERT_TRUE(rise);
    EXPECT_EQ(rise->from, PressureLevel::normal);
    EXPECT_EQ(rise->to, PressureLevel::critical);
    EXPECT_FALSE(nothing);
    ASSERT_TRUE(fall);
    EXPECT_EQ(fall->from, PressureLevel::critical);
    EXPECT_EQ(fall->to, PressureLevel::normal);
}

TEST(PressureGauge, RisesAtOnceAndFallsOnlyAfterTheDwell) {
    PressureGauge gauge{0.8, 250ms};

    EXPECT_TRUE(gauge.update(0.85, t0));
    EXPECT_FALSE(gauge.update(0.1, t0 + 249ms));
    EXPECT_TRUE(gauge.update(0.96, t0 + 249ms));
    EXPECT_FALSE(gauge.update(0.1, t0 + 498ms));
    EXPECT_TRUE(gauge.update(0.1, t0 + 499ms));
    EXPECT_EQ(gauge.level(), PressureLevel::normal);
}

TEST(PressureGauge, ALevelThatItFellToLastsForTheDwellToo) {
    PressureGauge gauge{0.8, 250ms};
    gauge.update(0.96, t0);
    ASSERT_TRUE(gauge.update(0.85, t0 + 250ms));
    ASSERT_EQ(gauge.level(), PressureLevel::high);

    EXPECT_FALSE(gauge.update(0.1, t0 + 499ms));
    EXPECT_TRUE(gauge.update(0.1, t0 + 500ms));
}

TEST(PressureGauge, ChangesAtMostTwiceInADwellWhateverTheInputDoes) {
    PressureGauge gauge{0.8, 250ms};
    int changes = 0;
    for (auto now = t0; now < t0 + 10s; now += 1ms) {
        const auto fraction = now.time_since_epoch() / 1ms % 2 == 0 ? 0.9 : 0.1;
        if (gauge.update(fraction, now)) ++changes;
    }

    EXPECT_LE(changes, 2 * 40 + 1);
    EXPECT_GE(changes, 40);
}

TEST(PressureGauge, WorksWithAThresholdNextToCritical) {
    PressureGauge gauge{0.94, 0s};

    gauge.update(0.945, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::high);
    gauge.update(0.95, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::critical);
    gauge.update(0.895, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::high);
    gauge.update(0.88, t0);
    EXPECT_EQ(gauge.level(), PressureLevel::normal);
}

TEST(PressureGauge, SaysWhenItMayFall) {
    PressureGauge gauge{0.8, 250ms};
    EXPECT_FALSE(gauge.falls_at(0.1)) << "it is normal";
    gauge.update(0.96, t0);

    EXPECT_FALSE(gauge.falls_at(0.90));
    EXPECT_EQ(gauge.falls_at(0.89), t0 + 250ms);
    EXPECT_EQ(gauge.falls_at(0.1), t0 + 250ms);
}

TEST(PressureGauge, EachChangeIsMadeByOneOfTheThreadsThatSeeIt) {
    PressureGauge gauge{0.8, 0s};
    std::atomic<int> rises{0}, falls{0};
    for (int round = 0; round < 200; ++round) {
        std::vector<std::jthread> threads;
        for (int count = 0; count < 3; ++count) threads.emplace_back([&] { rises += gauge.update(0.9, t0) ? 1 : 0; });
        threads.clear();
        for (int count = 0; count < 3; ++count) threads.emplace_back([&] { falls += gauge.update(0.1, t0) ? 1 : 0; });
    }

    EXPECT_EQ(rises, 200);
    EXPECT_EQ(falls, 200);
}

} // namespace
} // namespace velostream
