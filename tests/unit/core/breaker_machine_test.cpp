// SPDX-License-Identifier: Apache-2.0
#include <new>

#include "breaker_fixture.hpp"

namespace velostream::testing {
namespace {

// Closed

TEST_F(BreakerMachineTest, OpensAtTheThresholdAndNotBefore) {
    BreakerMachine machine{{.failure_threshold = 3}};
    fail(machine);
    succeed(machine);
    fail(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::closed);

    fail(machine);

    EXPECT_EQ(machine.state(t0), CircuitState::open);
    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::failure_count}}));
}

// Asked for the time when it is decided that the circuit opens: at that moment another thread may set it by hand.
struct SetsByHand {
    BreakerMachine& machine;
    TimePoint now() const {
        machine.set_state(CircuitState::forced_open, t0);
        return t0;
    }
    TimePoint coarse_now() const { return now(); }
};

TEST_F(BreakerMachineTest, AFailureDoesNotOpenACircuitThatWasSetByHandMeanwhile) {
    BreakerMachine machine{small};
    const auto permit = acquire(machine, t0);

    const auto effect = machine.record(permit, CallOutcomeKind::failure, SetsByHand{machine});

    EXPECT_EQ(effect, BreakerEffect::none);
    EXPECT_EQ(machine.state(t0), CircuitState::forced_open);
    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::forced_open, BreakerCause::manual}}));
}

TEST_F(BreakerMachineTest, CountsFailuresOfTheWindowOnly) {
    BreakerMachine machine{{.failure_threshold = 2, .sliding_window_size = 5}};
    for (int i = 0; i < 20; ++i) {
        fail(machine);
        for (int j = 0; j < 4; ++j) succeed(machine);
    }
    EXPECT_EQ(machine.state(t0), CircuitState::closed);

    fail(machine);
    fail(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::open);
}

TEST_F(BreakerMachineTest, JudgesNothingBelowTheMinimumThroughput) {
    BreakerMachine machine{{.failure_threshold = 2, .minimum_throughput = 10}};
    for (int i = 0; i < 9; ++i) fail(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::closed);

    succeed(machine); // even a success completes the minimum

    EXPECT_EQ(machine.state(t0), CircuitState::open);
}

TEST_F(BreakerMachineTest, TheMinimumNeedsNoFullWindow) {
    BreakerMachine machine{{.failure_threshold = 100, .failure_rate_threshold = 0.5}};
    for (int i = 0; i < 5; ++i) succeed(machine);
    for (int i = 0; i < 4; ++i) fail(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::closed);

    fail(machine);

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::failure_rate}}));
}

TEST_F(BreakerMachineTest, ACallIsSlowFromTheThresholdOnSuccessesIncluded) {
    BreakerMachine machine{{.failure_threshold = 100, .slow_call_threshold = 1s, .slow_call_rate_threshold = 0.5}};
    const auto call = [&](Duration takes) {
        const auto permit = machine.try_acquire_closed(At{t0});
        ASSERT_TRUE(permit);
        machine.record(*permit, CallOutcomeKind::success, At{t0 + takes});
    };
    for (int i = 0; i < 6; ++i) call(1s - 1ns);
    for (int i = 0; i < 5; ++i) call(1s);
    EXPECT_EQ(machine.state(t0), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{11, 0, 5}));

    call(2s);

    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::slow_call_rate}}));
}

TEST_F(BreakerMachineTest, ASlowCallMayAlsoBeAFailure) {
    BreakerMachine machine{{.failure_threshold = 100, .slow_call_threshold = 1s}};
    const auto permit = machine.try_acquire_closed(At{t0});

    machine.record(*permit, CallOutcomeKind::failure, At{t0 + 1s});

    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{1, 1, 1}));
}

TEST_F(BreakerMachineTest, NoClockIsReadForClosedCallsUnlessTheSlowRuleIsOn) {
    BreakerMachine machine{{.failure_threshold = 100}};
    for (int i = 0; i < 50; ++i) {
        const auto permit = machine.try_acquire_closed(NoClock{});
        ASSERT_TRUE(permit);
        machine.record(*permit, i % 2 ? CallOutcomeKind::success : CallOutcomeKind::failure, NoClock{});
    }
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{50, 25, 0}));
}

TEST_F(BreakerMachineTest, OutcomesThatAreNotJudgedLeaveTheWindowAlone) {
    BreakerMachine machine{small};
    for (const auto kind : {CallOutcomeKind::cancelled, CallOutcomeKind::ignored, CallOutcomeKind::throttled})
        for (int i = 0; i < 3; ++i) machine.record(acquire(machine, t0), kind, NoClock{});

    const auto snapshot = machine.snapshot(t0);
    EXPECT_EQ(snapshot.state, CircuitState::closed);
    EXPECT_EQ(snapshot.window, OutcomeCounts{});
    EXPECT_EQ(snapshot.cancelled, 3u);
    EXPECT_EQ(snapshot.ignored, 3u);
    EXPECT_EQ(snapshot.throttled, 3u);
}

// Open

TEST_F(BreakerMachineTest, AnOpenCircuitRefusesAndSaysForHowLong) {
    BreakerMachine machine{small};
    fail(machine);

    const auto refused = machine.try_acquire(t0 + 4s);

    EXPECT_FALSE(refused.permit);
    EXPECT_EQ(refused.retry_after, 6s);
    EXPECT_EQ(machine.snapshot(t0).rejected, 1u);
    EXPECT_EQ(machine.snapshot(t0).open_until, t0 + 10s);
}

TEST_F(BreakerMachineTest, ACoarseClockRefusesOnlyWhereItMayBeSlowBy20Ms) {
    BreakerMachine machine{small};
    fail(machine);

    EXPECT_EQ(machine.refuse_by_coarse_clock(t0 + 10s - 21ms), 21ms);
    EXPECT_EQ(machine.refuse_by_coarse_clock(t0 + 10s - 20ms), std::nullopt) << "it may be time for a probe";
    EXPECT_EQ(machine.snapshot(t0).rejected, 1u);
}

TEST_F(BreakerMachineTest, AdmitsTheFirstProbeWhenTheTimeoutHasElapsedExactly) {
    BreakerMachine machine{small};
    fail(machine);

    EXPECT_FALSE(is_admitted(machine, t0 + 10s - 1ns));
    EXPECT_TRUE(is_admitted(machine, t0 + 10s));
}

TEST_F(BreakerMachineTest, ShowsTheStateInWhichTheNextCallWouldFindIt) {
    BreakerMachine machine{small};
    fail(machine);
    transitions(machine);

    EXPECT_EQ(machine.state(t0 + 10s - 1ns), CircuitState::open);
    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::half_open);
    EXPECT_EQ(machine.snapshot(t0 + 10s).open_until, std::nullopt);
    EXPECT_TRUE(transitions(machine).empty()) << "looking changes nothing";
}

TEST_F(BreakerMachineTest, AnEndlessTimeoutDoesNotOverflow) {
    BreakerMachine machine{{.failure_threshold = 1, .timeout = Duration::max()}};
    fail(machine);

    EXPECT_EQ(machine.state(TimePoint::max() - 1ns), CircuitState::open);
    EXPECT_FALSE(is_admitted(machine, TimePoint::max() - 1ns));
}

TEST_F(BreakerMachineTest, GoesOnShowingTheJudgedWindowUntilItClosesAgain) {
    BreakerMachine machine{small};
    succeed(machine);
    fail(machine);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{2, 1, 0}));

    const auto probe = acquire(machine, t0 + 10s);
    machine.record(probe, CallOutcomeKind::success, At{t0 + 11s});
    EXPECT_EQ(machine.snapshot(t0 + 11s).window, (OutcomeCounts{2, 1, 0}));

    succeed(machine, t0 + 12s);
    EXPECT_EQ(machine.state(t0 + 12s), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0 + 12s).window, OutcomeCounts{});
}

// Late results

TEST_F(BreakerMachineTest, SuccessThatBeganBeforeTheTripDoesNotCloseTheCircuit) {
    BreakerMachine machine{{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}};
    const auto slow_call = acquire(machine, t0);
    fail(machine);
    acquire(machine, t0 + 10s);

    machine.record(slow_call, CallOutcomeKind::success, At{t0 + 10s});

    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::half_open);
    EXPECT_EQ(machine.snapshot(t0 + 10s).late, 1u);
}

TEST_F(BreakerMachineTest, FailureThatBeganBeforeTheTripDoesNotReopenTheCircuit) {
    BreakerMachine machine{small};
    const auto slow_call = acquire(machine, t0);
    fail(machine);
    acquire(machine, t0 + 10s);

    machine.record(slow_call, CallOutcomeKind::failure, At{t0 + 10s});

    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::half_open);
}

TEST_F(BreakerMachineTest, ResultsThatBeganBeforeTheTripAreNotJudgedOnceItHasClosedAgain) {
    BreakerMachine machine{{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}};
    const auto slow_call = acquire(machine, t0);
    fail(machine);
    succeed(machine, t0 + 10s);
    ASSERT_EQ(machine.state(t0 + 10s), CircuitState::closed);

    machine.record(slow_call, CallOutcomeKind::failure, At{t0 + 11s});

    EXPECT_EQ(machine.state(t0 + 11s), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0 + 11s).window, OutcomeCounts{});
}

// By hand

TEST_F(BreakerMachineTest, ForcedOpenRefusesWhateverTimePasses) {
    BreakerMachine machine{small};
    EXPECT_TRUE(machine.set_state(CircuitState::forced_open, t0));

    EXPECT_FALSE(is_admitted(machine, t0 + 1000h));
    EXPECT_EQ(machine.state(t0 + 1000h), CircuitState::forced_open);
    EXPECT_EQ(machine.admissible(t0), 0u);
    EXPECT_EQ(machine.next_change(t0), std::nullopt);
}

TEST_F(BreakerMachineTest, ForcedClosedStartsWithAnEmptyWindow) {
    BreakerMachine machine{small};
    fail(machine);

    EXPECT_TRUE(machine.set_state(CircuitState::closed, t0));
    EXPECT_FALSE(machine.set_state(CircuitState::closed, t0)) << "it was closed";

    EXPECT_TRUE(is_admitted(machine, t0));
    EXPECT_EQ(machine.snapshot(t0).window, OutcomeCounts{});
    EXPECT_EQ(machine.snapshot(t0).last_closed, t0);
}

TEST_F(BreakerMachineTest, DisabledAdmitsAllAndJudgesNothing) {
    BreakerMachine machine{small};
    machine.set_state(CircuitState::disabled, t0);

    for (int i = 0; i < 10; ++i) fail(machine);

    EXPECT_EQ(machine.state(t0), CircuitState::disabled);
    EXPECT_EQ(machine.snapshot(t0).window, OutcomeCounts{});
}

TEST_F(BreakerMachineTest, MetricsOnlyAdmitsAllAndKeepsTheWindow) {
    BreakerMachine machine{small};
    machine.set_state(CircuitState::metrics_only, t0);

    for (int i = 0; i < 10; ++i) fail(machine);

    EXPECT_EQ(machine.state(t0), CircuitState::metrics_only);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{10, 10, 0}));
}

TEST_F(BreakerMachineTest, ResetClosesWithAnEmptyWindowAlsoIfClosed) {
    BreakerMachine machine{{.failure_threshold = 2}};
    const auto out = acquire(machine, t0);
    fail(machine);

    EXPECT_FALSE(machine.reset(t0)) << "closed before, closed after";
    fail(machine);
    machine.record(out, CallOutcomeKind::failure, At{t0});

    EXPECT_EQ(machine.state(t0), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{1, 1, 0}));
    EXPECT_EQ(machine.snapshot(t0).late, 1u);
    EXPECT_TRUE(transitions(machine).empty());

    machine.set_state(CircuitState::forced_open, t0);
    EXPECT_TRUE(machine.reset(t0));
    EXPECT_EQ(machine.state(t0), CircuitState::closed);
}

TEST_F(BreakerMachineTest, AResetOfAClosedCircuitIsNoChangeOfState) {
    BreakerMachine machine{{.failure_threshold = 2}};

    machine.reset(t0);

    EXPECT_EQ(machine.snapshot(t0).last_transition, std::nullopt);
    EXPECT_EQ(machine.snapshot(t0).last_closed, std::nullopt);
}

// Telling

TEST_F(BreakerMachineTest, PublishesEachTransitionOnceWithItsNumbersAndError) {
    BreakerMachine machine{{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}};
    succeed(machine);
    const Error error = Errc::connect_failed;
    machine.record(acquire(machine, t0), CallOutcomeKind::failure, At{t0}, &error);
    succeed(machine, t0 + 10s);

    std::vector<BreakerTransition> seen;
    const auto note = [&](const BreakerTransition& transition) { seen.push_back(transition); };
    machine.publish_transitions(note);
    machine.publish_transitions(note);

    ASSERT_EQ(seen.size(), 3u);
    EXPECT_EQ(seen[0].from, CircuitState::closed);
    EXPECT_EQ(seen[0].to, CircuitState::open);
    EXPECT_EQ(seen[0].at, t0);
    EXPECT_EQ(seen[0].counts, (OutcomeCounts{2, 1, 0}));
    EXPECT_EQ(seen[0].error, Errc::connect_failed);
    EXPECT_EQ(seen[1].to, CircuitState::half_open);
    EXPECT_EQ(seen[1].at, t0 + 10s);
    EXPECT_EQ(seen[2].to, CircuitState::closed);
    EXPECT_FALSE(seen[2].error.code().failed());
}

TEST_F(BreakerMachineTest, ATransitionThatCouldNotBePublishedIsPublishedWithTheNext) {
    BreakerMachine machine{small};
    fail(machine);
    std::vector<CircuitState> seen;

    const auto no_memory = [&](const BreakerTransition&) {
        machine.set_state(CircuitState::disabled, t0); // waits in line meanwhile
        throw std::bad_alloc{};
    };
    EXPECT_THROW(machine.publish_transitions(no_memory), std::bad_alloc);
    machine.set_state(CircuitState::forced_open, t0);
    machine.publish_transitions([&](const BreakerTransition& transition) { seen.push_back(transition.to); });

    EXPECT_EQ(seen, (std::vector{CircuitState::open, CircuitState::disabled, CircuitState::forced_open}));
}

TEST_F(BreakerMachineTest, WithoutMemoryTransitionsAreOneWithTheLastAndNoneWhereTheyLeadBack) {
    ScarceMemory memory;
    BreakerMachine machine{small, std::nullopt, memory};
    memory.is_used_up = true;
    std::vector<std::pair<CircuitState, CircuitState>> seen;
    const auto see = [&](const BreakerTransition& transition) { seen.emplace_back(transition.from, transition.to); };

    for (const auto state : {CircuitState::forced_open, CircuitState::disabled, CircuitState::metrics_only})
        machine.set_state(state, t0);
    machine.publish_transitions(see);
    EXPECT_EQ(seen, (std::vector{std::pair{CircuitState::closed, CircuitState::forced_open},
                                 std::pair{CircuitState::forced_open, CircuitState::metrics_only}}));

    seen.clear();
    for (const auto state : {CircuitState::closed, CircuitState::disabled, CircuitState::closed})
        machine.set_state(state, t0);
    machine.publish_transitions(see);
    EXPECT_EQ(seen, (std::vector{std::pair{CircuitState::metrics_only, CircuitState::closed}}));
}

TEST_F(BreakerMachineTest, IsNotPristineBeforeAllItsTransitionsWereTold) {
    BreakerMachine machine{small};
    machine.set_state(CircuitState::disabled, t0);
    machine.set_state(CircuitState::closed, t0);

    EXPECT_FALSE(machine.is_pristine(t0));
    machine.publish_transitions([](const auto&) {});
    EXPECT_TRUE(machine.is_pristine(t0));
}

TEST_F(BreakerMachineTest, ATransitionMadeWhilePublishingIsPublishedAfterTheOthers) {
    BreakerMachine machine{small};
    fail(machine);
    std::vector<CircuitState> seen;

    machine.publish_transitions([&](const BreakerTransition& transition) {
        if (transition.to == CircuitState::open) {
            machine.set_state(CircuitState::disabled, t0);
            machine.publish_transitions([](const auto&) { ADD_FAILURE() << "published inside another"; });
        }
        seen.push_back(transition.to);
    });

    EXPECT_EQ(seen, (std::vector{CircuitState::open, CircuitState::disabled}));
}

TEST_F(BreakerMachineTest, CountsHowOftenItOpenedAndWhenItChanged) {
    BreakerMachine machine{small};
    EXPECT_EQ(machine.snapshot(t0).last_transition, std::nullopt);

    fail(machine);
    fail(machine, t0 + 10s);

    const auto snapshot = machine.snapshot(t0 + 10s);
    EXPECT_EQ(snapshot.opened, 2u);
    EXPECT_EQ(snapshot.last_opened, t0 + 10s);
    EXPECT_EQ(snapshot.last_transition, t0 + 10s);
    EXPECT_EQ(snapshot.last_closed, std::nullopt);
}

} // namespace
} // namespace velostream::testing
