// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/joint_reservation.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "velostream/core/memory_waiter.hpp"

namespace velostream {
namespace {

struct Waiter final : MemoryWaiter {
    using MemoryWaiter::MemoryWaiter;
    void on_end(Result<MemoryReservation> result) noexcept override { is_granted = result.has_value(); }
    bool is_granted = false;
};

class JointReservationTest : public ::testing::Test {
  protected:
    const MemoryAccount process{"process", 100};
    const MemoryAccount left = process.child("left", 60);
    const MemoryAccount right = process.child("right", 60);
};

TEST_F(JointReservationTest, TakesWhatIsWantedOfEachAndCountsItOnceAbove) {
    auto both = try_reserve_all({{left, 40}, {right, 60}});

    ASSERT_TRUE(both);
    ASSERT_EQ(both->size(), 2u);
    EXPECT_EQ((*both)[0].bytes(), 40u);
    EXPECT_EQ((*both)[1].bytes(), 60u);
    EXPECT_EQ(left.used(), 40u);
    EXPECT_EQ(right.used(), 60u);
    EXPECT_EQ(process.used(), 100u);

    (*both)[0].release();
    EXPECT_EQ(left.used(), 0u);
    EXPECT_EQ(process.used(), 60u);
}

TEST_F(JointReservationTest, TakesNothingWhereOneIsRefused) {
    const auto held = right.try_reserve(30);

    const auto refused = try_reserve_all({{left, 10}, {right, 31}});

    EXPECT_EQ(refused.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(refused.error().detail(), "account 'right' asked for 31 bytes: used 30 of 60; waiting could help");
    EXPECT_EQ(process.used(), 30u);
    EXPECT_EQ(left.peak(), 0u) << "not even for a moment";
    EXPECT_EQ(right.refusals(), 1u);
    EXPECT_TRUE(try_reserve_all({{left, 10}, {right, 30}}));
}

TEST_F(JointReservationTest, ARefusalNamesWhoAskedForSomethingAndOthersOnlyIfThereAreAny) {
    const auto held = process.try_reserve(50);

    EXPECT_EQ(try_reserve_all({{left, 0}, {right, 51}}).error().detail(),
              "account 'right' asked for 51 bytes, refused by 'process': used 50 of 100; largest: process itself 50; "
              "waiting could help");
    EXPECT_EQ(try_reserve_all({{right, 30}, {right, 21}, {left, 0}}).error().detail(),
              "account 'right' asked for 51 bytes, refused by 'process': used 50 of 100; largest: process itself 50; "
              "waiting could help");
    EXPECT_EQ(left.refusals(), 0u);
}

TEST_F(JointReservationTest, AddsUpWhatIsWantedOfALevelAboveThem) {
    EXPECT_TRUE(try_reserve_all({{left, 50}, {right, 50}}));

    const auto refused = try_reserve_all({{left, 50}, {right, 51}});

    EXPECT_EQ(refused.error().detail(),
              "account 'left' and others asked for 101 bytes, refused by 'process': used 0 of 100; can never succeed: "
              "more than the "
              "limit");
}

TEST_F(JointReservationTest, MayWantOfAnAccountTwiceAndOfOneAboveAnother) {
    const auto granted = try_reserve_all({{left, 20}, {process, 10}, {left, 30}});

    ASSERT_TRUE(granted);
    EXPECT_EQ(left.used(), 50u);
    EXPECT_EQ(process.used(), 60u);
    EXPECT_FALSE(try_reserve_all({{left, 5}, {left, 6}}));
    EXPECT_TRUE(try_reserve_all({{left, 5}, {left, 5}}));
}

TEST_F(JointReservationTest, FindsCreditThatIsCachedBelowEach) {
    const MemoryAccount roomy{"roomy", Bytes{64} << 20};
    const auto one = roomy.child("one", Bytes{32} << 20), other = roomy.child("other", Bytes{32} << 20);
    for (const auto& account : {one, other})
        for (int i = 0; i < 20; ++i) static_cast<void>(account.try_reserve(4096)); // ends at once, into the cache

    EXPECT_TRUE(try_reserve_all({{one, Bytes{32} << 20}, {other, Bytes{32} << 20}}));
}

TEST_F(JointReservationTest, GrantsNothingToWhoAsksForNothingEvenWhenFull) {
    const auto all = process.try_reserve(100);

    const auto nothing = try_reserve_all({{left, 0}, {right, 0}});

    ASSERT_TRUE(nothing);
    EXPECT_EQ((*nothing)[1].bytes(), 0u);
    EXPECT_FALSE(try_reserve_all({{left, 0}, {right, 1}}));
}

TEST_F(JointReservationTest, IsSafeForAnySizeOf64Bits) {
    const MemoryAccount unlimited{"unlimited"};
    const auto child = unlimited.child("child");
    constexpr Bytes huge = ~Bytes{0};

    EXPECT_FALSE(try_reserve_all({{unlimited, huge}, {child, huge}}));
    EXPECT_FALSE(try_reserve_all({{unlimited, huge / 2}, {child, huge / 2}}));
    EXPECT_FALSE(try_reserve_all({{child, huge / 2}, {child, huge / 2}, {child, huge / 2}})) << "more than 64 bits";
    EXPECT_EQ(unlimited.used(), 0u);
}

TEST_F(JointReservationTest, StandsInLineBehindThoseWhoWaitForAnyOfThem) {
    const auto held = right.try_reserve(60);
    const auto waiter = std::make_shared<Waiter>(right, 60);
    ASSERT_FALSE(waiter->try_now());
    MemoryWaiter::wait(waiter);

    const auto refused = try_reserve_all({{left, 1}, {right, 1}});

    EXPECT_NE(refused.error().detail().find("1 waiting"), std::string_view::npos) << refused.error();
    MemoryWaiter::leave(waiter);
}

TEST_F(JointReservationTest, WantsOneToEightAccountsOfOneTree) {
    EXPECT_THROW(static_cast<void>(try_reserve_all({})), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(try_reserve_all(std::vector<MemoryDemand>(9, {left, 1}))), std::invalid_argument);
    EXPECT_TRUE(try_reserve_all(std::vector<MemoryDemand>(8, {left, 1})));
    try {
        static_cast<void>(try_reserve_all({{left, 1}, {MemoryAccount{"stranger"}, 1}}));
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_STREQ(problem.what(), "a joint reservation: account 'stranger' is not of the tree of 'left'");
    }
}

struct Joint final : JointWaiter {
    using JointWaiter::JointWaiter;
    void on_end(Result<Reservations> result) noexcept override {
        ended = true;
        if (result) granted = std::move(*result);
    }
    bool ended = false;
    Reservations granted;
};

class JointWaitingTest : public ::testing::Test {
  protected:
    const MemoryAccount all{"all", 200};
    const MemoryAccount a = all.child("a", 60);
    const MemoryAccount b = all.child("b", 60);
    MemoryReservation held = a.try_reserve(60).value();

    static std::shared_ptr<Joint> wait_for(std::vector<MemoryDemand> demands) {
        auto waiter = std::make_shared<Joint>(JointDemand{std::move(demands)});
        EXPECT_FALSE(waiter->try_now());
        JointWaiter::wait(waiter);
        return waiter;
    }
    static std::shared_ptr<Waiter> wait_for(const MemoryAccount& account, Bytes bytes) {
        auto waiter = std::make_shared<Waiter>(account, bytes);
        EXPECT_FALSE(waiter->try_now());
        MemoryWaiter::wait(waiter);
        return waiter;
    }
    /// Takes each of these in turn, before it gives back the one before: how often it can, until it is refused.
    std::size_t take_by_turns(const std::vector<MemoryAccount>& accounts) {
        for (std::size_t turn = 0;; ++turn) {
            auto next = accounts[turn % accounts.size()].try_reserve(40);
            if (!next || turn == 1000) return turn;
            held = std::move(*next);
        }
    }
};

TEST_F(JointWaitingTest, IsNotOvertakenForEverWhereItsAccountsAreShortByTurns) {
    const auto waiter = wait_for({{a, 50}, {b, 50}});

    EXPECT_EQ(take_by_turns({b, a}), 2u) << "once for each of its accounts, and no less: what it left is others'";

    held.release();
    EXPECT_EQ(waiter->granted.size(), 2u);
    EXPECT_EQ(a.waiting() + b.waiting() + all.waiting(), 0u);
}

TEST_F(JointWaitingTest, IsNotOvertakenForEverAtThreeAccounts) {
    const auto c = all.child("c", 60);
    const auto waiter = wait_for({{a, 50}, {b, 50}, {c, 50}});

    EXPECT_EQ(take_by_turns({c, b, a}), 4u) << "twice until it keeps its places, twice until it has come to each";

    held.release();
    EXPECT_EQ(waiter->granted.size(), 3u);
}

TEST_F(JointWaitingTest, LeavesAllItsQueuesToThoseBehindIt) {
    const auto waiter = wait_for({{a, 50}, {b, 50}});
    take_by_turns({b, a});
    const auto at_a = wait_for(a, 20), at_b = wait_for(b, 20);
    ASSERT_EQ(a.waiting(), 2u);
    ASSERT_EQ(b.waiting(), 2u);

    JointWaiter::leave(waiter);

    EXPECT_TRUE(at_a->is_granted);
    EXPECT_TRUE(at_b->is_granted);
    EXPECT_FALSE(waiter->ended);
    EXPECT_EQ(a.waiting() + b.waiting(), 0u);
    EXPECT_TRUE(try_reserve_all({{a, 1}, {b, 1}}));
}

TEST_F(JointWaitingTest, GoesOnToThoseBehindItAtEachQueueWhenItIsGranted) {
    const auto waiter = wait_for({{a, 40}, {b, 40}});
    take_by_turns({b, a});
    const auto at_a = wait_for(a, 20), at_b = wait_for(b, 20);

    held.release();

    EXPECT_EQ(waiter->granted.size(), 2u);
    EXPECT_TRUE(at_a->is_granted);
    EXPECT_TRUE(at_b->is_granted);
}

TEST_F(JointWaitingTest, IsRefusedAtAllItsQueuesWhenALimitBecomesTooLow) {
    const auto waiter = wait_for({{a, 50}, {b, 50}});
    take_by_turns({b, a});
    const auto at_a = wait_for(a, 5), at_b = wait_for(b, 5);

    a.set_limit(49);

    EXPECT_TRUE(waiter->ended);
    EXPECT_TRUE(waiter->granted.empty());
    EXPECT_TRUE(at_a->is_granted);
    EXPECT_TRUE(at_b->is_granted);
}

TEST_F(JointWaitingTest, CountsAllItsPartsWhereItOvertakes) {
    all.set_overtaking({.most = 10, .most_bytes = 10});
    const auto rest = all.try_reserve(110);
    const auto large = wait_for(all, 100);
    const auto joint = wait_for({{a, 0}, {b, 5}, {all, 20}});

    EXPECT_FALSE(joint->ended) << "25 are more than may pass, though its first part is not";
    JointWaiter::leave(joint);
    MemoryWaiter::leave(large);
}

TEST_F(JointWaitingTest, CountsAsMuchAsItHasWhereItHasOvertaken) {
    all.set_overtaking({.most = 10, .most_bytes = 10});
    const auto rest = all.try_reserve(110);
    const auto large = wait_for(all, 100);

    const auto joint = wait_for({{b, 3}, {all, 4}});
    EXPECT_EQ(joint->granted.size(), 2u);
    const auto four = wait_for(all, 4), three = wait_for(all, 3);

    EXPECT_FALSE(four->is_granted) << "7 have passed, and 3 more may";
    EXPECT_TRUE(three->is_granted);
    MemoryWaiter::leave(four);
    MemoryWaiter::leave(large);
}

TEST_F(JointWaitingTest, ThatHasNotBeenRefusedYetHasNoReasonToTell) {
    JointWaiter::leave(wait_for({{a, 20}, {b, 20}})); // its memory is used again
    const Joint waiter{JointDemand{{{b, 20}, {a, 20}}}};

    EXPECT_FALSE(waiter.why_waiting());
}

TEST_F(JointWaitingTest, SaysWhereItWaitsNowAndNotWhereItBegan) {
    const auto waiter = wait_for({{a, 20}, {b, 20}});
    EXPECT_EQ(waiter->why_waiting()->detail(),
              "account 'a' asked for 20 bytes: used 60 of 60; 1 waiting; waiting could help");

    const auto full = b.try_reserve(50);
    held.release();

    EXPECT_EQ(waiter->why_waiting()->detail(),
              "account 'b' asked for 20 bytes: used 50 of 60; 1 waiting; waiting could help");
    JointWaiter::leave(waiter);
}

TEST_F(JointWaitingTest, ThatNamesAnAccountSeveralTimesStandsThereWithWhatItWants) {
    a.set_limit(70);
    auto rest = all.try_reserve(140);
    const auto waiter = wait_for({{a, 5}, {all, 5}, {all, 5}});
    ASSERT_EQ(all.waiting(), 1u);

    a.set_limit(60);
    rest->shrink(1); // now it is its own account that lacks room
    const auto lines = all.who_waits();

    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines.front().name, "a");
    EXPECT_EQ(lines.front().wanted, 5u);
    JointWaiter::leave(waiter);
}

class TransferTest : public JointReservationTest {};

TEST_F(TransferTest, MovesBytesWithoutAskingTheAccountsAboveBoth) {
    auto bytes = left.try_reserve(60).value();
    const auto rest = process.try_reserve(40);

    EXPECT_TRUE(bytes.try_transfer(right));

    EXPECT_EQ(bytes.bytes(), 60u);
    EXPECT_EQ(left.used(), 0u);
    EXPECT_EQ(right.used(), 60u);
    EXPECT_EQ(process.used(), 100u);
    EXPECT_EQ(process.peak(), 100u);
    bytes.release();
    EXPECT_EQ(right.used(), 0u);
    EXPECT_EQ(process.used(), 40u);
}

TEST_F(TransferTest, ThatIsRefusedChangesNothing) {
    auto bytes = left.try_reserve(50).value();
    const auto held = right.try_reserve(11);

    const auto refused = bytes.try_transfer(right);

    EXPECT_EQ(refused.error().detail(), "account 'right' asked for 50 bytes: used 11 of 60; waiting could help");
    EXPECT_EQ(left.used(), 50u);
    EXPECT_EQ(right.refusals(), 1u);
}

TEST_F(TransferTest, GoesUpDownAndNowhere) {
    auto bytes = left.try_reserve(50).value();

    EXPECT_TRUE(bytes.try_transfer(process));
    EXPECT_EQ(left.used(), 0u);
    EXPECT_EQ(process.used(), 50u);
    EXPECT_TRUE(bytes.try_transfer(right));
    EXPECT_EQ(right.used(), 50u);
    EXPECT_TRUE(bytes.try_transfer(right));
    EXPECT_EQ(process.used(), 50u);
    EXPECT_TRUE(bytes.try_transfer(right.child("below")));
    EXPECT_EQ(right.used(), 50u);
    bytes.release();
    EXPECT_EQ(process.used(), 0u);
}

TEST_F(TransferTest, ThatIsRefusedByAnotherTreeChangesNothing) {
    const MemoryAccount other{"other", 49};
    auto bytes = left.try_reserve(50).value();

    EXPECT_FALSE(bytes.try_transfer(other));

    EXPECT_EQ(bytes.bytes(), 50u);
    EXPECT_EQ(left.used(), 50u);
    EXPECT_EQ(other.refusals(), 1u);
}

TEST_F(TransferTest, GoesToAnotherTree) {
    const MemoryAccount other{"other", 50};
    auto bytes = left.try_reserve(50).value();

    EXPECT_TRUE(bytes.try_transfer(other));

    EXPECT_EQ(process.used(), 0u);
    EXPECT_EQ(other.used(), 50u);
    EXPECT_FALSE(left.try_reserve(1).value().try_transfer(other));
}

TEST_F(TransferTest, OfNothingMakesItAReservationOfTheOtherAccount) {
    auto none = left.try_reserve(0).value();

    EXPECT_TRUE(none.try_transfer(right));
    EXPECT_TRUE(none.try_grow(7));

    EXPECT_EQ(left.used(), 0u);
    EXPECT_EQ(right.used(), 7u);
}

TEST_F(TransferTest, OfNothingNeedsNoAccountThatItCameFrom) {
    MemoryReservation none;
    {
        const MemoryAccount passing{"passing"};
        none = passing.try_reserve(10).value();
        none.release();
    }
    MemoryReservation of_nobody;

    EXPECT_TRUE(none.try_transfer(right));
    EXPECT_TRUE(of_nobody.try_transfer(right));
    EXPECT_TRUE(none.try_grow(1) && of_nobody.try_grow(2));

    EXPECT_EQ(right.used(), 3u);
}

TEST_F(TransferTest, OutlivesTheAccountThatTheBytesCameFrom) {
    auto source = std::make_optional(process.child("source"));
    auto bytes = source->try_reserve(50).value();
    source.reset();

    EXPECT_TRUE(bytes.try_transfer(right));

    EXPECT_EQ(right.used(), 50u);
    EXPECT_EQ(process.used(), 50u);
}

TEST_F(TransferTest, MakesRoomForWhoWaitsWhereTheBytesWere) {
    auto bytes = left.try_reserve(50).value();
    const auto waiter = std::make_shared<Waiter>(left, 40);
    ASSERT_FALSE(waiter->try_now());
    MemoryWaiter::wait(waiter);

    EXPECT_TRUE(bytes.try_transfer(right));

    EXPECT_TRUE(waiter->is_granted);
}

} // namespace
} // namespace velostream
