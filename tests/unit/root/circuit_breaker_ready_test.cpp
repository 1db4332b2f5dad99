// SPDX-License-Identifier: Apache-2.0
// `CircuitBreaker::async_ready`: waiting until a call would be admitted.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>
#include <optional>
#include <vector>

#include "support/ready_waiters.hpp"
#include "support/ticking_time.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CircuitBreakerReadyTest : public testing::ReadyWaiters {
  protected:
    using Breaker = CircuitBreaker<testing::ManualTime>;

    void open() {
        while (breaker->state() == CircuitState::closed) breaker->try_acquire()->failure(Errc::connect_failed);
    }
    void wait(int name) { breaker->async_ready(waiter(name)); }

    std::optional<Breaker> breaker{
        std::in_place, "orders",
        CircuitBreakerConfig{
            .failure_threshold = 2, .success_threshold = 2, .timeout = 10s, .max_half_open_duration = 30s},
        nullptr, time};
};

TEST_F(CircuitBreakerReadyTest, IsReadyAtOnceWhileCallsAreAdmitted) {
    wait(1);
    EXPECT_TRUE(ready.empty()) << "completed inside the call";
    EXPECT_EQ(now_ready(), (Names{1}));

    breaker->disable();
    wait(2);
    breaker->metrics_only();
    wait(3);
    EXPECT_EQ(now_ready(), (Names{2, 3}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitBreakerReadyTest, FindsRecoveryWithoutTrafficAndWithoutPolling) {
    open();
    wait(1);
    EXPECT_EQ(time.sleepers(), 1u);
    EXPECT_EQ(time.next_wake(), time.now() + 10s);

    pass(10s - 1ns);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1ns);
    EXPECT_EQ(now_ready(), (Names{1}));
    EXPECT_EQ(breaker->state(), CircuitState::half_open);
    EXPECT_TRUE(breaker->try_acquire());
}

TEST_F(CircuitBreakerReadyTest, MissesNoTimeoutThatPassesWhileItBeginsToWait) {
    for (int looks = 1; looks <= 20; ++looks) {
        CircuitBreaker ticking{
            "ticking", {.failure_threshold = 1, .timeout = 1ms}, nullptr, testing::TickingTime{time}};
        ticking.try_acquire()->failure(Errc::connect_failed);
        time.advance_to(*ticking.get_stats().next_probe_at - Duration{looks});

        ticking.async_ready(waiter(looks));
        time.run_for(io, 10us);

        EXPECT_EQ(std::exchange(ready, {}), (Names{looks}));
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(CircuitBreakerReadyTest, ManyWaitersShareOneSleep) {
    open();
    for (int i = 0; i < 100; ++i) wait(i);

    EXPECT_EQ(time.sleepers(), 1u);
}

TEST_F(CircuitBreakerReadyTest, InvitesOneWaiterForEachProbeInTheOrderOfArrival) {
    open();
    for (int i = 1; i <= 5; ++i) wait(i);

    pass(10s);

    EXPECT_EQ(now_ready(), (Names{1, 2}));
}

TEST_F(CircuitBreakerReadyTest, WhoComesWhenTheWaitIsOverComesAfterThoseWhoWait) {
    breaker.emplace("one probe", CircuitBreakerConfig{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s},
                    nullptr, time);
    open();
    wait(1);
    time.advance(10s); // nobody has been told yet

    wait(2);

    EXPECT_EQ(now_ready(), (Names{1}));
    breaker->try_acquire()->success();
    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(CircuitBreakerReadyTest, InvitesEverybodyWhenTheCircuitCloses) {
    open();
    for (int i = 1; i <= 4; ++i) wait(i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    breaker->try_acquire()->success();
    EXPECT_EQ(now_ready(), (Names{}));
    breaker->try_acquire()->success();

    EXPECT_EQ(now_ready(), (Names{3, 4}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitBreakerReadyTest, WaitsForTheNextTimeoutWhenAProbeFails) {
    open();
    for (int i = 1; i <= 3; ++i) wait(i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    breaker->try_acquire()->failure(Errc::connect_failed);
    pass(9s);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1s);

    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(CircuitBreakerReadyTest, InvitesAnotherWhenAProbeReturnsItsPermit) {
    open();
    for (int i = 1; i <= 3; ++i) wait(i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));
    auto first = breaker->try_acquire(), second = breaker->try_acquire();

    first->ignore();

    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(CircuitBreakerReadyTest, DoesNotInviteANewcomerBeforeThoseWhoWereInvited) {
    open();
    wait(1);
    wait(2);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    wait(3); // the two invited have not called yet
    EXPECT_EQ(now_ready(), (Names{}));

    breaker->try_acquire()->success();
    breaker->try_acquire()->success();
    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(CircuitBreakerReadyTest, WhoWasInvitedBeforeTheCircuitOpenedAgainDelaysNobody) {
    open();
    wait(1);
    wait(2);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));
    breaker->try_acquire()->failure(Errc::connect_failed); // the other one makes no call
    pass(10s);

    wait(3);
    wait(4);

    EXPECT_EQ(now_ready(), (Names{3, 4}));
}

TEST_F(CircuitBreakerReadyTest, AWaiterThatMakesNoCallDelaysTheOthersByASecond) {
    open();
    for (int i = 1; i <= 5; ++i) wait(i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    pass(1s - 1ns);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1ns);
    EXPECT_EQ(now_ready(), (Names{3, 4}));
}

TEST_F(CircuitBreakerReadyTest, AWaiterThatMakesNoCallDelaysTheOthersByAShorterTimeout) {
    breaker.emplace("quick", CircuitBreakerConfig{.failure_threshold = 1, .success_threshold = 1, .timeout = 50ms},
                    nullptr, time);
    open();
    wait(1);
    wait(2);
    pass(50ms);
    ASSERT_EQ(now_ready(), (Names{1}));

    pass(50ms - 1ns);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1ns);
    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(CircuitBreakerReadyTest, BeingReadyIsNoPermit) {
    open();
    wait(1);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1}));
    const auto first = breaker->try_acquire(), second = breaker->try_acquire(); // others were quicker

    EXPECT_FALSE(breaker->try_acquire());
}

TEST_F(CircuitBreakerReadyTest, AProbeThatHangsDoesNotHoldThemForEver) {
    open();
    wait(1);
    pass(10s);
    now_ready();
    const auto hanging = breaker->try_acquire(), other = breaker->try_acquire();
    wait(2);

    time.run_for(io, 30s);
    EXPECT_EQ(breaker->state(), CircuitState::open);
    EXPECT_EQ(now_ready(), (Names{}));
    time.run_for(io, 10s);

    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(CircuitBreakerReadyTest, ThatAProbeHangsIsToldWhenItIsNoticed) {
    open();
    pass(10s);
    const auto hanging = breaker->try_acquire(), other = breaker->try_acquire();
    wait(1);
    std::vector<CircuitState> told;
    breaker->on_state_change([&](const CircuitStateChanged& change) { told.push_back(change.to); });

    time.run_for(io, 30s);

    EXPECT_EQ(told, std::vector{CircuitState::open});
}

TEST_F(CircuitBreakerReadyTest, NobodyIsReadyWhoWaitsWhenACallbackEndsTheBreaker) {
    open();
    pass(10s);
    std::vector<Breaker::Permit> hanging;
    for (int probe = 0; probe < 2; ++probe) hanging.push_back(*breaker->try_acquire());
    wait(1);
    breaker->on_state_change([&](const CircuitStateChanged&) {
        hanging.clear();
        breaker.reset();
        time.advance(10s); // when others could call
    });

    pass(30s);

    EXPECT_FALSE(breaker);
    EXPECT_EQ(aborted, (Names{1}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitBreakerReadyTest, WaitsThroughForcedOpenUntilItIsTakenBack) {
    breaker->force_open();
    wait(1);
    time.run_for(io, 1000s);
    EXPECT_EQ(now_ready(), (Names{}));
    EXPECT_EQ(time.sleepers(), 0u) << "nothing that time could change";

    breaker->force_close();

    EXPECT_EQ(now_ready(), (Names{1}));
}

TEST_F(CircuitBreakerReadyTest, ACancelledWaiterTakesNoTurnAndLeavesNoSleep) {
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        breaker->reset();
        open();
        asio::cancellation_signal signal;
        breaker->async_ready(asio::bind_cancellation_slot(signal.slot(), waiter(1)));
        wait(2);

        signal.emit(kind);
        poll();
        EXPECT_EQ(std::exchange(aborted, {}), (Names{1}));
        EXPECT_EQ(time.sleepers(), 1u);

        pass(10s);
        EXPECT_EQ(now_ready(), (Names{2}));
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(CircuitBreakerReadyTest, TheLastWaiterThatIsCancelledStopsTheSleep) {
    open();
    asio::cancellation_signal signal;
    breaker->async_ready(asio::bind_cancellation_slot(signal.slot(), waiter(1)));
    ASSERT_EQ(time.sleepers(), 1u);

    signal.emit(asio::cancellation_type::terminal);
    io.run(); // returns: nothing keeps the context running

    EXPECT_EQ(aborted, (Names{1}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitBreakerReadyTest, WhoWaitsAfterAllOthersLeftHasASleepOfItsOwn) {
    open();
    asio::cancellation_signal signal;
    breaker->async_ready(asio::bind_cancellation_slot(signal.slot(), waiter(1)));
    signal.emit(asio::cancellation_type::terminal);
    poll();
    pass(5s);
    breaker->reset();
    open(); // until later than the sleep that was stopped
    wait(2);

    pass(10s);

    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(CircuitBreakerReadyTest, TheEndOfTheBreakerCompletesThemWithOperationAborted) {
    open();
    wait(1);
    wait(2);

    breaker.reset();
    io.run();

    EXPECT_EQ(aborted, (Names{1, 2}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitBreakerReadyTest, WaitersOfOtherContextsGoOnWhenOneContextEnds) {
    open();
    {
        asio::io_context short_lived;
        breaker->async_ready(
            asio::bind_executor(short_lived.get_executor(), [](boost::system::error_code) { FAIL(); }));
        wait(1);
        ASSERT_EQ(time.sleepers(), 2u) << "one alarm for each context";
    }
    poll();
    EXPECT_EQ(time.sleepers(), 1u);

    pass(10s);
    EXPECT_EQ(now_ready(), (Names{1}));
}

TEST_F(CircuitBreakerReadyTest, AContextThatStandsStillHoldsUpThoseBehindItForPatienceOrUntilACallOrAWaiterComes) {
    for (const bool calls : {true, false}) {
        breaker.emplace("orders", CircuitBreakerConfig{.failure_threshold = 1, .success_threshold = 3, .timeout = 10s},
                        nullptr, time);
        open();
        asio::io_context still;
        breaker->async_ready(asio::bind_executor(still.get_executor(), [](boost::system::error_code) {}));
        wait(1);
        pass(10s);
        EXPECT_EQ(now_ready(), (Names{}));

        std::optional<Result<Breaker::Permit>> permit;
        if (calls)
            permit.emplace(breaker->try_acquire());
        else
            wait(2);

        EXPECT_EQ(now_ready(), calls ? Names{1} : (Names{1, 2}));
    }
}

TEST_F(CircuitBreakerReadyTest, ABreakerOutlivesTheContextOfItsLastSleep) {
    open();
    {
        asio::io_context short_lived;
        bool called = false;
        breaker->async_ready(
            asio::bind_executor(short_lived.get_executor(), [&](boost::system::error_code) { called = true; }));
        time.advance(10s);
        short_lived.poll();
        EXPECT_TRUE(called);
    }
    wait(1);
    wait(2);
    EXPECT_EQ(now_ready(), (Names{1})) << "of two probes one is reserved for the first waiter";
}

} // namespace
} // namespace velostream
