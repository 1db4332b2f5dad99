// SPDX-License-Identifier: Apache-2.0
// What the listener of a tree of accounts is told beside who waits, and the figures that he asks for then.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "velostream/core/joint_reservation.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream::memory_listener_test {
namespace {

struct Listener final : WaitingListener {
    void on_waiting_changed() noexcept override {}
    void on_first_changed() noexcept override {
        ++firsts;
        if (on_first) on_first();
    }
    void on_mark_passed() noexcept override {
        ++marks;
        if (on_mark) on_mark();
    }
    void on_refused(const MemoryAccount& account, std::uint64_t units) noexcept override {
        refused.push_back(std::string{account.name()} + " " + std::to_string(units));
    }
    void on_limit_changed() noexcept override { ++limits; }
    int firsts = 0, marks = 0, limits = 0;
    std::vector<std::string> refused;
    std::function<void()> on_mark, on_first;
};

class Request final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;

  private:
    void on_end(Result<MemoryReservation>) noexcept override {} // gives back at once
};

class KeptRequest final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;
    MemoryReservation granted;

  private:
    void on_end(Result<MemoryReservation> result) noexcept override { granted = std::move(*result); }
};

template <class Waiter = Request>
std::shared_ptr<Waiter> ask(const MemoryAccount& account, Bytes bytes) {
    auto request = std::make_shared<Waiter>(account, bytes);
    EXPECT_FALSE(request->try_now());
    MemoryWaiter::wait(request);
    return request;
}

class MemoryListenerTest : public ::testing::Test {
  protected:
    std::shared_ptr<Listener> listener = std::make_shared<Listener>();
    MemoryAccount process{"process", 1000, listener};
    MemoryAccount query = process.child("query", 600);
};

TEST_F(MemoryListenerTest, IsToldWhenWhatIsGrantedReachesTheHighMark) {
    process.set_marks(0, 500);
    const auto below = query.try_reserve(499);
    EXPECT_EQ(listener->marks, 0);

    const auto at_it = query.try_reserve(1);

    EXPECT_EQ(listener->marks, 1);
}

TEST_F(MemoryListenerTest, IsToldWhenWhatIsGrantedFallsBelowTheLowMark) {
    auto held = query.try_reserve(500);
    process.set_marks(400, 1001);

    held->shrink(100);
    EXPECT_EQ(listener->marks, 0);
    held->shrink(1);

    EXPECT_EQ(listener->marks, 1);
}

TEST_F(MemoryListenerTest, IsToldOfMarksByWhatAWaitIsGranted) {
    auto held = query.try_reserve(600);
    const auto request = ask(query, 600);
    process.set_marks(0, 600);
    listener->marks = 0;

    held->release();

    EXPECT_GE(listener->marks, 1);
}

TEST_F(MemoryListenerTest, IsToldOfMarksByManySmallTakesThoughMostAreFromCreditAtHand) {
    const MemoryAccount large{"large", 100 * mebibyte, listener};
    large.set_marks(0, 80 * mebibyte);
    MemoryReservation held = *large.try_reserve(0);
    for (Bytes bytes = 0; bytes < 80 * mebibyte; bytes += 1024) EXPECT_TRUE(held.try_grow(1024));

    EXPECT_GE(listener->marks, 1);
}

// Here it leaves in the middle of being granted: another thread would be as quick.
TEST_F(MemoryListenerTest, WhoLeavesWhenItWasGrantedKeepsWhatItWasGranted) {
    auto held = query.try_reserve(600);
    const auto leaving = ask<KeptRequest>(query, 600);
    process.set_marks(100, 600);
    bool has_left = true;
    Bytes granted = 0;
    listener->on_mark = [&] {
        if (process.used_at_most() != 600) return;
        has_left = MemoryWaiter::leave(leaving);
        granted = leaving->granted.bytes();
    };

    held->release();

    EXPECT_FALSE(has_left);
    EXPECT_EQ(granted, 600u) << "he is told before his leaving is refused";
    EXPECT_EQ(process.used(), 600u);
}

// What another thread would do between somebody's giving back and his looking who waits for it.
TEST_F(MemoryListenerTest, NobodyIsRefusedForOneWhoCouldHaveBeenGranted) {
    const auto other = process.child("other", 100);
    for (const bool together : {false, true}) {
        auto held = *other.try_reserve(100);
        const auto waiter = ask<KeptRequest>(other, 50);
        process.set_marks(1, ~Bytes{0});
        bool is_granted = false, has_looked = false;
        listener->on_mark = [&] {
            if (std::exchange(has_looked, true)) return;
            is_granted =
                together ? try_reserve_all({{query, 1}, {other, 1}}).has_value() : other.try_reserve(1).has_value();
        };

        held.release();
        process.set_marks(0, ~Bytes{0});
        listener->on_mark = nullptr;

        EXPECT_TRUE(is_granted) << "together: " << together;
        EXPECT_EQ(waiter->granted.bytes(), 50u);
    }
}

TEST_F(MemoryListenerTest, IsToldOfRefusalsForWantOfRoom) {
    const auto held = query.try_reserve(600);
    EXPECT_FALSE(query.try_reserve(10));
    EXPECT_FALSE(query.try_reserve(601)) << "no room would help";
    auto other = *process.child("other").try_reserve(400);
    EXPECT_FALSE(other.try_grow(1));
    EXPECT_FALSE(other.try_transfer(query));
    EXPECT_FALSE(try_reserve_all({{query, 5}, {process, 7}}));
    static_cast<void>(ask(query, 5));

    EXPECT_EQ(listener->refused, (std::vector<std::string>{"query 10", "other 1", "query 400", "query 5"}))
        << "who waits is not refused";
}

TEST_F(MemoryListenerTest, IsToldOfAllThatIsWantedTogetherAtTheLevelThatRefuses) {
    const auto held = process.try_reserve(950);

    EXPECT_FALSE(try_reserve_all({{query, 20}, {process.child("other"), 40}}));
    EXPECT_FALSE(try_reserve_all({{query, 20}, {query, 581}})) << "no room would help";

    EXPECT_EQ(listener->refused, std::vector<std::string>{"process 60"});
}

// Whoever looks while it moves must find it waiting somewhere.
TEST_F(MemoryListenerTest, OneThatMovesToAnotherLevelIsNeverSeenToWaitNowhere) {
    const auto other = process.child("other");
    auto all = *other.try_reserve(1000);
    const auto moving = ask(query, 500), behind = ask(other, 600);
    std::size_t fewest = 9;
    listener->on_first = [&] { fewest = std::min(fewest, query.waiting() + process.waiting()); };
    auto piece = all.split(200);
    ASSERT_TRUE(piece.try_transfer(query));

    all.release(); // the query is in its way now: it goes there, and the one behind is the first at the process

    EXPECT_EQ(query.waiting(), 1u);
    listener->on_first = nullptr;
    EXPECT_GE(fewest, 2u);
}

TEST_F(MemoryListenerTest, AnAccountInThePlaceOfAnotherBeginsAnew) {
    {
        const auto before = process.child("before", 10);
        before.set_overtaking({.most = 9, .most_bytes = 100});
        auto held = *before.try_reserve(10);
        const auto request = ask(before, 5);
        held.release();
        EXPECT_EQ(before.handed_over(), 5u);
    }

    EXPECT_EQ(process.child("now", 10).handed_over(), 0u);
}

TEST_F(MemoryListenerTest, IsToldWhenTheRootsLimitChangesAndNotAnothers) {
    query.set_limit(500);
    EXPECT_EQ(listener->limits, 0);

    process.set_limit(2000);
    process.set_limit(100);

    EXPECT_EQ(listener->limits, 2);
}

TEST_F(MemoryListenerTest, IsToldWhenAnotherOneWaitsLongest) {
    const auto held = query.try_reserve(600);
    const auto first = ask(query, 10);
    EXPECT_EQ(listener->firsts, 1);
    const auto second = ask(query, 20), third = ask(query, 30);
    EXPECT_EQ(listener->firsts, 1) << "those wait behind him";

    MemoryWaiter::leave(second);
    EXPECT_EQ(listener->firsts, 1);
    MemoryWaiter::leave(first);
    EXPECT_EQ(listener->firsts, 2);
    MemoryWaiter::leave(third);
    EXPECT_EQ(listener->firsts, 2) << "nobody waits";
}

TEST_F(MemoryListenerTest, WhatTheFirstWantsIsKnownWhereHeWaits) {
    const auto held = query.try_reserve(595);
    const auto first = ask(query, 10), second = ask(query, 20);

    const auto waits = process.who_waits();
    MemoryWaiter::leave(first);
    const auto later = process.who_waits();
    MemoryWaiter::leave(second);

    ASSERT_EQ(waits.size(), 1u);
    ASSERT_EQ(later.size(), 1u);
    EXPECT_EQ(waits.front().id, query.id());
    EXPECT_EQ(waits.front().wanted, 10u);
    EXPECT_EQ(later.front().wanted, 20u);
}

TEST_F(MemoryListenerTest, WhatThoseWhoWaitedWereGrantedIsCountedAtEachLevel) {
    auto held = query.try_reserve(600);
    const auto first = ask(query, 10), second = ask(query, 20), third = ask(query, 600);
    const auto before_query = query.handed_over(), before_process = process.handed_over();
    MemoryWaiter::leave(second);
    EXPECT_EQ(query.handed_over(), before_query);

    held->shrink(50);

    EXPECT_EQ(query.handed_over() - before_query, 10u);
    EXPECT_EQ(process.handed_over() - before_process, 10u);
    MemoryWaiter::leave(third);
}

TEST_F(MemoryListenerTest, AShortageNamesTheLowestLevelThatLacksRoomAndHowMuch) {
    const auto other = process.try_reserve(350);
    const auto held = query.try_reserve(550);

    EXPECT_FALSE(query.shortage(50)) << "there is room for it";
    const auto of_both = query.shortage(200);
    ASSERT_TRUE(of_both);
    EXPECT_EQ(of_both->level, query.id());
    EXPECT_EQ(of_both->missing, 150u);
    const auto of_process = process.shortage(200);
    ASSERT_TRUE(of_process);
    EXPECT_EQ(of_process->level, process.id());
    EXPECT_EQ(of_process->missing, 100u);
    EXPECT_FALSE(query.shortage(601)) << "no room would do";
}

TEST_F(MemoryListenerTest, AnAccountIsWithinItselfAndThoseAbove) {
    const auto operation = query.child("operation");
    const MemoryAccount other{"other"};

    EXPECT_TRUE(operation.is_within(operation.id()) && operation.is_within(process.id()));
    EXPECT_FALSE(process.is_within(query.id()) || operation.is_within(other.id()));
}

TEST_F(MemoryListenerTest, AHandleIsTheLastOneWithoutCopiesAndChildren) {
    EXPECT_TRUE(query.is_last_handle());
    {
        const auto copy = query;
        EXPECT_FALSE(query.is_last_handle());
    }
    {
        const auto child = query.child("child");
        EXPECT_FALSE(query.is_last_handle());
    }
    EXPECT_TRUE(query.is_last_handle());
}

TEST_F(MemoryListenerTest, IsToldOfTheNextOneWhereTheFirstGoesToItsOtherPlace) {
    const auto other = process.child("other");
    const auto kept = query.try_reserve(50);
    auto moving = query.try_reserve(550).value(), rest = other.try_reserve(400).value();
    const auto first = ask(query, 500);
    const auto next = ask(other, 10);
    ASSERT_TRUE(moving.try_transfer(other)) << "now the first one waits for the process, too";
    ASSERT_EQ(process.waiting(), 2u);
    query.set_limit(540);
    const auto before = listener->firsts;

    rest.shrink(5); // the first one lacks room in the query again

    EXPECT_EQ(process.waiting(), 1u);
    EXPECT_EQ(listener->firsts, before + 1);
    MemoryWaiter::leave(first);
    MemoryWaiter::leave(next);
}

} // namespace
} // namespace velostream::memory_listener_test
