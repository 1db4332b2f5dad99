// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_waiter.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "memory_waiter_fixture.hpp"

namespace velostream {
namespace {

TEST(MemoryWaiter, IsGrantedAtOnceWhereThereIsRoom) {
    const MemoryAccount account{"process", 100};

    const auto request = ask(account, 100);

    EXPECT_TRUE(request->is_granted());
    EXPECT_EQ(account.used(), 100u);
}

TEST(MemoryWaiter, IsGrantedWhenRoomComesBack) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(60);
    const auto request = ask(account, 50);
    ASSERT_TRUE(request->is_waiting());
    EXPECT_EQ(account.waiting(), 1u);

    held->release();

    EXPECT_TRUE(request->is_granted());
    EXPECT_EQ(account.used(), 50u);
    EXPECT_EQ(account.waiting(), 0u);
}

TEST(MemoryWaiter, GivesItsBytesBackOnce) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(100);
    const auto request = ask(account, 100);
    held->release();
    ASSERT_TRUE(request->is_granted());

    request->give_back();

    EXPECT_EQ(account.used(), 0u);
    EXPECT_TRUE(account.try_reserve(100));
}

TEST(MemoryWaiter, ComesInTheOrderOfArrival) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(100);
    std::vector<std::string> order;
    const auto first = ask(account, 30, &order, "first");
    const auto second = ask(account, 20, &order, "second");
    const auto third = ask(account, 50, &order, "third");

    held->shrink(40);
    EXPECT_EQ(order, (std::vector<std::string>{"first"}));
    held->release();

    EXPECT_EQ(order, (std::vector<std::string>{"first", "second", "third"}));
}

TEST(MemoryWaiter, IsNotOvertakenByASmallerOne) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(100);
    const auto large = ask(account, 80);
    const auto small = ask(account, 10);

    held->shrink(20);

    EXPECT_TRUE(large->is_waiting());
    EXPECT_TRUE(small->is_waiting());
    EXPECT_FALSE(account.try_reserve(1));
    held->release();
    EXPECT_TRUE(large->is_granted());
    EXPECT_TRUE(small->is_granted());
}

TEST(MemoryWaiter, TheRefusalOfACallThatMayNotOvertakeSaysWhoWaits) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(90);
    const auto waiting = ask(account, 50);

    const auto refused = account.try_reserve(10);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::memory_limit_exceeded);
    EXPECT_NE(refused.error().message().find("1 waiting"), std::string::npos) << refused.error().message();
    EXPECT_NE(refused.error().message().find("waiting could help"), std::string::npos);
    EXPECT_EQ(account.refusals(), 1u);
}

TEST(MemoryWaiter, ARequestAboveALimitFailsAtOnce) {
    const MemoryAccount process{"process", 100};
    const auto account = process.child("operator");

    const auto request = ask(account, 101);

    ASSERT_FALSE(request->is_waiting());
    EXPECT_EQ(request->error(), Errc::memory_limit_exceeded);
    EXPECT_NE(request->error().message().find("can never succeed"), std::string::npos);
}

TEST(MemoryWaiter, WhoLeavesIsNotGranted) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(100);
    const auto request = ask(account, 50);

    EXPECT_TRUE(MemoryWaiter::leave(request));
    EXPECT_FALSE(MemoryWaiter::leave(request));
    held->release();

    EXPECT_TRUE(request->is_waiting());
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(account.waiting(), 0u);
    EXPECT_EQ(request.use_count(), 1);
}

TEST(MemoryWaiter, WhoLeavesTheFrontMakesWayForThoseBehind) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(60);
    const auto large = ask(account, 80);
    const auto small = ask(account, 10);
    ASSERT_TRUE(small->is_waiting());

    EXPECT_TRUE(MemoryWaiter::leave(large));

    EXPECT_TRUE(small->is_granted());
    EXPECT_FALSE(MemoryWaiter::leave(small));
}

TEST(MemoryWaiter, MayBeOvertakenAsOftenAsIsAllowed) {
    const MemoryAccount account{"process", 100};
    account.set_overtaking({.most = 2, .most_bytes = 100});
    auto held = account.try_reserve(90);
    std::vector<std::string> order;
    const auto large = ask(account, 80, &order, "large");
    const auto first = ask(account, 3, &order, "first");
    const auto second = ask(account, 3, &order, "second");
    const auto third = ask(account, 3, &order, "third");

    EXPECT_EQ(order, (std::vector<std::string>{"first", "second"}));
    EXPECT_FALSE(account.try_reserve(1)) << "a call that does not wait overtakes nobody";
    first->give_back();
    EXPECT_TRUE(third->is_waiting());
    held->release();

    EXPECT_EQ(order, (std::vector<std::string>{"first", "second", "large", "third"}));
}

TEST(MemoryWaiter, MayBeOvertakenByNoMoreBytesThanAreAllowed) {
    const MemoryAccount account{"process", 100};
    account.set_overtaking({.most = 10, .most_bytes = 5});
    auto held = account.try_reserve(90);
    const auto large = ask(account, 80);
    const auto six = ask(account, 6);
    const auto three = ask(account, 3);
    const auto two = ask(account, 2);
    const auto one = ask(account, 1);

    EXPECT_TRUE(six->is_waiting());
    EXPECT_TRUE(three->is_granted());
    EXPECT_TRUE(two->is_granted());
    EXPECT_TRUE(one->is_waiting());
}

TEST(MemoryWaiter, MayBeOvertakenNoMoreWhereLessIsAllowedThanAlreadyHas) {
    const MemoryAccount account{"process", 100};
    account.set_overtaking({.most = 10, .most_bytes = 10});
    const auto held = account.try_reserve(80);
    const auto large = ask(account, 80);
    ASSERT_TRUE(ask(account, 8)->is_granted());

    account.set_overtaking({.most = 10, .most_bytes = 5});

    EXPECT_TRUE(ask(account, 1)->is_waiting());
}

TEST(MemoryWaiter, TheNextOneInFrontMayBeOvertakenAnew) {
    const MemoryAccount account{"process", 100};
    account.set_overtaking({.most = 1, .most_bytes = 100});
    auto held = account.try_reserve(90);
    const auto large = ask(account, 80);
    const auto small = ask(account, 5);
    ASSERT_TRUE(small->is_granted());
    const auto also_large = ask(account, 70);
    const auto also_small = ask(account, 5);
    ASSERT_TRUE(also_small->is_waiting());

    EXPECT_TRUE(MemoryWaiter::leave(large));

    EXPECT_TRUE(also_large->is_waiting());
    EXPECT_TRUE(also_small->is_granted());
}

TEST(MemoryWaiter, OvertakingCanBeSwitchedOnWhileSomeWait) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(90);
    const auto large = ask(account, 80);
    const auto small = ask(account, 5);
    ASSERT_TRUE(small->is_waiting());

    account.set_overtaking({.most = 1, .most_bytes = 5});

    EXPECT_TRUE(small->is_granted());
}

TEST(MemoryWaiter, OneThatWaitsForItsQueryHoldsUpNoOtherQuery) {
    const MemoryAccount process{"process", 1000};
    const auto query = process.child("query", 100);
    const auto other = process.child("other");
    auto held = query.try_reserve(100);
    const auto request = ask(query, 50);
    ASSERT_TRUE(request->is_waiting());
    EXPECT_EQ(query.waiting(), 1u);
    EXPECT_EQ(process.waiting(), 0u);

    EXPECT_TRUE(other.try_reserve(800));
}

TEST(MemoryWaiter, GoesToTheNextLevelThatStandsInItsWay) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50);
    const auto other = process.child("other");
    auto in_query = query.try_reserve(50);
    auto in_other = other.try_reserve(50);
    const auto request = ask(query, 40);
    auto late = in_other->split(0);
    in_query->release(); // the query has room now, and so has the process
    ASSERT_TRUE(request->is_granted());
    request->give_back();

    auto again = query.try_reserve(50);
    const auto second = ask(query, 40);
    EXPECT_EQ(query.waiting(), 1u);
    {
        const auto barrier = ask(other, 60); // behind in the process: more than is left
        ASSERT_TRUE(barrier->is_waiting());
        again->shrink(45);
        EXPECT_TRUE(second->is_granted());
        EXPECT_TRUE(barrier->is_waiting());
        EXPECT_TRUE(MemoryWaiter::leave(barrier));
    }
    EXPECT_EQ(process.waiting(), 0u);
}

TEST(MemoryWaiter, KeepsItsTurnWhenItGoesToAnotherLevel) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50);
    const auto other = process.child("other");
    auto in_query = query.try_reserve(50);
    auto in_other = other.try_reserve(50);
    std::vector<std::string> order;
    const auto first = ask(query, 50, &order, "first");   // for the query
    const auto second = ask(other, 20, &order, "second"); // for the process
    ASSERT_EQ(query.waiting(), 1u);
    ASSERT_EQ(process.waiting(), 1u);

    in_query->shrink(10); // `second` could not take these 10

    EXPECT_TRUE(order.empty());
    in_query->release();
    EXPECT_EQ(order, (std::vector<std::string>{"first"}));
    in_other->release();
    EXPECT_EQ(order, (std::vector<std::string>{"first", "second"}));
}

TEST(MemoryWaiter, IsGrantedWhenTheLimitIsRaised) {
    const MemoryAccount account{"process", 100};
    const auto held = account.try_reserve(100);
    const auto request = ask(account, 50);

    account.set_limit(150);

    EXPECT_TRUE(request->is_granted());
}

TEST(MemoryWaiter, IsRefusedWhenTheLimitFallsBelowWhatItWants) {
    const MemoryAccount account{"process", 100};
    const auto held = account.try_reserve(100);
    const auto request = ask(account, 50);

    account.set_limit(40);

    ASSERT_FALSE(request->is_waiting());
    EXPECT_EQ(request->error(), Errc::memory_limit_exceeded);
    EXPECT_NE(request->error().message().find("can never succeed"), std::string::npos);
}

TEST(MemoryWaiter, IsRefusedWhereverItStandsWhenALimitAboveFallsBelowWhatItWants) {
    const MemoryAccount process{"process", 1000};
    const auto query = process.child("query", 100), other = process.child("other", 100);
    const auto in_query = query.try_reserve(100), in_other = other.try_reserve(100);
    const auto first = ask(query, 10), too_large = ask(query, 60), last = ask(query, 20);
    const auto alone = ask(other, 60);

    process.set_limit(59);

    EXPECT_FALSE(too_large->is_waiting());
    EXPECT_FALSE(alone->is_waiting());
    EXPECT_EQ(
        too_large->error().detail(),
        "account 'query' asked for 60 bytes, refused by 'process': used 200 of 59; largest: query 100, other 100; "
        "can never succeed: more than the limit");
    EXPECT_TRUE(first->is_waiting());
    EXPECT_TRUE(last->is_waiting());
    EXPECT_EQ(query.waiting(), 2u);
    EXPECT_EQ(other.waiting(), 0u);
}

TEST(MemoryWaiter, IsGrantedWhenOneInFrontOfItIsRefusedByALowerLimit) {
    const MemoryAccount process{"process", 1000};
    const auto query = process.child("query", 100);
    const auto held = query.try_reserve(50);
    const auto first = ask(query, 60), second = ask(query, 40);

    process.set_limit(59);
    EXPECT_TRUE(second->is_waiting()) << "the process has no room";
    process.set_limit(90);
    EXPECT_TRUE(second->is_granted());
    EXPECT_FALSE(first->is_granted());
}

TEST(MemoryWaiter, KeepsItsAccountInPlace) {
    auto process = std::make_unique<MemoryAccount>("process", 100);
    auto held = process->try_reserve(100);
    const auto request = ask(process->child("operator"), 50);
    process.reset();

    held->release();

    EXPECT_TRUE(request->is_granted());
    EXPECT_EQ(request->account().used(), 50u);
}

TEST(MemoryWaiter, WhatOthersParkedIsFoundForIt) {
    const MemoryAccount process{"process", 10 * mebibyte};
    const auto busy = process.child("busy");
    for (int i = 0; i < 64; ++i) EXPECT_TRUE(busy.try_reserve(mebibyte / 16)); // leaves credit behind
    auto held = process.try_reserve(mebibyte);

    const auto request = ask(process.child("operator"), 9 * mebibyte);

    EXPECT_TRUE(request->is_granted());
}

TEST(MemoryWaiter, NothingIsParkedWhileItWaits) {
    const MemoryAccount process{"process", 10 * mebibyte};
    const auto busy = process.child("busy");
    auto held = process.try_reserve(4 * mebibyte);
    std::vector<MemoryReservation> small;
    for (int i = 0; i < 16; ++i) small.push_back(*busy.try_reserve(mebibyte / 16));

    const auto request = ask(process.child("operator"), 10 * mebibyte);
    ASSERT_TRUE(request->is_waiting());
    small.clear();
    ASSERT_TRUE(request->is_waiting());
    held->release();

    EXPECT_TRUE(request->is_granted());
}

TEST(MemoryWaiter, AHundredThousandComeToTheirTurn) {
    constexpr Bytes count = 100'000;
    const MemoryAccount process{"process", count};
    const auto account = process.child("operator");
    auto held = account.try_reserve(count);
    std::vector<std::shared_ptr<Request>> requests;
    requests.reserve(count);
    for (Bytes index = 0; index < count; ++index) requests.push_back(ask(account, 1));
    EXPECT_EQ(process.waiting(), count);

    held->shrink(count / 2);
    EXPECT_TRUE(requests[count / 2 - 1]->is_granted());
    EXPECT_TRUE(requests[count / 2]->is_waiting());
    for (Bytes index = count / 2; index < count; index += 2) EXPECT_TRUE(MemoryWaiter::leave(requests[index]));
    held->release();

    EXPECT_TRUE(requests[count - 1]->is_granted());
    EXPECT_EQ(process.waiting(), 0u);
    EXPECT_EQ(process.used(), count * 3 / 4);
}

TEST(MemoryWaiter, AListenerIsToldWhenTheFirstBeginsToWaitAndWhenTheLastHasEnded) {
    struct Listener final : WaitingListener {
        void on_waiting_changed() noexcept override { ++calls; }
        int calls = 0;
    };
    const auto listener = std::make_shared<Listener>();
    const MemoryAccount process{"process", 100, listener};
    const auto child = process.child("child", 50);
    auto held = child.try_reserve(50);
    EXPECT_FALSE(process.anyone_waits());

    const auto first = ask(child, 10), second = ask(child, 20);
    EXPECT_EQ(listener->calls, 1);
    EXPECT_TRUE(process.anyone_waits() && child.anyone_waits());
    MemoryWaiter::leave(first);
    EXPECT_EQ(listener->calls, 1);
    held->release();

    EXPECT_TRUE(second->is_granted());
    EXPECT_EQ(listener->calls, 2);
    EXPECT_FALSE(process.anyone_waits());
}

TEST(MemoryWaiter, SaysWhereItWaitsNowAndNotWhereItBegan) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50), other = process.child("other");
    auto held = *query.try_reserve(50), rest = *other.try_reserve(50);
    const auto request = ask(query, 10);
    EXPECT_EQ(request->why_waiting().detail(),
              "account 'query' asked for 10 bytes: used 50 of 50; 1 waiting; waiting could help");

    ASSERT_TRUE(held.try_transfer(other));

    EXPECT_EQ(request->why_waiting().detail(),
              "account 'query' asked for 10 bytes, refused by 'process': used 100 of 100; largest: other 100; "
              "1 waiting; waiting could help");
    MemoryWaiter::leave(request);
}

TEST(MemoryWaiter, TheAccountsWhereSomebodyWaitsAreKnown) {
    const MemoryAccount process{"process", 100};
    const auto full = process.child("full", 50), roomy = process.child("roomy", 50);
    auto held = full.try_reserve(50);
    const auto first = ask(full, 10), second = ask(full, 50);

    const auto before = process.who_waits();
    held->shrink(5);
    const auto after = roomy.who_waits(); // of the tree, whichever account is asked

    ASSERT_TRUE(before.size() == 1 && after.size() == 1);
    EXPECT_EQ(before.front().name, "full");
    EXPECT_EQ(before.front().waiting, 2u);
    EXPECT_EQ(before.front().used, 50u);
    EXPECT_EQ(before.front().limit, 50u);
    EXPECT_EQ(after.front().id, before.front().id);
    EXPECT_EQ(after.front().returned - before.front().returned, 5u);
    MemoryWaiter::leave(first);
    MemoryWaiter::leave(second);
    EXPECT_TRUE(process.who_waits().empty());
}

} // namespace
} // namespace velostream
