// SPDX-License-Identifier: Apache-2.0
#include "breaker_fixture.hpp"
#include "velostream/core/accounted_memory.hpp"

namespace velostream::testing {
namespace {

class ReconfigureTest : public BreakerMachineTest {
  protected:
    static constexpr CircuitBreakerConfig patient{.failure_threshold = 10, .success_threshold = 2, .timeout = 10s};
    static constexpr CircuitBreakerConfig strict{
        .failure_threshold = 3, .success_threshold = 1, .timeout = 1s, .max_half_open_duration = 5s};
};

TEST_F(ReconfigureTest, TheNextOutcomeOpensIfTheNewRulesSaySo) {
    BreakerMachine machine{patient};
    for (int i = 0; i < 20; ++i) i < 3 ? fail(machine) : succeed(machine);

    machine.reconfigure(strict, t0);
    EXPECT_EQ(machine.state(t0), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{20, 3, 0}));

    succeed(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::open);
    EXPECT_EQ(transitions(machine), (Transitions{{CircuitState::open, BreakerCause::failure_count}}));
}

TEST_F(ReconfigureTest, PermitsOfBeforeAreJudgedByTheNewRules) {
    BreakerMachine machine{patient};
    fail(machine);
    fail(machine);
    const auto out = machine.try_acquire_closed(At{t0});

    machine.reconfigure(strict, t0);
    machine.record(*out, CallOutcomeKind::failure, At{t0});

    EXPECT_EQ(machine.state(t0), CircuitState::open);
    EXPECT_EQ(machine.snapshot(t0).late, 0u);
}

TEST_F(ReconfigureTest, ACallThatNobodyTimedIsNotSlow) {
    BreakerMachine machine{patient};
    const auto out = machine.try_acquire_closed(NoClock{});
    auto watching = patient;
    watching.slow_call_threshold = 1s;

    machine.reconfigure(watching, t0);
    machine.record(*out, CallOutcomeKind::success, At{t0 + 100s});

    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{1, 0, 0}));
}

TEST_F(ReconfigureTest, AnOpenCircuitWaitsAsItBegan) {
    BreakerMachine machine{patient};
    for (int i = 0; i < 10; ++i) fail(machine);

    machine.reconfigure(strict, t0);

    EXPECT_EQ(machine.snapshot(t0).open_until, t0 + 10s);
    EXPECT_EQ(machine.admissible(t0 + 10s), 1u) << "what comes next is the new configuration's";
}

TEST_F(ReconfigureTest, AHalfOpenStateEndsByTheNumbersWithWhichItBegan) {
    BreakerMachine machine{patient};
    for (int i = 0; i < 10; ++i) fail(machine);
    const auto probe = acquire(machine, t0 + 10s);

    machine.reconfigure(strict, t0 + 10s);
    EXPECT_EQ(machine.admissible(t0 + 10s), 1u) << "one of two probes is out";
    EXPECT_EQ(machine.next_change(t0 + 10s), t0 + 70s);
    machine.record(probe, CallOutcomeKind::success, At{t0 + 11s});
    EXPECT_EQ(machine.state(t0 + 11s), CircuitState::half_open);
    succeed(machine, t0 + 12s);

    EXPECT_EQ(machine.state(t0 + 12s), CircuitState::closed);
}

TEST_F(ReconfigureTest, AProbeThatFailsOpensForTheNewWait) {
    BreakerMachine machine{patient};
    for (int i = 0; i < 10; ++i) fail(machine);
    const auto probe = acquire(machine, t0 + 10s);

    machine.reconfigure(strict, t0 + 10s);
    machine.record(probe, CallOutcomeKind::failure, At{t0 + 11s});

    EXPECT_EQ(machine.snapshot(t0 + 11s).open_until, t0 + 12s);
}

TEST_F(ReconfigureTest, AProbeThatWasOverdueBeforeOpensByTheOldNumbers) {
    BreakerMachine machine{patient};
    for (int i = 0; i < 10; ++i) fail(machine);
    acquire(machine, t0 + 10s);

    EXPECT_TRUE(machine.reconfigure(strict, t0 + 71s));

    EXPECT_EQ(machine.snapshot(t0 + 71s).open_until, t0 + 80s);
}

TEST_F(ReconfigureTest, AStateSetByHandAndTheWindowThatWasJudgedStay) {
    BreakerMachine machine{patient};
    fail(machine);
    machine.set_state(CircuitState::forced_open, t0);

    EXPECT_FALSE(machine.reconfigure(strict, t0));

    EXPECT_EQ(machine.state(t0), CircuitState::forced_open);
    EXPECT_EQ(machine.snapshot(t0).window, (OutcomeCounts{1, 1, 0}));
}

TEST_F(ReconfigureTest, WithoutMemoryForTheNewWindowNothingChanges) {
    AccountedResource memory{MemoryAccount{"small", 3000}};
    BreakerMachine machine{patient, 1, memory};
    for (int i = 0; i < 5; ++i) fail(machine);
    auto large = strict;
    large.sliding_window_duration = 10s;
    large.sliding_window_buckets = 1000;

    EXPECT_THROW(machine.reconfigure(large, t0), MemoryRefusedException);

    succeed(machine);
    EXPECT_EQ(machine.state(t0), CircuitState::closed) << "by the old rules";
    EXPECT_EQ(machine.snapshot(t0 + 100s).window, (OutcomeCounts{6, 5, 0})) << "in the old window";
}

// A window of time

class TimedMachineTest : public BreakerMachineTest {
  protected:
    static constexpr CircuitBreakerConfig timed{
        .failure_threshold = 3, .success_threshold = 1, .timeout = 10s, .sliding_window_duration = 10s};
};

TEST_F(TimedMachineTest, OpensByFailuresOfTheLastWhileOnly) {
    BreakerMachine machine{timed};
    for (int i = 0; i < 20; ++i) fail(machine, t0 + i * 5s); // two in a window
    EXPECT_EQ(machine.state(t0 + 95s), CircuitState::closed);

    fail(machine, t0 + 96s);

    EXPECT_EQ(machine.state(t0 + 96s), CircuitState::open);
}

TEST_F(TimedMachineTest, ASuccessOpensIfTheSuccessesBeforeItHaveLeftTheWindow) {
    auto config = timed;
    config.failure_threshold = 1000;
    config.failure_rate_threshold = 0.5;
    BreakerMachine machine{config};
    for (int i = 0; i < 90; ++i) succeed(machine, t0);
    for (int i = 0; i < 20; ++i) fail(machine, t0 + 5s);
    succeed(machine, t0 + 9s);
    EXPECT_EQ(machine.state(t0 + 9s), CircuitState::closed);

    succeed(machine, t0 + 10s);

    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::open);
    EXPECT_EQ(machine.snapshot(t0 + 10s).window, (OutcomeCounts{22, 20, 0}));
}

TEST_F(TimedMachineTest, GoesOnShowingTheJudgedWindowHoweverLongItStaysOpen) {
    BreakerMachine machine{timed};
    for (int i = 0; i < 3; ++i) fail(machine);

    EXPECT_EQ(machine.snapshot(t0 + 24h).window, (OutcomeCounts{3, 3, 0}));

    succeed(machine, t0 + 24h);
    EXPECT_EQ(machine.state(t0 + 24h), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0 + 24h).window, OutcomeCounts{});
}

TEST_F(TimedMachineTest, WhileItIsClosedItShowsWhatTheWindowHoldsNow) {
    BreakerMachine machine{timed};
    fail(machine);

    EXPECT_EQ(machine.snapshot(t0 + 9s).window, (OutcomeCounts{1, 1, 0}));
    EXPECT_EQ(machine.snapshot(t0 + 10s).window, OutcomeCounts{});
}

// Which of the two clocks is read.
struct Clocks {
    mutable int exact = 0, coarse = 0;
    TimePoint now() const {
        ++exact;
        return t0;
    }
    TimePoint coarse_now() const {
        ++coarse;
        return t0;
    }
};

TEST_F(TimedMachineTest, ReadsTheCoarseClockOnceForEachOutcomeIfBucketsAreLong) {
    BreakerMachine long_buckets{{.sliding_window_duration = 1s}};
    BreakerMachine short_buckets{{.sliding_window_duration = 999ms}};
    BreakerMachine exact_calls{{.slow_call_threshold = 99ms, .sliding_window_duration = 1s}};
    const auto readings = [](BreakerMachine& machine, CallOutcomeKind kind) {
        Clocks clocks;
        machine.record(*machine.try_acquire_closed(clocks), kind, clocks);
        return std::pair{clocks.exact, clocks.coarse};
    };

    for (const auto kind : {CallOutcomeKind::success, CallOutcomeKind::failure}) {
        EXPECT_EQ(readings(long_buckets, kind), (std::pair{0, 1}));
        EXPECT_EQ(readings(short_buckets, kind), (std::pair{1, 0}));
        EXPECT_EQ(readings(exact_calls, kind), (std::pair{2, 0})) << "one to begin, and one for both at the end";
    }
}

// In plain memory

TEST_F(BreakerMachineTest, AConfinedMachineFollowsTheSameRulesInAFractionOfTheMemory) {
    using Confined = BasicBreakerMachine<ConfinedMemory>;
    Confined machine{{.failure_threshold = 2, .success_threshold = 1, .timeout = 10s}};
    const auto call = [&](CallOutcomeKind kind, TimePoint now) {
        const auto permit = machine.try_acquire(now).permit;
        if (permit) machine.record(*permit, kind, At{now});
        return permit.has_value();
    };

    EXPECT_TRUE(call(CallOutcomeKind::failure, t0));
    EXPECT_TRUE(machine.snapshot(t0).window == (OutcomeCounts{1, 1, 0}));
    EXPECT_TRUE(call(CallOutcomeKind::failure, t0));
    EXPECT_FALSE(call(CallOutcomeKind::success, t0 + 9s));
    EXPECT_TRUE(call(CallOutcomeKind::success, t0 + 10s));

    EXPECT_EQ(machine.state(t0 + 10s), CircuitState::closed);
    EXPECT_EQ(machine.snapshot(t0 + 10s).rejected, 1u);
    EXPECT_LE(sizeof(Confined), sizeof(BreakerMachine) / 3);
}

} // namespace
} // namespace velostream::testing
