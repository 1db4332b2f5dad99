// SPDX-License-Identifier: Apache-2.0
#include "kafka/event_signal.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "event_signal_fixture.hpp"
#include "support/in_threads.hpp"
#include "support/interrupted_executor.hpp"
#include "support/open_eventfds.hpp"
#include "velostream/async/serial_executor.hpp"

namespace velostream::kafka {
namespace {

using testing::inherited_eventfds;
using testing::open_eventfds;
using testing::watched_descriptors;

TEST_F(EventSignalTest, AnEventThatIsOlderThanTheConnectionWakes) {
    const auto handle = listening_handle();
    handle->on_wake = [] {};
    Client client;
    client.make_event();

    const EventSignal::Connection connection{*handle->signal, client.events};
    poll();

    EXPECT_EQ(handle->wakes, 1);
}

TEST_F(EventSignalTest, EveryFirstEventAfterAPollWakes) {
    const auto handle = listening_handle();

    for (int round = 1; round <= 3; ++round) {
        handle->client.make_event();
        poll();
        EXPECT_EQ(handle->client.reports, round);
        EXPECT_EQ(handle->wakes, round);
        poll();
        EXPECT_EQ(handle->wakes, round);
    }
}

TEST_F(EventSignalTest, WhatIsLeftInAQueueWakesAgain) {
    const auto handle = listening_handle();
    auto serve = std::exchange(handle->on_wake, [&] { handle->signal->listen(); });
    handle->client.make_event();
    poll_one();
    poll_one();
    EXPECT_EQ(handle->wakes, 1);

    handle->on_wake = std::move(serve);
    poll();

    EXPECT_EQ(handle->wakes, 2);
    EXPECT_EQ(handle->client.reports, 1);
}

TEST_F(EventSignalTest, EachOfItsQueuesWakesItUntilItIsDisconnected) {
    const auto handle = listening_handle();
    Client clients[3];
    std::optional<EventSignal::Connection> connections[3];
    for (int i = 0; i < 3; ++i) connections[i].emplace(*handle->signal, clients[i].events);
    handle->on_wake = [&] {
        for (auto& client : clients) client.poll();
        handle->signal->listen();
    };
    connections[1].reset();
    poll();
    handle->wakes = 0;

    clients[1].make_event();
    poll();
    EXPECT_EQ(handle->wakes, 0);
    clients[0].make_event();
    poll();
    EXPECT_EQ(handle->wakes, 1);
    clients[2].make_event();
    poll();
    EXPECT_EQ(handle->wakes, 2);
}

TEST_F(EventSignalTest, WhatIsInAQueueThatIsDisconnectedWakesNoLonger) {
    const auto handle = listening_handle();
    Client client;
    std::optional<EventSignal::Connection> connection{std::in_place, *handle->signal, client.events};
    poll();
    handle->signal->rest();
    client.make_event();
    handle->wakes = 0;

    connection.reset();
    handle->signal->listen();
    poll();

    EXPECT_EQ(handle->wakes, 0);
}

TEST_F(EventSignalTest, AConnectionMayOutliveItsSignal) {
    auto handle = listening_handle();
    handle->signal.reset();

    handle->client.make_event();
    poll();
    handle.reset();

    EXPECT_TRUE(io.stopped());
}

TEST_F(EventSignalTest, AConnectionMayOutliveItsSignalAndEndBesideTheNextOne) {
    const auto handle = listening_handle();
    handle->on_wake = [] {};
    handle->signal.reset();
    handle->open_signal(io.get_executor()); // where the other one was
    Client client;
    const EventSignal::Connection next{*handle->signal, client.events};

    handle->connection.reset();
    handle->signal->listen();
    client.make_event();
    poll();

    EXPECT_EQ(handle->wakes, 1);
}

TEST_F(EventSignalTest, WhatCameWhileItRestedWakesWhenItListens) {
    const auto handle = listening_handle();
    const auto another = listening_handle();
    handle->signal->rest();
    handle->client.make_event();
    another->client.make_event();
    poll();
    EXPECT_EQ(handle->wakes, 0);
    EXPECT_EQ(another->wakes, 1);

    handle->signal->listen();
    EXPECT_EQ(handle->wakes, 0);
    poll();

    EXPECT_EQ(handle->client.reports, 1);
}

TEST_F(EventSignalTest, AWakeThatIsOnItsWayComesOnce) {
    const auto handle = listening_handle();
    for (const bool rests : {false, true}) {
        handle->wakes = 0;
        handle->client.make_event();
        poll_one(); // which posts it

        if (rests) handle->signal->rest();
        handle->signal->listen();
        poll();

        EXPECT_EQ(handle->wakes, 1) << rests;
    }
}

TEST_F(EventSignalTest, OneThatListensOrRestsBesideOthersAddsNoWork) {
    const auto first = listening_handle(), second = listening_handle(), third = listening_handle();
    first->signal->rest();
    first->signal->listen();
    third->signal->rest();
    EXPECT_EQ(poll(), 0U);

    second->client.make_event();

    EXPECT_EQ(poll(), 2U); // the descriptor's readiness, and the wake
}

TEST_F(EventSignalTest, WhatLiesInTheQueueOfOneThatRestsMakesNoWork) {
    const auto resting = listening_handle(), another = listening_handle();
    resting->signal->rest();
    resting->client.make_event();
    EXPECT_EQ(poll(), 1U); // it was the first
    EXPECT_EQ(poll(), 0U);

    resting->client.make_event();

    EXPECT_EQ(poll(), 0U);
    EXPECT_EQ(another->wakes, 0);
}

TEST_F(EventSignalTest, OnlyThatOneIsWokenWhoseQueueHasSomething) {
    const auto first = listening_handle(), second = listening_handle(), third = listening_handle();

    second->client.make_event();
    poll();

    EXPECT_EQ(first->wakes, 0);
    EXPECT_EQ(second->wakes, 1);
    EXPECT_EQ(third->wakes, 0);
}

// Whichever of them was looked at before.
TEST_F(EventSignalTest, AnEventThatComesWhileAnotherIsBeingRungWakes) {
    InterruptedExecutor::Interruption interruption;
    const auto older = listening_handle();
    const auto rung = listening_handle(InterruptedExecutor{io.get_executor(), interruption});
    const auto newer = listening_handle();
    interruption = [&] {
        older->client.make_event();
        newer->client.make_event();
    };
    rung->client.make_event();

    poll();

    for (auto* const handle : {older.get(), rung.get(), newer.get()}) EXPECT_EQ(handle->client.reports, 1);
}

TEST_F(EventSignalTest, AContextRunsOnWhileOneListens) {
    const auto first = listening_handle(), second = listening_handle();
    first->signal->rest();
    poll();
    EXPECT_FALSE(io.stopped());

    second->signal->rest();
    poll();
    EXPECT_TRUE(io.stopped());

    first->signal->listen();
    poll();
    EXPECT_FALSE(io.stopped());
}

// Its wait is being cancelled then.
TEST_F(EventSignalTest, OneThatListensAgainAtOnceMissesNothing) {
    const auto handle = listening_handle();
    handle->signal->rest();
    handle->signal->listen();
    poll();

    handle->client.make_event();
    poll();

    EXPECT_EQ(handle->wakes, 1);
}

TEST_F(EventSignalTest, AnyNumberShareOneEventfdAndOneWatchedDescriptor) {
    const auto eventfds = open_eventfds();
    const auto watched = watched_descriptors();
    auto first = listening_handle();
    auto second = listening_handle();
    EXPECT_EQ(open_eventfds(), eventfds + 1);
    EXPECT_EQ(watched_descriptors(), watched + 1);

    first.reset();
    second->client.make_event();
    poll();
    EXPECT_EQ(second->wakes, 1);
    EXPECT_EQ(open_eventfds(), eventfds + 1);

    second.reset();
    EXPECT_EQ(open_eventfds(), eventfds);
    EXPECT_EQ(watched_descriptors(), watched);
}

TEST_F(EventSignalTest, ItsEventfdIsNoBusinessOfChildPrograms) {
    const auto inherited = inherited_eventfds();

    const auto handle = listening_handle();

    EXPECT_EQ(inherited_eventfds(), inherited);
}

TEST_F(EventSignalTest, EveryContextHasItsOwn) {
    asio::io_context other{1};
    listening_handle(other.get_executor());
    const auto here = listening_handle();
    const auto eventfds = open_eventfds();

    const auto there = listening_handle(other.get_executor());
    EXPECT_EQ(open_eventfds(), eventfds + 1);
    here->client.make_event();
    there->client.make_event();

    poll();
    EXPECT_EQ(here->wakes, 1);
    EXPECT_EQ(there->wakes, 0);
    poll(other);
    EXPECT_EQ(there->wakes, 1);
}

TEST_F(EventSignalTest, OneMayEndInTheWakeOfAnother) {
    auto first = listening_handle(), second = listening_handle();
    const auto third = listening_handle();
    first->on_wake = [&] { second.reset(); };
    second->on_wake = [&] { first.reset(); };
    for (auto* handle : {first.get(), second.get(), third.get()}) handle->client.make_event();

    poll();

    EXPECT_NE(first == nullptr, second == nullptr);
    EXPECT_EQ(third->wakes, 1);
}

TEST_F(EventSignalTest, OneMayEndInItsOwnWake) {
    auto handle = listening_handle();
    handle->on_wake = [&] { handle->signal.reset(); };
    handle->client.make_event();

    poll();

    EXPECT_FALSE(handle->signal);
    EXPECT_TRUE(io.stopped());
}

TEST_F(EventSignalTest, AContextMayEndWhileSomebodyListensOrIsAboutToBeWoken) {
    for (const bool rings : {false, true}) {
        const auto eventfds = open_eventfds();
        auto own = std::make_unique<asio::io_context>(1);
        auto first = listening_handle(own->get_executor()), second = listening_handle(own->get_executor());
        if (rings) {
            first->client.make_event();
            own->restart();
            own->run_one(); // which posts its wake
        }

        own.reset();
        second->client.make_event();
        EXPECT_EQ(first->wakes, 0) << rings;
        first.reset();
        second->signal->listen();
        second.reset();

        EXPECT_EQ(open_eventfds(), eventfds);
    }
}

TEST_F(EventSignalTest, WhoListensWhenItsContextHasEndedAsksItForNothing) {
    InterruptedExecutor::Interruption interruption;
    auto own = std::make_unique<asio::io_context>(1);
    const auto handle = listening_handle(InterruptedExecutor{own->get_executor(), interruption, false});
    handle->signal->rest();
    own.reset();
    handle->client.make_event();

    interruption = [] {};
    EXPECT_NO_THROW(handle->signal->listen());

    EXPECT_TRUE(interruption);
    EXPECT_EQ(handle->wakes, 0);
}

TEST_F(EventSignalTest, EachIsWokenOnItsOwnExecutor) {
    asio::io_context many;
    const asio::any_io_executor strand = asio::make_strand(many);
    Handle plain{many.get_executor()}, ordered{strand};
    bool is_on_strand = false;
    plain.on_wake = [] {};
    ordered.on_wake = [&] { is_on_strand = runs_here(strand); };
    for (auto* const handle : {&plain, &ordered}) {
        handle->signal->listen();
        handle->client.make_event();
    }

    many.run();

    EXPECT_EQ(plain.wakes, 1);
    EXPECT_TRUE(is_on_strand);
}

// Not even in the one that came first.
TEST_F(EventSignalTest, AStrandThatIsHeldUpHoldsUpNobodyElse) {
    asio::io_context many;
    auto strand = asio::make_strand(many);
    std::promise<void> is_served;
    Handle held_up{strand}, other{asio::make_strand(many)};
    bool has_come = false;
    held_up.on_wake = [&] {
        is_served.get_future().wait();
        has_come = true;
    };
    other.on_wake = [&] {
        other.client.poll();
        if (other.client.reports == 2) return is_served.set_value();
        other.signal->listen();
        other.client.make_event();
    };
    for (auto* const handle : {&held_up, &other}) {
        handle->signal->listen();
        handle->client.make_event();
    }

    testing::in_threads(2, [&](int) { many.run(); });

    EXPECT_TRUE(has_come);
}

TEST_F(EventSignalTest, AWakeThatFindsNoMemoryComesInTheNextTurnAndNobodyElseMissesOne) {
    InterruptedExecutor::Interruption interruption;
    const auto older = listening_handle();
    const auto poor = listening_handle(InterruptedExecutor{io.get_executor(), interruption, false});
    const auto newer = listening_handle();
    for (int round = 1; round <= 2; ++round) {
        interruption = [] {};
        for (auto* const handle : {older.get(), poor.get(), newer.get()}) handle->client.make_event();
        EXPECT_THROW(poll(), std::bad_alloc);

        poll();

        for (auto* const handle : {older.get(), poor.get(), newer.get()}) EXPECT_EQ(handle->client.reports, round);
    }
}

TEST_F(EventSignalTest, WhoFindsNoMemoryForItsWakeMayRestAndListenAgain) {
    InterruptedExecutor::Interruption interruption;
    const auto poor = listening_handle(InterruptedExecutor{io.get_executor(), interruption, false});
    interruption = [] {};
    poor->client.make_event();
    EXPECT_THROW(poll(), std::bad_alloc);
    poor->signal->rest();
    poll();
    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(poor->wakes, 0);

    interruption = [] {};
    EXPECT_THROW(poor->signal->listen(), std::bad_alloc);
    poll();
    EXPECT_EQ(poor->wakes, 0);
    poor->signal->listen();
    poll();

    EXPECT_EQ(poor->client.reports, 1);
}

} // namespace
} // namespace velostream::kafka
