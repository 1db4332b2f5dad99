// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve_all.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using Outcome = Result<std::vector<MemoryReservation>>;

// Two accounts of one tree, and two trees, of which `first` is the one that is asked first.
class AsyncReserveAllTest : public ::testing::Test {
  protected:
    AsyncReserveAllTest() {
        if (JointDemand::tree_of(second) < JointDemand::tree_of(first)) std::swap(first, second);
    }
    auto into(std::optional<Outcome>& place) {
        return asio::bind_executor(*io, [&place](Outcome result) { place.emplace(std::move(result)); });
    }
    void run() {
        io->restart();
        io->poll();
    }
    void advance(Duration by) {
        time.advance(by);
        run();
    }

    std::optional<asio::io_context> io{std::in_place};
    testing::ManualTime time;
    const MemoryAccount process{"process", 100};
    const MemoryAccount left = process.child("left", 60), right = process.child("right", 60);
    MemoryAccount first{"one", 10}, second{"other", 10};
    std::optional<Outcome> outcome;
};

TEST_F(AsyncReserveAllTest, CompletesThroughTheExecutorInTheOrderOfTheDemands) {
    async_reserve_all({{second, 2}, {left, 30}, {first, 1}, {right, 40}}, into(outcome));
    EXPECT_FALSE(outcome);

    run();

    ASSERT_TRUE(outcome && *outcome);
    std::vector<Bytes> bytes;
    for (const auto& reservation : **outcome) bytes.push_back(reservation.bytes());
    EXPECT_EQ(bytes, (std::vector<Bytes>{2, 30, 1, 40}));
    EXPECT_EQ(second.used(), 2u);
    EXPECT_EQ(left.used(), 30u);
    EXPECT_EQ(first.used(), 1u);
    outcome.reset();
    EXPECT_EQ(process.used() + first.used() + second.used(), 0u);
}

// Is told when what is granted passes a mark, in the middle of the call that grants it.
struct MarkListener final : WaitingListener {
    void on_waiting_changed() noexcept override {}
    void on_mark_passed() noexcept override {
        if (const auto call = std::exchange(on_mark, nullptr)) call();
    }
    std::function<void()> on_mark;
};

// What another thread would do between the grant and the moment when it is told: the deadline passes there.
TEST_F(AsyncReserveAllTest, ADeadlineWhileTheFirstTreeIsGrantedEndsIt) {
    const auto listener = std::make_shared<MarkListener>();
    MemoryAccount one{"one", 10, listener}, other{"other", 10, listener};
    if (JointDemand::tree_of(other) < JointDemand::tree_of(one)) std::swap(one, other);
    one.set_marks(0, 1);
    auto held = one.try_reserve(10);
    const auto rest = other.try_reserve(10);
    async_reserve_all({{one, 1}, {other, 1}}, time.now() + 1s, time, into(outcome));
    listener->on_mark = [&] { advance(1s); };

    held->release();
    run();

    ASSERT_TRUE(outcome && !*outcome);
    EXPECT_EQ(outcome->error(), Errc::deadline_exceeded);
    EXPECT_EQ(one.used(), 0u);
    EXPECT_FALSE(one.anyone_waits() || other.anyone_waits());
}

// What another thread would do in the middle of the move from one tree to the next: the deadline passes there.
TEST_F(AsyncReserveAllTest, ADeadlineWhileTheNextTreeIsAskedEndsIt) {
    const auto listener = std::make_shared<MarkListener>();
    MemoryAccount one{"one", 10, listener}, other{"other", 10, listener};
    if (JointDemand::tree_of(other) < JointDemand::tree_of(one)) std::swap(one, other);
    other.set_marks(0, 1);
    auto held = one.try_reserve(10);
    async_reserve_all({{one, 1}, {other, 1}}, time.now() + 1s, time, into(outcome));
    listener->on_mark = [&] { advance(1s); };

    held->release();
    run();

    ASSERT_TRUE(outcome && !*outcome);
    EXPECT_EQ(outcome->error(), Errc::deadline_exceeded);
    EXPECT_EQ(one.used() + other.used(), 0u);
    EXPECT_FALSE(one.anyone_waits() || other.anyone_waits());
}

TEST_F(AsyncReserveAllTest, HoldsNothingOfATreeWhileItWaitsThere) {
    auto held = right.try_reserve(60);
    async_reserve_all({{left, 10}, {right, 10}}, into(outcome));
    run();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(left.used(), 0u);
    EXPECT_TRUE(left.try_reserve(40)) << "who does not want of the full one is not held up";

    held->release();
    EXPECT_FALSE(outcome) << "never inside a release";
    EXPECT_EQ(process.used(), 20u) << "its own from the release on";
    run();

    ASSERT_TRUE(outcome && *outcome);
}

TEST_F(AsyncReserveAllTest, HoldsWhatEarlierTreesHaveGranted) {
    auto held = second.try_reserve(10);
    async_reserve_all({{second, 10}, {first, 10}}, into(outcome));
    run();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(first.used(), 10u);

    held->release();
    run();

    ASSERT_TRUE(outcome && *outcome);
    EXPECT_EQ(second.used(), 10u);
}

TEST_F(AsyncReserveAllTest, WaitsForOneTreeAfterTheOther) {
    auto held_first = first.try_reserve(10);
    auto held_second = second.try_reserve(10);
    async_reserve_all({{first, 5}, {second, 5}}, into(outcome));
    held_first->release();
    run();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(first.used(), 5u);

    held_second->release();
    run();

    ASSERT_TRUE(outcome && *outcome);
}

TEST_F(AsyncReserveAllTest, TwoWhoNameTheTreesInOppositeOrdersDoNotWaitForEachOther) {
    auto held = second.try_reserve(10);
    std::optional<Outcome> other;
    async_reserve_all({{first, 10}, {second, 10}}, into(outcome));
    async_reserve_all({{second, 10}, {first, 10}}, into(other));

    held->release();
    run();
    ASSERT_TRUE(outcome && *outcome);
    ASSERT_FALSE(other);
    outcome.reset();
    run();

    ASSERT_TRUE(other && *other);
}

TEST_F(AsyncReserveAllTest, GivesEverythingBackAtItsDeadlineAndSaysWhy) {
    const auto held = second.try_reserve(10);
    async_reserve_all({{first, 5}, {second, 5}}, time.now() + 1s, time, into(outcome));
    advance(999ms);
    ASSERT_FALSE(outcome);

    advance(1ms);

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->error(), Errc::deadline_exceeded);
    ASSERT_TRUE(outcome->error().inner());
    EXPECT_NE(outcome->error().inner()->message().find("'" + std::string{second.name()} + "' asked for 5"),
              std::string::npos)
        << outcome->error().inner()->message();
    EXPECT_EQ(first.used(), 0u);
    EXPECT_EQ(second.waiting(), 0u);
}

TEST_F(AsyncReserveAllTest, GivesEverythingBackWhenItIsCancelled) {
    const auto held = second.try_reserve(10);
    for (const auto kind :
         {asio::cancellation_type::total, asio::cancellation_type::partial, asio::cancellation_type::terminal}) {
        asio::cancellation_signal signal;
        outcome.reset();
        async_reserve_all({{first, 5}, {second, 5}}, asio::bind_cancellation_slot(signal.slot(), into(outcome)));
        run();
        ASSERT_EQ(first.used(), 5u);

        signal.emit(kind);
        EXPECT_FALSE(outcome) << "never inside of the emission";
        EXPECT_EQ(first.used(), 0u);
        run();

        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), Errc::cancelled);
        EXPECT_EQ(second.waiting(), 0u);
    }
}

TEST_F(AsyncReserveAllTest, GivesEverythingBackWhereOneIsRefusedForGood) {
    async_reserve_all({{first, 5}, {second, 11}}, into(outcome));
    run();

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(first.used(), 0u);
}

TEST_F(AsyncReserveAllTest, IsToldThatALowerLimitLeavesNoHope) {
    const auto held = second.try_reserve(10);
    async_reserve_all({{first, 5}, {second, 5}}, into(outcome));
    run();

    second.set_limit(4);
    EXPECT_EQ(first.used(), 0u) << "given back before anybody is told";
    run();

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->error(), Errc::memory_limit_exceeded);
}

TEST_F(AsyncReserveAllTest, ItsContextTakesItWithIt) {
    auto held = second.try_reserve(10);
    bool was_called = false;
    async_reserve_all({{first, 5}, {second, 5}}, asio::bind_executor(*io, [&](const Outcome&) { was_called = true; }));
    ASSERT_EQ(first.used(), 5u);

    io.reset();

    EXPECT_EQ(first.used(), 0u);
    EXPECT_EQ(second.waiting(), 0u);
    held->release();
    EXPECT_EQ(second.used(), 0u);
    EXPECT_FALSE(was_called);
}

TEST_F(AsyncReserveAllTest, WhatIsOnItsWayToAHandlerThatIsDestroyedComesBack) {
    async_reserve_all({{first, 5}, {left, 5}}, into(outcome));
    ASSERT_EQ(first.used(), 5u);

    io.reset();

    EXPECT_EQ(first.used(), 0u);
    EXPECT_EQ(process.used(), 0u);
}

TEST_F(AsyncReserveAllTest, IsAwaitedByACoroutine) {
    auto held = first.try_reserve(10);
    auto waits = [&]() -> asio::awaitable<Bytes> {
        auto reserving = async_reserve_all({{first, 3}, {left, 4}}, asio::use_awaitable);
        const auto all = co_await std::move(reserving);
        co_return (*all)[0].bytes() + (*all)[1].bytes();
    };
    const auto waiting = testing::start(*io, waits());
    ASSERT_FALSE(waiting.ended());

    held->release();
    run();

    EXPECT_EQ(waiting.value(), 7u);
    EXPECT_EQ(first.used(), 0u) << "the coroutine has ended, and its reservations with it";
}

TEST_F(AsyncReserveAllTest, ACoroutineIsToldWhereItCallsWhatIsWrong) {
    auto calls = [&]() -> asio::awaitable<bool> {
        try {
            auto reserving = async_reserve_all({}, asio::use_awaitable);
            co_await std::move(reserving);
        } catch (const std::invalid_argument&) {
            co_return true;
        }
        co_return false;
    };
    const auto calling = testing::start(*io, calls());

    ASSERT_TRUE(calling.ended());
    EXPECT_TRUE(calling.value());
}

TEST_F(AsyncReserveAllTest, WantsOneToEightAccountsOfEachTree) {
    EXPECT_THROW(async_reserve_all({}, into(outcome)), std::invalid_argument);
    EXPECT_THROW(async_reserve_all(std::vector<MemoryDemand>(9, {left, 1}), into(outcome)), std::invalid_argument);

    std::vector<MemoryDemand> demands(8, {left, 1});
    demands.push_back({first, 1});
    async_reserve_all(demands, into(outcome));
    run();

    EXPECT_TRUE(outcome && *outcome);
}

} // namespace
} // namespace velostream
