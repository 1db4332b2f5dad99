// SPDX-License-Identifier: Apache-2.0
#include "breaker_fixture.hpp"

namespace velostream::testing {
namespace {

class HalfOpenMachineTest : public BreakerMachineTest {
  protected:
    HalfOpenMachineTest() {
        fail(machine, t0 - 10s);
        probe = acquire(machine, t0);
        transitions(machine);
    }
    BreakerMachine machine{
        {.failure_threshold = 1, .success_threshold = 3, .timeout = 10s, .max_half_open_duration = 30s}};
    BreakerPermit probe; // out since t0
};

TEST_F(HalfOpenMachineTest, AdmitsAsManyProbesAsSuccessesAreNeeded) {
    EXPECT_TRUE(is_admitted(machine, t0));
    EXPECT_TRUE(is_admitted(machine, t0));

    const auto refused = machine.try_acquire(t0);
    EXPECT_FALSE(refused.permit);
    EXPECT_EQ(refused.retry_after, std::nullopt) << "nobody knows when a probe ends";
}

TEST(HalfOpenMachine, RefusesAProbeBeyondThe16thWithoutMemory) {
    const CircuitBreakerConfig one{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s};
    const CircuitBreakerConfig forty{.failure_threshold = 1, .success_threshold = 40, .timeout = 10s};
    ScarceMemory memory;
    for (const bool is_reconfigured : {false, true}) {
        memory.is_used_up = false;
        BreakerMachine machine{is_reconfigured ? one : forty, std::nullopt, memory};
        machine.record(*machine.try_acquire(t0).permit, CallOutcomeKind::failure, At{t0});
        if (is_reconfigured) machine.reconfigure(forty, t0);
        memory.is_used_up = true;
        const auto now = t0 + 10s;

        std::vector<BreakerPermit> probes;
        while (const auto permit = machine.try_acquire(now).permit) probes.push_back(*permit);
        EXPECT_EQ(probes.size(), 16U);
        EXPECT_EQ(machine.snapshot(now).rejected, 1U);

        for (const auto& probe : probes) machine.record(probe, CallOutcomeKind::success, At{now});
        for (int i = 0; i < 24; ++i)
            machine.record(*machine.try_acquire(now).permit, CallOutcomeKind::success, At{now});
        EXPECT_EQ(machine.state(now), CircuitState::closed);
    }
}

TEST_F(HalfOpenMachineTest, SucceededProbesKeepTheirPlaces) {
    machine.record(probe, CallOutcomeKind::success, At{t0});

    EXPECT_TRUE(is_admitted(machine, t0));
    EXPECT_TRUE(is_admitted(machine, t0));
    EXPECT_FALSE(is_admitted(machine, t0));
}

TEST_F(HalfOpenMachineTest, ClosesAfterTheNeededSuccesses) {
    machine.record(probe, CallOutcomeKind::success, At{t0});
    succeed(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::half_open);

    succeed(machine);

    EXPECT_EQ(machine.state(t0), CircuitState::closed);
    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::closed, BreakerCause::probes_succeeded}}));
}

TEST_F(HalfOpenMachineTest, AnyFailedProbeOpensWithAFreshTimer) {
    const auto other = acquire(machine, t0);
    machine.record(other, CallOutcomeKind::success, At{t0 + 1s});

    machine.record(probe, CallOutcomeKind::failure, At{t0 + 2s});

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::probe_failed}}));
    EXPECT_FALSE(is_admitted(machine, t0 + 12s - 1ns));
    EXPECT_TRUE(is_admitted(machine, t0 + 12s));
}

TEST_F(HalfOpenMachineTest, ProbesOfAnEarlierHalfOpenStateAreLate) {
    const auto second = acquire(machine, t0);
    const auto third = acquire(machine, t0);
    machine.record(second, CallOutcomeKind::failure, At{t0});
    const auto fresh = acquire(machine, t0 + 10s);

    machine.record(probe, CallOutcomeKind::success, At{t0 + 10s});
    machine.record(third, CallOutcomeKind::failure, At{t0 + 10s});

    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::half_open);
    EXPECT_EQ(machine.snapshot(t0 + 10s).late, 2u);
    machine.record(fresh, CallOutcomeKind::success, At{t0 + 10s});
    EXPECT_TRUE(is_admitted(machine, t0 + 10s));
    EXPECT_TRUE(is_admitted(machine, t0 + 10s));
    EXPECT_FALSE(is_admitted(machine, t0 + 10s)) << "a late result took a place";
}

TEST_F(HalfOpenMachineTest, AProbeWithoutAResultReturnsItsPermitAndDecidesNothing) {
    for (const auto kind : {CallOutcomeKind::cancelled, CallOutcomeKind::ignored, CallOutcomeKind::throttled}) {
        const auto second = acquire(machine, t0);
        const auto third = acquire(machine, t0);
        ASSERT_FALSE(is_admitted(machine, t0));

        machine.record(second, kind, At{t0});
        machine.abandon(third, t0);

        EXPECT_EQ(machine.state(t0), CircuitState::half_open);
        EXPECT_EQ(machine.admissible(t0), 2u);
    }
}

TEST_F(HalfOpenMachineTest, AProbeThatIsOutForTooLongOpensTheCircuit) {
    EXPECT_EQ(machine.state(t0 + 30s - 1ns), CircuitState::half_open);
    EXPECT_EQ(machine.state(t0 + 30s), CircuitState::open);
    EXPECT_EQ(machine.next_change(t0), t0 + 30s);

    EXPECT_FALSE(is_admitted(machine, t0 + 30s)) << "places were free, but a probe hangs";

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::probe_overdue}}));
}

TEST_F(HalfOpenMachineTest, AnOverdueProbeOpensFromTheMomentItBecameOverdue) {
    // Nobody looks for a long time: the open state began at 30 s and its timeout ended at 40 s.
    EXPECT_EQ(machine.state(t0 + 40s - 1ns), CircuitState::open);
    EXPECT_EQ(machine.state(t0 + 40s), CircuitState::half_open);
    EXPECT_EQ(machine.admissible(t0 + 40s), 3u);
    EXPECT_EQ(machine.next_change(t0 + 30s), t0 + 40s);
    EXPECT_EQ(machine.next_change(t0 + 40s), std::nullopt);

    EXPECT_TRUE(is_admitted(machine, t0 + 45s));

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::probe_overdue},
                                                 {CircuitState::half_open, BreakerCause::timeout_elapsed}}));
}

TEST_F(HalfOpenMachineTest, SaysUntilWhenAnOverdueProbeKeepsItOpenBeforeAnybodyHasNoticedIt) {
    EXPECT_EQ(machine.snapshot(t0 + 29s).open_until, std::nullopt);

    EXPECT_EQ(machine.snapshot(t0 + 30s).state, CircuitState::open);
    EXPECT_EQ(machine.snapshot(t0 + 30s).open_until, t0 + 40s);
}

TEST_F(HalfOpenMachineTest, AnOverdueResultDecidesNothing) {
    EXPECT_EQ(machine.record(probe, CallOutcomeKind::success, At{t0 + 30s}), BreakerEffect::state_changed);

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::probe_overdue}}));
    EXPECT_EQ(machine.snapshot(t0 + 30s).late, 1u);
}

TEST_F(HalfOpenMachineTest, WhoeverFindsAProbeOverdueSaysThatTheStateChanged) {
    EXPECT_TRUE(machine.try_acquire(t0 + 30s).changed);

    const auto next = acquire(machine, t0 + 40s);
    transitions(machine);
    EXPECT_EQ(machine.abandon(next, t0 + 70s), BreakerEffect::state_changed);
    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::probe_overdue}}));
}

TEST_F(HalfOpenMachineTest, NothingChangesByItselfWhileNoProbeIsOut) {
    machine.abandon(probe, t0 + 1s);

    EXPECT_EQ(machine.next_change(t0 + 1s), std::nullopt);
}

TEST_F(HalfOpenMachineTest, ProbesFarApartStillClose) {
    machine.record(probe, CallOutcomeKind::success, At{t0 + 29s});
    succeed(machine, t0 + 1000s);
    EXPECT_EQ(machine.state(t0 + 5000s), CircuitState::half_open);

    succeed(machine, t0 + 9000s);

    EXPECT_EQ(machine.state(t0 + 9000s), CircuitState::closed);
}

TEST_F(HalfOpenMachineTest, TheOldestProbeThatIsStillOutCounts) {
    const auto second = acquire(machine, t0 + 20s);
    machine.record(probe, CallOutcomeKind::success, At{t0 + 25s});

    EXPECT_EQ(machine.state(t0 + 49s), CircuitState::half_open);
    EXPECT_EQ(machine.state(t0 + 50s), CircuitState::open);

    machine.abandon(second, t0 + 30s);
    EXPECT_EQ(machine.state(t0 + 5000s), CircuitState::half_open);
}

TEST_F(HalfOpenMachineTest, SettleMakesTheChangeThatIsDue) {
    EXPECT_FALSE(machine.settle(t0 + 30s - 1ns));
    EXPECT_TRUE(machine.settle(t0 + 31s));
    EXPECT_FALSE(machine.settle(t0 + 31s));

    EXPECT_EQ(machine.next_change(t0 + 31s), t0 + 40s);
}

TEST_F(BreakerMachineTest, ASlowProbeOpensIfTheSlowRuleIsOn) {
    BreakerMachine machine{{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s, .slow_call_threshold = 1s}};
    fail(machine);
    const auto probe = acquire(machine, t0 + 10s);

    machine.record(probe, CallOutcomeKind::success, At{t0 + 11s});

    EXPECT_EQ(machine.state(t0 + 11s), CircuitState::open);
    machine.publish_transitions([](const auto&) {});
    machine.record(acquire(machine, t0 + 21s), CallOutcomeKind::success, At{t0 + 22s - 1ns});
    EXPECT_EQ(machine.state(t0 + 22s), CircuitState::closed);
}

TEST_F(BreakerMachineTest, TheHalfOpenLimitDefaultsToTheTimeoutButAtLeastAMinute) {
    for (const auto& [timeout, limit] : {std::pair<Duration, Duration>{10s, 60s}, {90s, 90s}}) {
        BreakerMachine machine{{.failure_threshold = 1, .timeout = timeout}};
        fail(machine);
        acquire(machine, t0 + timeout);

        EXPECT_EQ(machine.next_change(t0 + timeout), t0 + timeout + limit);
    }
}

} // namespace
} // namespace velostream::testing
