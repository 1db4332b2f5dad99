// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/open_wait.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "breaker_fixture.hpp"

namespace velostream::testing {
namespace {

constexpr auto most = std::numeric_limits<std::uint64_t>::max();

TEST(OpenWait, IsTheTimeoutUnlessItMayGrow) {
    const OpenWait wait{{.timeout = 10s}};

    for (const std::uint32_t reopenings : {0U, 1U, 100U, std::numeric_limits<std::uint32_t>::max()})
        EXPECT_EQ(wait.wait(reopenings, most), 10s);
}

TEST(OpenWait, GrowsByItsFactorUpToTheLongest) {
    const OpenWait wait{{.timeout = 10s, .timeout_multiplier = 1.5, .max_timeout = 30s}};

    EXPECT_EQ(wait.step(0), 10s);
    EXPECT_EQ(wait.step(1), 15s);
    EXPECT_EQ(wait.step(2), 22500ms);
    EXPECT_EQ(wait.step(3), 30s);
    EXPECT_EQ(wait.step(std::numeric_limits<std::uint32_t>::max()), 30s);
}

TEST(OpenWait, GrowsToTenTimesTheTimeoutIfNoLongestIsSet) {
    EXPECT_EQ((OpenWait{{.timeout = 10s, .timeout_multiplier = 2.0}}.step(100)), 100s);
    EXPECT_EQ((OpenWait{{.timeout = Duration::max() / 2, .timeout_multiplier = 2.0}}.step(100)), Duration::max());
}

TEST(OpenWait, JitterAddsUpToItsFractionAndNeverTakesAway) {
    const OpenWait wait{{.timeout = 10s, .timeout_multiplier = 2.0, .max_timeout = 20s, .timeout_jitter = 0.5}};

    EXPECT_EQ(wait.wait(0, 0), 10s);
    EXPECT_EQ(wait.wait(0, most / 2 + 1), 12500ms);
    EXPECT_GT(wait.wait(0, most), 15s - 1us);
    EXPECT_LE(wait.wait(0, most), 15s);
    EXPECT_EQ(wait.wait(5, most / 2 + 1), 25s) << "also beyond the longest wait: there most of all";
}

TEST(OpenWait, IsNeverShorterThanTheServiceAsksFor) {
    const OpenWait wait{{.timeout = 10s, .max_timeout = 20s, .timeout_jitter = 0.5}};

    EXPECT_EQ(wait.wait(0, 0, 9s), 10s);
    EXPECT_EQ(wait.wait(0, 0, 90s), 90s);
    EXPECT_EQ(wait.wait(0, 0, -5s), 10s);
}

TEST(OpenWait, SaturatesForAnyNumbers) {
    const OpenWait wait{{.timeout = Duration::max(), .timeout_multiplier = 1e300, .timeout_jitter = 1.0}};

    for (const std::uint32_t reopenings : {0U, 1U, 2U, std::numeric_limits<std::uint32_t>::max()})
        for (const std::uint64_t random : {std::uint64_t{0}, most}) {
            EXPECT_EQ(wait.wait(reopenings, random), Duration::max());
            EXPECT_EQ(wait.wait(reopenings, random, Duration::max()), Duration::max());
        }
}

class OpenWaitMachineTest : public BreakerMachineTest {
  protected:
    // How long the circuit stays open from `now` on, to the second.
    static Duration open_for(const BreakerMachine& machine, TimePoint now) {
        return machine.snapshot(now).open_until.value_or(now) - now;
    }
    static constexpr CircuitBreakerConfig growing{
        .failure_threshold = 1, .success_threshold = 1, .timeout = 10s, .timeout_multiplier = 2.0, .max_timeout = 35s};
};

TEST_F(OpenWaitMachineTest, EveryOpeningWithoutAClosingBetweenWaitsLonger) {
    BreakerMachine machine{growing};
    auto now = t0;
    for (const Duration expected : {10s, 20s, 35s, 35s}) {
        fail(machine, now);
        EXPECT_EQ(open_for(machine, now), expected);
        now += expected;
    }

    succeed(machine, now);
    fail(machine, now);

    EXPECT_EQ(open_for(machine, now), 10s) << "it was closed";
}

TEST_F(OpenWaitMachineTest, EveryOpeningHasAJitterOfItsOwn) {
    BreakerMachine machine{{.failure_threshold = 1, .timeout = 10s, .timeout_jitter = 1}, 7};
    auto now = t0;
    std::vector<Duration> waits;
    while (waits.size() < 3) {
        fail(machine, now);
        waits.push_back(open_for(machine, now));
        now += waits.back();
    }

    EXPECT_NE(waits[0], waits[1]);
    EXPECT_NE(waits[1], waits[2]);
}

TEST_F(OpenWaitMachineTest, AHandThatClosesItEndsTheGrowth) {
    BreakerMachine machine{growing};
    fail(machine, t0);
    fail(machine, t0 + 10s);
    machine.set_state(CircuitState::closed, t0 + 11s);

    fail(machine, t0 + 12s);

    EXPECT_EQ(open_for(machine, t0 + 12s), 10s);
}

TEST_F(OpenWaitMachineTest, AnOverdueProbeIsAnOpeningLikeOthersAlsoBeforeAnybodyNotices) {
    auto config = growing;
    config.max_half_open_duration = 5s;
    BreakerMachine machine{config};
    fail(machine);
    acquire(machine, t0 + 10s);

    EXPECT_EQ(machine.snapshot(t0 + 15s).open_until, t0 + 35s);
    EXPECT_EQ(machine.next_change(t0 + 15s), t0 + 35s);
    EXPECT_EQ(machine.state(t0 + 35s - 1ns), CircuitState::open);
    machine.settle(t0 + 15s);

    EXPECT_EQ(machine.snapshot(t0 + 15s).open_until, t0 + 35s);
}

TEST_F(OpenWaitMachineTest, JitterOfASeedIsTheSameAndForetold) {
    auto config = growing;
    config.timeout_jitter = 1.0;
    config.max_half_open_duration = 5s;
    BreakerMachine machine{config, 7}, twin{config, 7}, other{config, 8}, unseeded{config};
    fail(machine);
    fail(twin);
    fail(other);
    fail(unseeded);
    const auto wait = open_for(machine, t0);
    EXPECT_GT(wait, 10s);
    EXPECT_LE(wait, 20s);
    EXPECT_EQ(open_for(twin, t0), wait);
    EXPECT_NE(open_for(other, t0), wait);
    EXPECT_NE(open_for(unseeded, t0), wait);

    acquire(machine, t0 + wait);
    const auto overdue = t0 + wait + 5s;
    const auto foretold = machine.snapshot(overdue).open_until;
    machine.settle(overdue);

    EXPECT_EQ(machine.snapshot(overdue).open_until, foretold);
    EXPECT_GE(*foretold, overdue + 20s);
}

TEST_F(OpenWaitMachineTest, WaitsAtLeastAsLongAsTheErrorThatOpenedItAsksFor) {
    BreakerMachine machine{growing};
    const auto busy = Error{Errc::connect_failed}.with_retry_after(90s);

    machine.record(acquire(machine, t0), CallOutcomeKind::failure, At{t0}, &busy);
    EXPECT_EQ(open_for(machine, t0), 90s);

    machine.record(acquire(machine, t0 + 90s), CallOutcomeKind::failure, At{t0 + 90s}, &busy);
    EXPECT_EQ(open_for(machine, t0 + 90s), 90s) << "a probe's error too";
}

TEST_F(OpenWaitMachineTest, TellsHowLongItHasWaited) {
    BreakerMachine machine{growing};
    fail(machine, t0);
    fail(machine, t0 + 10s);
    acquire(machine, t0 + 40s);

    std::vector<Duration> waits;
    machine.publish_transitions([&](const BreakerTransition& transition) { waits.push_back(transition.wait); });

    EXPECT_EQ(waits, (std::vector<Duration>{10s, 10s, 20s, 30s})) << "the last probe came late";
}

} // namespace
} // namespace velostream::testing
