// SPDX-License-Identifier: Apache-2.0
// Where who waits stands, and whom he holds up.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "memory_waiter_fixture.hpp"
#include "velostream/core/joint_reservation.hpp"

namespace velostream {
namespace {

TEST(MemoryWaiterLines, IsNotOvertakenForEverByTransfers) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 60), other = process.child("other");
    auto moving = query.try_reserve(60).value(), rest = other.try_reserve(40).value();
    const auto request = ask(query, 50);

    ASSERT_TRUE(moving.try_transfer(other)) << "now the process is in its way";
    EXPECT_EQ(process.waiting(), 1u);
    EXPECT_FALSE(moving.try_transfer(query)) << "what it waits for there is not given to who came later";
    EXPECT_EQ(query.waiting(), 1u);

    moving.release();
    EXPECT_TRUE(request->is_granted());
}

TEST(MemoryWaiterLines, ThatWaitsForItsQueryAgainHoldsUpNobodyElse) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 60), other = process.child("other");
    auto in_query = query.try_reserve(60).value(), rest = other.try_reserve(40).value();
    const auto early = ask(process, 1); // at the process
    const auto request = ask(query, 50);
    const auto behind = ask(other, 10);
    ASSERT_TRUE(in_query.try_transfer(other)); // request goes up, behind the early one
    ASSERT_EQ(process.waiting(), 3u);

    query.set_limit(50);
    const auto taken = query.try_reserve(0); // nothing
    in_query.shrink(20);                     // the early one, and not the request: 19 are left
    EXPECT_TRUE(early->is_granted());
    query.set_limit(60);

    EXPECT_TRUE(request->is_waiting());
    EXPECT_TRUE(behind->is_waiting()) << "it came later, and waits for the process as well";
    in_query.release();
    EXPECT_TRUE(request->is_granted());
    EXPECT_FALSE(behind->is_granted());
    rest.release();
    EXPECT_TRUE(behind->is_granted());
}

TEST(MemoryWaiterLines, ThatIsShortOfItsQueryLeavesTheProcessToOthers) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 60), other = process.child("other");
    auto all = other.try_reserve(100).value();
    const auto request = ask(query, 50); // waits for the process
    const auto behind = ask(other, 10);
    query.set_limit(40); // and now it can never be: so that it does not, a little more
    ASSERT_FALSE(request->is_waiting());
    const auto next = ask(query, 40);
    ASSERT_EQ(process.waiting(), 2u);

    all.shrink(10);
    EXPECT_TRUE(behind->is_granted());
    const auto earlier = process.waiting();
    EXPECT_EQ(earlier, 1u);
    all.release();
    EXPECT_TRUE(next->is_granted());
}

TEST(MemoryWaiterLines, WhoAsksForNothingIsGrantedItWhereSomebodyWaitsOrTheLimitFell) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 60), other = process.child("other");
    const auto held = query.try_reserve(60);
    const auto request = ask(query, 10);

    EXPECT_TRUE(query.try_reserve(0));
    EXPECT_TRUE(try_reserve_all({{query, 0}, {query, 0}}));
    EXPECT_TRUE(try_reserve_all({{other, 5}, {query, 0}})) << "nothing of the one, and the other has room";
    query.set_limit(30);
    auto nothing = query.try_reserve(0);
    ASSERT_TRUE(nothing);
    EXPECT_TRUE(nothing->try_grow(0));
    EXPECT_TRUE(request->is_waiting());
    EXPECT_EQ(query.refusals(), 0u);
    EXPECT_TRUE(MemoryWaiter::leave(request));
}

TEST(MemoryWaiterLines, SaysWhoWasInItsWayWhenItIsGivenUp) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50), other = process.child("other");
    auto in_query = query.try_reserve(50).value();
    const auto in_other = other.try_reserve(50).value();
    const auto request = ask(query, 40);
    process.set_limit(60);
    in_query.release(); // from here on the process is in its way
    ASSERT_TRUE(request->is_waiting());

    ASSERT_TRUE(MemoryWaiter::leave(request));

    EXPECT_EQ(
        request->why_waiting().detail(),
        "account 'query' asked for 40 bytes, refused by 'process': used 50 of 60; largest: other 50; waiting could "
        "help");
}

TEST(MemoryWaiterLines, ThatHasLeftIsNoReasonToRefuseAnybody) {
    // Whoever drains is in the middle of it: nobody takes the place of who leaves out of the queue meanwhile.
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50), other = process.child("other", 50);
    auto in_query = query.try_reserve(50).value(), in_other = other.try_reserve(50).value();
    const auto leaves = ask(query, 10);
    bool is_refused = true;
    std::size_t waiting = 1;
    struct Drains final : MemoryWaiter {
        using MemoryWaiter::MemoryWaiter;
        std::function<void()> then;
        void on_end(Result<MemoryReservation> result) noexcept override {
            granted = std::move(*result);
            then();
        }
        MemoryReservation granted;
    };
    const auto drains = std::make_shared<Drains>(other, 50);
    drains->then = [&] {
        MemoryWaiter::leave(leaves);
        waiting = query.waiting();
        in_query.release();
        is_refused = !query.try_reserve(50);
    };
    ASSERT_FALSE(drains->try_now());
    MemoryWaiter::wait(drains);

    in_other.release();

    EXPECT_EQ(waiting, 0u);
    EXPECT_FALSE(is_refused);
}

TEST(MemoryWaiterLines, OfTheSeventiethAccountIsRefusedByALowerLimitToo) {
    const MemoryAccount process{"process", 1000};
    std::vector<MemoryAccount> accounts;
    for (int i = 0; i < 70; ++i) accounts.push_back(process.child("account"));
    const auto last = process.child("last", 50);
    const auto held = last.try_reserve(50);
    const auto request = ask(last, 40);

    process.set_limit(39);

    EXPECT_FALSE(request->is_waiting());
    EXPECT_EQ(process.who_waits().size(), 0u);
}

TEST(MemoryWaiterLines, OneThatStandsAtTwoLevelsIsOvertakenOnceByEach) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 60), other = process.child("other");
    auto moving = *query.try_reserve(60), rest = *other.try_reserve(40);
    const auto first = ask(query, 50);
    ASSERT_TRUE(moving.try_transfer(other)); // it stands at the process as well now
    for (const auto& account : {process, query}) account.set_overtaking({.most = 2, .most_bytes = 100});
    rest.shrink(10);

    const auto one = ask(query, 2), two = ask(query, 2), three = ask(query, 2);

    EXPECT_TRUE(one->is_granted());
    EXPECT_TRUE(two->is_granted());
    EXPECT_TRUE(three->is_waiting());
}

TEST(MemoryWaiterLines, WhoIsServedInHisTurnHasOvertakenNobody) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 30), other = process.child("other");
    auto in_query = *query.try_reserve(30), rest = *other.try_reserve(70);
    const auto earlier = ask(query, 10), later = ask(other, 20);
    process.set_overtaking({.most = 1, .most_bytes = 100});
    in_query.shrink(10);
    rest.shrink(5);
    ASSERT_TRUE(earlier->is_granted());
    ASSERT_TRUE(later->is_waiting());

    EXPECT_TRUE(ask(other, 5)->is_granted()) << "the first who overtakes";
}

TEST(MemoryWaiterLines, WhoComesAfterOneThatWasOvertakenMayBeOvertakenAsOften) {
    for (const Overtaking allowed :
         {Overtaking{.most = 1, .most_bytes = 100}, Overtaking{.most = 9, .most_bytes = 5}}) {
        const MemoryAccount account{"process", 100};
        account.set_overtaking(allowed);
        const auto held = account.try_reserve(90);
        for (int round = 0; round < 3; ++round) { // the memory of who has gone is used again
            auto large = ask(account, 80), small = ask(account, 5);
            EXPECT_TRUE(small->is_granted()) << "round " << round;
            small.reset();
            EXPECT_TRUE(MemoryWaiter::leave(large));
        }
    }
}

// The level above is what it lacks at first; nothing moves at its own afterwards.
TEST(MemoryWaiterLines, WhoMayOvertakeIsGrantedWhenThereIsRoomAbove) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50);
    auto in_query = *query.try_reserve(40), rest = *process.try_reserve(60);
    query.set_overtaking({.most = 1, .most_bytes = 100});
    const auto large = ask(query, 30), small = ask(query, 5);
    ASSERT_TRUE(small->is_waiting());

    rest.shrink(60);

    EXPECT_TRUE(small->is_granted());
    EXPECT_TRUE(large->is_waiting());
}

TEST(MemoryWaiterLines, OvertakersHeedThoseWhoWaitAbove) {
    const MemoryAccount process{"process", 100};
    const auto query = process.child("query", 50);
    query.set_overtaking({.most = 10, .most_bytes = 100});
    auto in_query = query.try_reserve(20).value();
    const auto in_process = process.try_reserve(70);
    const auto at_process = ask(process, 20);
    const auto large = ask(query, 40);
    const auto small = ask(query, 5);

    EXPECT_TRUE(small->is_waiting()) << "10 are left, but somebody came before to the process";
    ASSERT_TRUE(MemoryWaiter::leave(at_process));
    EXPECT_TRUE(small->is_granted());
    EXPECT_TRUE(large->is_waiting());
}

// Gives back at once what many others wait for, each for its own account.
class Generous final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;
    std::vector<MemoryReservation> held_;

  private:
    void on_end(Result<MemoryReservation>) noexcept override { held_.clear(); }
};

TEST(MemoryWaiterLines, OneThatGivesBackAtManyAccountsWhenItIsGrantedWakesAllWhoWaitThere) {
    const MemoryAccount process{"process"};
    const auto first = process.child("first", 10);
    auto all = first.try_reserve(10).value();
    const auto generous = std::make_shared<Generous>(first, 10);
    std::vector<std::shared_ptr<Request>> requests;
    for (int count = 0; count < 100; ++count) {
        const auto query = process.child("query", 10);
        generous->held_.push_back(query.try_reserve(10).value());
        requests.push_back(ask(query, 10));
        ASSERT_TRUE(requests.back()->is_waiting());
    }
    ASSERT_FALSE(generous->try_now());
    MemoryWaiter::wait(generous);

    all.release();

    for (const auto& request : requests) ASSERT_TRUE(request->is_granted());
    EXPECT_FALSE(process.anyone_waits());
}

} // namespace
} // namespace velostream
