// SPDX-License-Identifier: Apache-2.0
// `KeyedCircuitBreakers::async_ready`: waiting until a call for a key would be admitted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/ready_waiters.hpp"
#include "support/run_coroutine.hpp"
#include "support/sleepless_time.hpp"
#include "support/ticking_time.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::keyed_circuit_breakers_ready_test {
namespace {

using namespace std::chrono_literals;

const Error network = Errc::connect_failed;

class KeyedBreakersReadyTest : public testing::ReadyWaiters {
  protected:
    using Breakers = KeyedCircuitBreakers<std::string, testing::ManualTime>;

    void open(const std::string& key) {
        while (breakers->state(key) == CircuitState::closed) breakers->try_acquire(key)->failure(network);
    }
    void wait(const std::string& key, int name) { breakers->async_ready(key, waiter(name)); }
    // What entries are kept in stays when they go.
    Bytes used_without_entries() {
        open("a");
        breakers->reset("a");
        return account.used();
    }
    std::size_t keys() const { return breakers->get_stats().keys; }

    MemoryAccount account{"breakers"};
    std::optional<Breakers> breakers{
        std::in_place,
        "shops",
        KeyedCircuitBreakersConfig{
            .breaker = {.failure_threshold = 2, .success_threshold = 2, .timeout = 10s, .max_half_open_duration = 30s},
            .max_keys = 64},
        nullptr,
        time,
        CallClassifier{},
        account};
};

TEST_F(KeyedBreakersReadyTest, IsReadyAtOnceWhileCallsAreAdmitted) {
    const auto before = account.used();
    wait("unknown", 1);
    EXPECT_TRUE(ready.empty()) << "completed inside the call";
    EXPECT_EQ(now_ready(), (Names{1}));
    EXPECT_EQ(account.used(), before);

    breakers->try_acquire("failing")->failure(network);
    const auto with_entry = account.used();
    wait("failing", 2);
    EXPECT_EQ(now_ready(), (Names{2}));
    EXPECT_EQ(account.used(), with_entry) << "a closed circuit needs nothing to wait in";
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(KeyedBreakersReadyTest, AWaitThatBeginsAfterTheBreakersHaveEndedIsAborted) {
    open("a");
    auto begins_later = breakers->async_ready("a", asio::deferred);
    breakers.reset();

    std::move(begins_later)(waiter(1));
    poll();

    EXPECT_EQ(aborted, Names{1});
}

TEST_F(KeyedBreakersReadyTest, FindsRecoveryWithoutTrafficAndWithoutPolling) {
    open("a");
    wait("a", 1);
    EXPECT_EQ(time.sleepers(), 1u);
    EXPECT_EQ(time.next_wake(), time.now() + 10s);

    pass(10s - 1ns);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1ns);
    EXPECT_EQ(now_ready(), (Names{1}));
    EXPECT_EQ(breakers->state("a"), CircuitState::half_open);
    EXPECT_TRUE(breakers->try_acquire("a"));
}

TEST_F(KeyedBreakersReadyTest, MissesNoTimeoutThatPassesWhileItBeginsToWait) {
    for (int looks = 1; looks <= 20; ++looks) {
        KeyedCircuitBreakers<int, testing::TickingTime> ticking{
            "ticking",
            {.breaker = {.failure_threshold = 1, .timeout = 1ms}, .max_keys = 1},
            nullptr,
            testing::TickingTime{time}};
        ticking.try_acquire(7)->failure(network);
        time.advance_to(*ticking.get_stats(7).next_probe_at - Duration{looks});

        ticking.async_ready(7, waiter(looks));
        time.run_for(io, 10us);

        EXPECT_EQ(std::exchange(ready, {}), (Names{looks}));
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(KeyedBreakersReadyTest, EveryKeyHasALineOfItsOwn) {
    open("a");
    pass(5s);
    open("b");
    for (int i = 1; i <= 4; ++i) wait(i % 2 == 1 ? "a" : "b", i);
    wait("c", 5);

    EXPECT_EQ(now_ready(), (Names{5}));
    pass(5s);
    EXPECT_EQ(now_ready(), (Names{1, 3}));
    pass(5s);
    EXPECT_EQ(now_ready(), (Names{2, 4}));
}

TEST_F(KeyedBreakersReadyTest, InvitesOneWaiterForEachProbeInTheOrderOfArrival) {
    open("a");
    for (int i = 1; i <= 5; ++i) wait("a", i);
    EXPECT_EQ(time.sleepers(), 1u);

    pass(10s);
    EXPECT_EQ(now_ready(), (Names{1, 2}));

    breakers->try_acquire("a")->ignore(); // gives its permit back
    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(KeyedBreakersReadyTest, WhoComesWhenTheWaitIsOverComesAfterThoseWhoWait) {
    breakers->reconfigure({.failure_threshold = 1, .success_threshold = 1, .timeout = 10s});
    open("a");
    wait("a", 1);
    time.advance(10s); // nobody has been told yet

    wait("a", 2);

    EXPECT_EQ(now_ready(), (Names{1}));
    breakers->try_acquire("a")->success();
    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(KeyedBreakersReadyTest, InvitesEverybodyWhenTheCircuitClosesAndTheEntryGoes) {
    const auto before = used_without_entries();
    open("a");
    for (int i = 1; i <= 4; ++i) wait("a", i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    breakers->try_acquire("a")->success();
    EXPECT_EQ(now_ready(), (Names{}));
    breakers->try_acquire("a")->success();

    EXPECT_EQ(keys(), 1u) << "somebody still waits for it";
    EXPECT_EQ(now_ready(), (Names{3, 4}));
    EXPECT_EQ(keys(), 0u);
    EXPECT_EQ(account.used(), before);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(KeyedBreakersReadyTest, WaitsForTheNextTimeoutWhenAProbeFails) {
    open("a");
    for (int i = 1; i <= 3; ++i) wait("a", i);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    breakers->try_acquire("a")->failure(network);
    pass(9s);
    EXPECT_EQ(now_ready(), (Names{}));
    pass(1s);

    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(KeyedBreakersReadyTest, DoesNotInviteANewcomerBeforeThoseWhoWereInvited) {
    open("a");
    wait("a", 1);
    wait("a", 2);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));

    wait("a", 3); // the two invited have not called yet, and nobody waits beside it
    EXPECT_EQ(now_ready(), (Names{}));

    breakers->try_acquire("a")->success();
    breakers->try_acquire("a")->success();
    EXPECT_EQ(now_ready(), (Names{3}));
}

TEST_F(KeyedBreakersReadyTest, WhoWasInvitedBeforeTheCircuitOpenedAgainDelaysNobody) {
    open("a");
    wait("a", 1);
    wait("a", 2);
    pass(10s);
    ASSERT_EQ(now_ready(), (Names{1, 2}));
    breakers->try_acquire("a")->failure(network); // the other one makes no call
    pass(10s);

    wait("a", 3);
    wait("a", 4);

    EXPECT_EQ(now_ready(), (Names{3, 4}));
}

TEST_F(KeyedBreakersReadyTest, AWaiterThatMakesNoCallDelaysTheOthersByASecondOrAShorterTimeout) {
    for (const Duration timeout : {Duration{10s}, Duration{50ms}}) {
        breakers->reset("a");
        breakers->reconfigure({.failure_threshold = 2, .success_threshold = 2, .timeout = timeout});
        open("a");
        for (int i = 1; i <= 5; ++i) wait("a", i);
        pass(timeout);
        ASSERT_EQ(now_ready(), (Names{1, 2}));

        const auto patience = std::min<Duration>(timeout, 1s);
        pass(patience - 1ns);
        EXPECT_EQ(now_ready(), (Names{}));
        pass(1ns);
        EXPECT_EQ(now_ready(), (Names{3, 4}));
        pass(patience);
        EXPECT_EQ(now_ready(), (Names{5}));
    }
}

TEST_F(KeyedBreakersReadyTest, AProbeThatHangsDoesNotHoldThemForEver) {
    open("a");
    wait("a", 1);
    pass(10s);
    now_ready();
    const auto hanging = breakers->try_acquire("a"), other = breakers->try_acquire("a");
    int opened = 0;
    breakers->on_state_change([&](const CircuitStateChanged& change) { opened += change.to == CircuitState::open; });
    wait("a", 2);

    time.run_for(io, 30s);
    EXPECT_EQ(opened, 1) << "told by the alarm, without any call";
    EXPECT_EQ(now_ready(), (Names{}));
    time.run_for(io, 10s);

    EXPECT_EQ(now_ready(), (Names{2}));
}

TEST_F(KeyedBreakersReadyTest, NobodyIsReadyWhoWaitsWhenACallbackEndsTheBreakers) {
    open("a");
    pass(10s);
    std::vector<Breakers::Permit> hanging;
    for (int probe = 0; probe < 2; ++probe) hanging.push_back(*breakers->try_acquire("a"));
    wait("a", 1);
    breakers->on_state_change([&](const CircuitStateChanged&) {
        hanging.clear();
        breakers.reset();
        time.advance(10s); // when others could call
    });

    pass(30s);

    EXPECT_FALSE(breakers);
    EXPECT_EQ(aborted, (Names{1}));
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(KeyedBreakersReadyTest, AClosedCircuitNeedsNoRoomForWhoWouldWait) {
    breakers->try_acquire("a")->failure(network);
    account.set_limit(account.used());

    wait("a", 1);

    EXPECT_EQ(now_ready(), (Names{1}));
}

TEST_F(KeyedBreakersReadyTest, ResetMakesEverybodyReadyAndTheEntryGoes) {
    const auto before = used_without_entries();
    open("a");
    for (int i = 1; i <= 3; ++i) wait("a", i);

    breakers->reset("a");

    EXPECT_EQ(now_ready(), (Names{1, 2, 3}));
    EXPECT_EQ(keys(), 0u);
    EXPECT_EQ(account.used(), before);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(KeyedBreakersReadyTest, WhoWaitsWhenTheCircuitOpensAgainBeforeHeIsToldGoesOnWaiting) {
    breakers->on_state_change([&](const CircuitStateChanged& change) {
        if (change.to == CircuitState::closed) open("a"); // told before those who wait
    });
    open("a");
    wait("a", 1);

    breakers->reset("a");
    EXPECT_EQ(now_ready(), (Names{}));
    EXPECT_EQ(breakers->state("a"), CircuitState::open);

    pass(10s);
    EXPECT_EQ(now_ready(), (Names{1}));
}

TEST_F(KeyedBreakersReadyTest, AnEntryThatSomebodyWaitsForMakesNoPlaceForAnother) {
    const std::string one = "one";
    Breakers few{"few", {.breaker = {.failure_threshold = 1, .timeout = 10s}, .max_keys = 1}, nullptr, time};
    few.try_acquire(one)->failure(network);
    bool told = false;
    few.async_ready(one, asio::bind_executor(io.get_executor(), [&](boost::system::error_code) { told = true; }));
    few.reset(one); // closed and pristine; whoever waited is on his way

    few.try_acquire("other")->failure(network);
    EXPECT_EQ(few.get_stats().untracked, 1u);
    poll();
    ASSERT_TRUE(told);
    few.try_acquire("other")->failure(network);

    EXPECT_EQ(few.get_stats().untracked, 1u);
    EXPECT_EQ(few.state("other"), CircuitState::open);
}

TEST_F(KeyedBreakersReadyTest, TheBreakerOfAKeyWaitsInTheSameLine) {
    open("a");
    auto breaker = breakers->of("a");
    wait("a", 1);
    breaker.async_ready(waiter(2));
    wait("a", 3);

    pass(10s);

    EXPECT_EQ(now_ready(), (Names{1, 2}));
}

TEST_F(KeyedBreakersReadyTest, TheEndOfTheBreakersCompletesThemWithOperationAborted) {
    open("a");
    open("b");
    wait("a", 1);
    wait("b", 2);
    wait("a", 3);

    breakers.reset();
    io.run();

    EXPECT_THAT(aborted, ::testing::UnorderedElementsAre(1, 2, 3));
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(KeyedBreakersReadyTest, WaitersOfOtherContextsGoOnWhenOneContextEnds) {
    open("a");
    {
        asio::io_context short_lived;
        breakers->async_ready(
            "a", asio::bind_executor(short_lived.get_executor(), [](boost::system::error_code) { FAIL(); }));
        wait("a", 1);
        ASSERT_EQ(time.sleepers(), 2u) << "one alarm for each context";
    }
    poll();
    EXPECT_EQ(time.sleepers(), 1u);

    pass(10s);
    EXPECT_EQ(now_ready(), (Names{1}));
}

TEST_F(KeyedBreakersReadyTest, AnAccountWithoutRoomForAFirstWaiterRefusesHimAndNobodyElse) {
    open("a");
    open("b");
    const auto without_waiters = account.used();
    wait("a", 1);
    EXPECT_LE(account.used(), without_waiters + 600);
    wait("a", 3);
    account.set_limit(account.used());

    wait("b", 2);

    EXPECT_TRUE(refused.empty()) << "inside of the call";
    poll();
    EXPECT_EQ(refused, (Names{2}));
    EXPECT_EQ(time.sleepers(), 1u);
    pass(10s);
    EXPECT_EQ(now_ready(), (Names{1, 3}));
}

TEST_F(KeyedBreakersReadyTest, AWaitThatFindsNoMemoryForItsAlarmLeavesNobodyWaiting) {
    testing::SleeplessTime sleepless;
    KeyedCircuitBreakers<int, testing::SleeplessTime> poor{
        "poor", {.breaker = {.failure_threshold = 1, .timeout = 10s}, .max_keys = 1}, nullptr, sleepless};
    poor.try_acquire(7)->failure(network);
    sleepless.set_has_no_memory(true);

    EXPECT_THROW(poor.async_ready(7, waiter(1)), std::bad_alloc);
    sleepless.set_has_no_memory(false);
    poor.async_ready(7, waiter(2));
    sleepless.advance(10s);

    EXPECT_EQ(now_ready(), (Names{2}));
    EXPECT_TRUE(aborted.empty());
    poor.reset(7);
    EXPECT_EQ(poor.get_stats().keys, 0u) << "somebody holds the entry";
}

TEST_F(KeyedBreakersReadyTest, AHeldRecordIsSentAsSoonAsTheServiceIsBack) {
    open("a");
    auto send = [&]() -> asio::awaitable<Result<int>> {
        for (;;) {
            co_await breakers->async_ready("a", asio::use_awaitable);
            auto operation = []() -> asio::awaitable<Result<int>> { co_return 7; };
            auto sent = co_await breakers->execute("a", operation);
            if (sent || sent.error() != Errc::circuit_open) co_return sent;
        }
    };
    const auto began = time.now();

    EXPECT_EQ(testing::run(io, time, send()).value(), 7);

    EXPECT_EQ(time.now(), began + 10s);
}

} // namespace
} // namespace velostream::keyed_circuit_breakers_ready_test
