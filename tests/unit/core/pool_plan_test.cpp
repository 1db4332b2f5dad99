// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pool_plan.hpp"

#include "unit/core/pool_plan_fixture.hpp"

namespace velostream {
namespace {

constexpr PoolRules few{.max_size = 2, .min_idle = 0, .connect_limit = 2, .max_waiters = 0};

TEST_F(PoolPlanTest, OpensWhatItKeepsReadyWhenItBegins) {
    make({.max_size = 10, .min_idle = 3, .connect_limit = 2});

    auto first = tick();
    ASSERT_EQ(count(first, Kind::open), 2u) << "as many at once as it may";
    const auto next = opened(first[0].slot);
    EXPECT_EQ(count(next, Kind::open), 1u);
    opened(first[1].slot);
    opened(next[0].slot);

    EXPECT_EQ(plan->figures().idle, 3u);
    EXPECT_TRUE(pass(10s).empty());
}

TEST_F(PoolPlanTest, LendsTheIdleOneThatWasUsedLast) {
    make(few);
    const auto slots = with_idle(2);

    EXPECT_EQ(plan->try_borrow(now), slots[1]);
    EXPECT_EQ(plan->try_borrow(now), slots[0]);
    EXPECT_FALSE(plan->try_borrow(now));
    EXPECT_EQ(plan->figures().active, 2u);
}

TEST_F(PoolPlanTest, WhatComesBackGoesToTheFirstWhoWaits) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    PoolTicket first = 0, second = 0;
    wait(&first);
    wait(&second);

    const auto actions = give_back(slot);

    ASSERT_EQ(actions.size(), 1u);
    EXPECT_EQ(actions[0], (PoolAction{.kind = Kind::hand, .slot = slot, .ticket = first}));
    EXPECT_FALSE(plan->try_borrow(now)) << "nobody overtakes the second";
}

// Whoever was handed it and was cancelled at that moment gives it back as it was.
TEST_F(PoolPlanTest, AHandOverThatMeetsACancellationGoesToTheNext) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    PoolTicket first = 0, second = 0, third = 0;
    wait(&first);
    wait(&second);
    wait(&third);
    leave(second);
    give_back(slot, Return::used);
    after([&](auto& actions) { plan->was_reset(slot, true, now, actions); });

    const auto actions = give_back(slot, Return::as_it_was);

    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::hand, .slot = slot, .ticket = third}}));
    EXPECT_EQ(plan->figures().waiting, 0u);
}

TEST_F(PoolPlanTest, ConnectsForThoseWhoWaitAndForNoMore) {
    make({.max_size = 10, .min_idle = 0, .connect_limit = 4});

    EXPECT_EQ(count(wait(), Kind::open), 1u);
    EXPECT_EQ(count(wait(), Kind::open), 1u);
    std::size_t opens = 0;
    for (int borrower = 0; borrower < 8; ++borrower) opens += count(wait(), Kind::open);

    EXPECT_EQ(opens, 2u) << "four at once";
    EXPECT_EQ(plan->figures().connecting, 4u);
}

// As in the spike of 50 requests on five idle connections: those serve them all before many are opened.
TEST_F(PoolPlanTest, WhoWaitsTakesWhicheverComesFirstAndTheNewOneIsIdle) {
    make({.max_size = 2, .min_idle = 0, .connect_limit = 2});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    PoolTicket ticket = 0;
    const auto opening = slot_of(wait(&ticket), Kind::open);

    EXPECT_EQ(count(give_back(slot), Kind::hand), 1u);
    EXPECT_TRUE(opened(opening).empty());

    EXPECT_EQ(plan->figures().idle, 1u);
    EXPECT_FALSE(plan->leave(ticket, now, *std::make_unique<PoolPlan::Actions>()));
}

TEST_F(PoolPlanTest, RefusesWhoComesWhereTooManyWait) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1, .max_waiters = 2});
    wait();
    PoolTicket second = 0, third = 0;
    wait(&second);

    const auto actions = wait(&third);
    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::refuse, .ticket = third, .refusal = PoolRefusal::too_many}}));

    leave(second);
    EXPECT_EQ(count(wait(), Kind::refuse), 0u);
}

TEST_F(PoolPlanTest, ABrokenOneIsClosedAndReplacedOnlyWhenItIsGone) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    wait();

    EXPECT_EQ(give_back(slot, Return::broken), (PoolPlan::Actions{{.kind = Kind::close, .slot = slot}}));
    EXPECT_EQ(plan->figures().total, 1u) << "it still exists";
    EXPECT_EQ(count(closed(slot), Kind::open), 1u);
}

TEST_F(PoolPlanTest, ADetachedOneLeavesItsPlaceToAnother) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    wait();

    EXPECT_EQ(count(give_back(slot, Return::detached), Kind::open), 1u);
    EXPECT_EQ(plan->figures().active, 0u);
}

TEST_F(PoolPlanTest, AUsedOneIsResetBeforeTheNext) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 1});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();
    wait();

    EXPECT_EQ(give_back(slot, Return::used), (PoolPlan::Actions{{.kind = Kind::reset, .slot = slot}}));
    const auto actions = after([&](auto& to) { plan->was_reset(slot, false, now, to); });
    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::close, .slot = slot, .closing = PoolClosing::reset_failed}}));
}

// It was handed over long ago, and is no likelier to work for that.
TEST_F(PoolPlanTest, OneThatNobodyUsedDoesNotComeBeforeOneThatWasUsedLater) {
    make(few);
    const auto slots = with_idle(2);
    plan->try_borrow(now);
    plan->try_borrow(now);
    now += 100ms;
    give_back(slots[0], Return::clean);
    give_back(slots[1], Return::as_it_was);

    EXPECT_EQ(plan->try_borrow(now), slots[0]);
}

// ---- checks

TEST_F(PoolPlanTest, OneThatLayIdleForLongIsCheckedFirst) {
    make(few);
    const auto slots = with_idle(1);
    now += 500ms;
    EXPECT_EQ(plan->try_borrow(now), slots[0]) << "exactly at the window";
    give_back(slots[0]);
    now += 500ms + 1ns;

    EXPECT_FALSE(plan->try_borrow(now));
    PoolTicket ticket = 0;
    EXPECT_EQ(wait(&ticket), (PoolPlan::Actions{{.kind = Kind::check, .slot = slots[0]}})) << "and no connect yet";
    EXPECT_EQ(checked(slots[0], true), (PoolPlan::Actions{{.kind = Kind::hand, .slot = slots[0], .ticket = ticket}}));
}

TEST_F(PoolPlanTest, WhereTheCheckFailsTheNextIdleOneIsTried) {
    make({.max_size = 3, .min_idle = 0, .connect_limit = 3});
    const auto slots = with_idle(3);
    now += 1s;
    wait();

    const auto actions = checked(slots[2], false);

    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::close, .slot = slots[2], .closing = PoolClosing::invalid},
                                          {.kind = Kind::check, .slot = slots[1]}}));
}

TEST_F(PoolPlanTest, AfterTwoFailedChecksAllIdleOnesAreCheckedAtOnce) {
    make({.max_size = 5, .min_idle = 0, .connect_limit = 5});
    const auto slots = with_idle(5);
    now += 1s;
    wait();
    checked(slots[4], false);

    const auto actions = checked(slots[3], false);

    EXPECT_EQ(count(actions, Kind::check), 3u);
    EXPECT_EQ(count(checked(slots[0], true), Kind::hand), 1u) << "he takes whichever comes first";
}

TEST_F(PoolPlanTest, OnlyChecksInARowCount) {
    make({.max_size = 5, .min_idle = 0, .connect_limit = 5});
    const auto slots = with_idle(5);
    now += 1s;
    wait();
    wait();
    checked(slots[4], false);
    checked(slots[3], true);

    EXPECT_EQ(count(checked(slots[2], false), Kind::check), 1u) << "one more, for the one who waits";
}

TEST_F(PoolPlanTest, ANewConnectionEndsWhatFailedChecksBegan) {
    make({.max_size = 3, .min_idle = 0, .connect_limit = 3});
    const auto slots = with_idle(2);
    now += 1s;
    wait();
    checked(slots[1], false);
    const auto opening = slot_of(checked(slots[0], false), Kind::open);
    ASSERT_NE(opening, 0u);
    const auto handed = slot_of(opened(opening), Kind::hand);
    ASSERT_NE(handed, 0u);
    give_back(handed);
    now += 1s;

    EXPECT_TRUE(tick().empty()) << "nobody waits, so nothing is checked";
}

TEST_F(PoolPlanTest, WhatWasCheckedOrUsedJustNowIsNotCheckedAgain) {
    make(few);
    const auto slot = with_idle(1)[0];
    now += 1s;
    PoolTicket ticket = 0;
    wait(&ticket);
    leave(ticket);
    checked(slot, true);
    EXPECT_EQ(plan->try_borrow(now), slot);

    now += 1s;
    give_back(slot);
    EXPECT_EQ(plan->try_borrow(now), slot);
}

// ---- the end

TEST_F(PoolPlanTest, AClosedOneRefusesEverybodyAndIsDrainedWhenAllAreBack) {
    make({.max_size = 3, .min_idle = 0, .connect_limit = 1});
    const auto slots = with_idle(2);
    plan->try_borrow(now);
    plan->try_borrow(now);
    give_back(slots[0]);
    PoolTicket late = 0;
    plan->try_borrow(now);
    PoolTicket ticket = 0;
    const auto opening = slot_of(wait(&ticket), Kind::open);
    ASSERT_NE(opening, 0u);

    const auto actions = after([&](auto& to) { plan->close(now, to); });
    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::refuse, .ticket = ticket, .refusal = PoolRefusal::closed},
                                          {.kind = Kind::give_up, .slot = opening}}));
    EXPECT_EQ(wait(&late)[0].refusal, PoolRefusal::closed);
    EXPECT_TRUE(open_failed(opening).empty());
    EXPECT_EQ(give_back(slots[0], Return::used)[0].closing, PoolClosing::shutdown);
    give_back(slots[1]);
    EXPECT_EQ(count(closed(slots[0]), Kind::drained), 0u);
    EXPECT_EQ(count(closed(slots[1]), Kind::drained), 1u);
    EXPECT_EQ(count(tick(), Kind::drained), 0u) << "once";
}

TEST_F(PoolPlanTest, ASmallerOneClosesIdleOnesAndThenWhatComesBack) {
    make({.max_size = 3, .min_idle = 0, .connect_limit = 3});
    const auto slots = with_idle(3);
    const auto lent = plan->try_borrow(now).value();
    const auto other = plan->try_borrow(now).value();

    const auto actions = after([&](auto& to) { plan->resize(1, now, to); });
    EXPECT_EQ(actions, (PoolPlan::Actions{{.kind = Kind::close, .slot = slots[0], .closing = PoolClosing::shrunk}}));
    EXPECT_EQ(give_back(lent)[0].closing, PoolClosing::shrunk);
    EXPECT_TRUE(give_back(other).empty()) << "the one that there may be";
}

TEST_F(PoolPlanTest, ALargerOneConnectsForThoseWhoWait) {
    make({.max_size = 1, .min_idle = 0, .connect_limit = 4});
    with_idle(1);
    plan->try_borrow(now);
    wait();
    wait();

    const auto actions = after([&](auto& to) { plan->resize(3, now, to); });

    EXPECT_EQ(count(actions, Kind::open), 2u);
}

TEST_F(PoolPlanTest, ANewcomerGetsNothingBesideAWaiterThoughHisClockIsBehind) {
    make({.max_size = 2});
    with_idle(2);
    now += 501ms;
    EXPECT_EQ(count(wait(), Kind::check), 1u); // and the other one lies idle
    EXPECT_FALSE(plan->try_borrow(now - 2ms));
}

TEST_F(PoolPlanTest, MakesRoomForOneAtATime) {
    make({.max_size = 3});
    with_idle(3);
    const auto yield = [&] { return after([&](auto& actions) { plan->yield_room(now, actions); }); };
    const auto yielded = yield();
    ASSERT_EQ(count(yielded, Kind::close), 1u);

    EXPECT_TRUE(yield().empty()) << "it is on its way";

    closed(slot_of(yielded, Kind::close));
    EXPECT_EQ(count(yield(), Kind::close), 1u);
}

} // namespace
} // namespace velostream
