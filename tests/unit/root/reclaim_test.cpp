// SPDX-License-Identifier: Apache-2.0
#include "velostream/reclaimer.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "reclaim_fixture.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/joint_reservation.hpp"

namespace velostream {
namespace {

TEST_F(ReclaimTest, HighPressureAsksUntilUseIsBelowTheThreshold) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    EXPECT_EQ(used_mb(), 85u) << "nobody runs inside of an allocation";

    run();

    EXPECT_EQ(calls.size(), 2u);
    EXPECT_EQ(used_mb(), 75u);
    const auto stats = resources.get_reclaim_stats();
    EXPECT_EQ(stats.reclaims, 1u);
    EXPECT_EQ(stats.asked, 2u);
    EXPECT_EQ(stats.reclaimed_bytes, 10 * mebibyte);
    EXPECT_EQ(stats.failed, 0u);
    EXPECT_FALSE(stats.is_running);
}

TEST_F(ReclaimTest, NobodyIsAskedWhilePressureIsNormal) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 39 * mebibyte);
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, CheaperKindsComeFirst) {
    auto spill = add(cache(ReclaimKind::spill, 30, 30));
    auto expired = add(cache(ReclaimKind::expired, 2, 2));
    auto flush = add(cache(ReclaimKind::flush, 2, 2));
    auto allocation = resources.allocate_memory("sends", 50 * mebibyte);
    run();

    EXPECT_EQ(calls, (std::vector<std::string>{"expired", "flush", "spill"}));
}

TEST_F(ReclaimTest, OneThatThrowsOrFreesNothingIsCountedAndPassedOver) {
    auto throwing = cache(ReclaimKind::expired, 10, 1);
    throwing->throws = true;
    auto idle = cache(ReclaimKind::flush, 10, 0);
    auto first = add(throwing);
    auto second = add(idle);
    auto third = add(cache(ReclaimKind::spill, 30, 30));
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    run();

    EXPECT_EQ(calls, (std::vector<std::string>{"expired", "flush", "spill"}));
    EXPECT_EQ(resources.get_reclaim_stats().failed, 2u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 30 * mebibyte);
}

TEST_F(ReclaimTest, OneThatThrowsIsPassedOverThoughItFreedSomething) {
    auto throwing = cache(ReclaimKind::flush, 30, 10);
    throwing->throws_later = true;
    auto registered = add(throwing);
    auto allocation = resources.allocate_memory("sends", 69 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(used_mb(), 89u) << "above the threshold: another would have been asked again";
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 10 * mebibyte);
}

TEST_F(ReclaimTest, OneThatHoldsMoreAfterwardsHasFreedNothing) {
    auto growing = cache(ReclaimKind::flush, 40, 0);
    growing->grows = mebibyte;
    auto registered = add(growing);
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    run();

    EXPECT_EQ(used_mb(), 86u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 0u);
}

TEST_F(ReclaimTest, AfterASuccessTheNextOneNeedNotWait) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 40 * mebibyte);
    run();
    ASSERT_EQ(calls.size(), 1u);

    auto more = resources.allocate_memory("sends", 5 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 2u);
}

TEST_F(ReclaimTest, WhoeverLacksMostSaysHowMuchIsWanted) {
    auto reclaimer = cache(ReclaimKind::spill, 70, 70);
    auto registered = add(reclaimer);
    EXPECT_FALSE(resources.allocate_memory("sends", 50 * mebibyte));     // lacks 20 MiB,
    EXPECT_FALSE(resources.allocate_memory("sends", 40 * mebibyte));     // which is enough for this one,
    auto allocation = resources.allocate_memory("sends", 15 * mebibyte); // and 15 more now; the threshold is at 80

    run();

    EXPECT_EQ(reclaimer->wanted_, (std::vector<Bytes>{35 * mebibyte}));
}

TEST_F(ReclaimTest, WhatIsWantedWhileOneIsAskedIsAskedOfTheNext) {
    auto reclaimer = cache(ReclaimKind::spill, 75, 5);
    auto registered = add(reclaimer);
    EXPECT_FALSE(resources.allocate_memory("sends", 30 * mebibyte)); // lacks 5 MiB
    io.poll_one();
    io.poll_one(); // the reclaimer has begun
    ASSERT_EQ(reclaimer->wanted_, (std::vector<Bytes>{5 * mebibyte}));

    EXPECT_FALSE(resources.allocate_memory("sends", 40 * mebibyte));
    run();

    EXPECT_EQ(reclaimer->wanted_, (std::vector<Bytes>{5 * mebibyte, 10 * mebibyte, 5 * mebibyte}));
    EXPECT_TRUE(resources.allocate_memory("sends", 40 * mebibyte));
}

TEST_F(ReclaimTest, WhatIsClaimedAndNotFreedDoesNotCount) {
    auto liar = cache(ReclaimKind::flush, 1, 0);
    liar->pretended = 1000 * mebibyte;
    auto registered = add(liar);
    auto allocation = resources.allocate_memory("sends", 90 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 0u);
}

TEST_F(ReclaimTest, WhenNobodyIsLeftNobodyIsAskedForAWhile) {
    auto registered = add(cache(ReclaimKind::flush, 10, 0));
    auto allocation = resources.allocate_memory("sends", 80 * mebibyte);
    run();
    ASSERT_EQ(calls.size(), 1u);

    auto more = resources.allocate_memory("sends", 1);
    run();
    EXPECT_EQ(calls.size(), 1u);
    time.advance(250ms);
    auto later = resources.allocate_memory("sends", 1);
    run();

    EXPECT_EQ(calls.size(), 2u);
}

TEST_F(ReclaimTest, ARefusedAllocationAsksForWhatItWanted) {
    auto reclaimer = cache(ReclaimKind::spill, 70, 30);
    auto registered = add(reclaimer);

    const auto refused = resources.allocate_memory("sends", 50 * mebibyte);
    EXPECT_FALSE(refused);
    run();

    EXPECT_EQ(reclaimer->wanted_, (std::vector<Bytes>{20 * mebibyte}));
    EXPECT_TRUE(resources.allocate_memory("sends", 50 * mebibyte));
}

TEST_F(ReclaimTest, ARefusedReservationAsksForWhatItWantedWhateverTookIt) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto reclaimer =
        std::make_shared<Cache>(query->memory(), ReclaimKind::spill, 20 * mebibyte, 1 * mebibyte, &calls);
    const auto registered = resources.add_reclaimer(io.get_executor(), query->memory(), reclaimer);
    AccountedResource containers{query->traffic()};
    const std::function<void()> ways[] = {
        [&] { EXPECT_FALSE(query->state().try_reserve(1 * mebibyte)); },
        [&] { EXPECT_THROW(static_cast<void>(containers.allocate(1 * mebibyte)), MemoryRefusedException); },
        [&] { EXPECT_FALSE(try_reserve_all({{query->state(), 1 * mebibyte}, {query->traffic(), 1}})); },
        [&] {
            auto some = *query->memory().try_reserve(0);
            EXPECT_FALSE(some.try_grow(1 * mebibyte));
        },
        [&] {
            auto some = *account.try_reserve(1 * mebibyte);
            EXPECT_FALSE(some.try_transfer(query->memory()));
        },
    };
    for (const auto& refused : ways) {
        reclaimer->wanted_.clear();
        refused();
        EXPECT_TRUE(reclaimer->wanted_.empty()) << "never inside of the call";
        run();

        EXPECT_GE(reclaimer->wanted_.size(), 1u);
        reclaimer->fill(query->memory());
        time.advance(1s);
    }
}

TEST_F(ReclaimTest, OfSeveralRefusalsOfAnAccountTheLargestIsAskedFor) {
    for (const auto& refused : {std::vector<Bytes>{3, 6, 4}, std::vector<Bytes>{6, 3}, std::vector<Bytes>{3, 6}}) {
        const auto query = resources.open_query({.name = "query", .max_memory_mb = 10});
        const auto reclaimer = std::make_shared<Cache>(query->memory(), ReclaimKind::spill, 8 * mebibyte, 8 * mebibyte);
        const auto registered = resources.add_reclaimer(io.get_executor(), query->memory(), reclaimer);
        run();

        for (const auto mb : refused) EXPECT_FALSE(query->memory().try_reserve(mb * mebibyte));
        run();

        EXPECT_EQ(reclaimer->wanted_, (std::vector<Bytes>{4 * mebibyte}));
    }
}

TEST_F(ReclaimTest, AfterMoreRefusalsThanAreRememberedTheNextOneAsksStill) {
    const auto registered = add(cache(ReclaimKind::spill, 70, 30));
    run();
    for (int i = 0; i < 200; ++i) EXPECT_FALSE(account.try_reserve(50 * mebibyte));
    run();
    EXPECT_EQ(calls.size(), 1u);
    const auto more = account.try_reserve(50 * mebibyte);
    ASSERT_TRUE(more);
    run();
    time.advance(1s);
    run();
    calls.clear();

    EXPECT_FALSE(account.try_reserve(account.available() + mebibyte));
    run();

    EXPECT_EQ(calls.size(), 1u);
}

TEST_F(ReclaimTest, WhatWasRefusedWhereNobodyWasLeftIsForgotten) {
    const auto reclaimer = cache(ReclaimKind::spill, 70, 30);
    reclaimer->nothing_to_free = true;
    const auto registered = add(reclaimer);
    run();
    EXPECT_FALSE(account.try_reserve(50 * mebibyte));
    run();

    reclaimer->nothing_to_free = false;
    time.advance(1s);
    const auto another = add(cache(ReclaimKind::pause, 1, 1)); // lets it look
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, WhatIsRefusedWhileItIsFoundThatNobodyIsLeftIsForgottenToo) {
    struct Refusing final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
        Bytes estimate() const noexcept override {
            if (on_estimate) on_estimate();
            return can_free ? mebibyte : 0;
        }
        asio::awaitable<void> reclaim(Bytes) override { co_return; }
        std::function<void()> on_estimate;
        bool can_free = false;
    };
    const auto reclaimer = std::make_shared<Refusing>();
    const auto registered = resources.add_reclaimer(io.get_executor(), account, reclaimer);
    const auto held = account.try_reserve(70 * mebibyte);
    run();
    reclaimer->on_estimate = [&] {
        reclaimer->on_estimate = nullptr;
        EXPECT_FALSE(account.try_reserve(50 * mebibyte));
    };
    EXPECT_FALSE(account.try_reserve(40 * mebibyte));
    run();
    ASSERT_FALSE(reclaimer->on_estimate);

    reclaimer->can_free = true;
    time.advance(1s);
    const auto another = add(cache(ReclaimKind::pause, 1, 1)); // lets it look
    run();

    EXPECT_EQ(resources.get_reclaim_stats().asked, 0u);
}

TEST_F(ReclaimTest, OneThatComesWhileItIsFoundThatNobodyIsLeftIsAsked) {
    struct Useless final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
        Bytes estimate() const noexcept override { return on_estimate(), 0; }
        asio::awaitable<void> reclaim(Bytes) override { co_return; }
        std::function<void()> on_estimate = [] {};
    };
    const auto useless = std::make_shared<Useless>();
    const auto useful = cache(ReclaimKind::spill, 70, 70);
    const auto registered = resources.add_reclaimer(io.get_executor(), account, useless);
    run();
    std::optional<Registration> also_registered;
    useless->on_estimate = [&] {
        if (!also_registered) also_registered = add(useful);
    };

    const auto pressing = resources.allocate_memory("sends", 20 * mebibyte);
    run();

    EXPECT_EQ(useful->wanted_.size(), 1u);
}

TEST_F(ReclaimTest, WhileTheyAreLeftInPeaceARefusalGivesTheExecutorNothingToDo) {
    const auto reclaimer = cache(ReclaimKind::spill, 70, 0);
    const auto registered = add(reclaimer);
    EXPECT_FALSE(account.try_reserve(50 * mebibyte));
    run();
    ASSERT_EQ(calls.size(), 1u);

    EXPECT_FALSE(account.try_reserve(50 * mebibyte));
    io.restart();

    EXPECT_EQ(io.poll(), 0u);
}

TEST_F(ReclaimTest, ARequestThatCanNeverSucceedFreesNothing) {
    auto registered = add(cache(ReclaimKind::spill, 70, 30));

    EXPECT_FALSE(resources.allocate_memory("sends", 101 * mebibyte));
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, AnAllocationThatFindsRoomOrNeverWillAsksForNothing) {
    auto registered = add(cache(ReclaimKind::spill, 60, 60));
    int ended = 0;
    const auto count = [&](const Result<Allocation>&) { ++ended; };
    for (const Bytes bytes : {15 * mebibyte, 101 * mebibyte})
        resources.async_allocate_memory("sends", bytes, TimePoint::max(),
                                        asio::bind_executor(io.get_executor(), count));
    run();

    EXPECT_EQ(ended, 2);
    EXPECT_EQ(resources.get_reclaim_stats().reclaims, 0u);
}

TEST_F(ReclaimTest, AnAllocationThatWaitsIsGrantedWhatWasFreed) {
    auto registered = add(cache(ReclaimKind::spill, 70, 10));
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory("sends", 50 * mebibyte, TimePoint::max(),
                                    asio::bind_executor(io.get_executor(), [&](Result<Allocation> result) {
                                        allocation.emplace(std::move(result));
                                    }));
    run();

    ASSERT_TRUE(allocation && *allocation);
    EXPECT_EQ(calls.size(), 5u) << "two for its room, and three since 100 MiB are used then";
}

TEST_F(ReclaimTest, AWaitThatIsCancelledIsNoRefusalAndAsksForNothingMore) {
    auto held = resources.allocate_memory("windows", 70 * mebibyte);
    auto reclaimer = cache(ReclaimKind::spill, 5, 5);
    asio::cancellation_signal signal;
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory(
        "sends", 50 * mebibyte, TimePoint::max(),
        asio::bind_cancellation_slot(signal.slot(),
                                     asio::bind_executor(io.get_executor(), [&](Result<Allocation> result) {
                                         allocation.emplace(std::move(result));
                                     })));
    auto registered = add(reclaimer); // so late that only the end of the wait could ask it
    signal.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(allocation);
    EXPECT_EQ(allocation->error(), Errc::cancelled);
    EXPECT_EQ(resources.get_reclaim_stats().reclaims, 0u);
    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, ARegistrationThatEndsIsNotAsked) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    registered.release();
    auto allocation = resources.allocate_memory("sends", 55 * mebibyte);
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, ARegistrationMayEndWithItsContextWhileItIsLookedAt) {
    struct Leaving final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::expired; }
        Bytes estimate() const noexcept override {
            leave();
            return 10 * mebibyte;
        }
        asio::awaitable<void> reclaim(Bytes) override { co_return; }
        std::function<void()> leave;
    };
    auto other = std::make_unique<asio::io_context>();
    const auto leaving = std::make_shared<Leaving>();
    auto registered = resources.add_reclaimer(asio::make_strand(*other), account, leaving);
    leaving->leave = [&] {
        registered.release();
        other.reset();
    };
    const auto next = add(cache(ReclaimKind::flush, 10, 10));
    const auto allocation = resources.allocate_memory("sends", 75 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
}

TEST_F(ReclaimTest, OneIsCalledOnItsOwnExecutor) {
    struct Plain final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::expired; }
        Bytes estimate() const noexcept override { return 10 * mebibyte; }
        asio::awaitable<void> reclaim(Bytes) override {
            was_at_home = home.get_executor().running_in_this_thread();
            throw std::runtime_error{"it is no coroutine"};
        }
        explicit Plain(asio::io_context& its_home) : home(its_home) {}
        asio::io_context& home;
        std::optional<bool> was_at_home;
    };
    asio::io_context home;
    const auto plain = std::make_shared<Plain>(home);
    const auto registered = resources.add_reclaimer(home.get_executor(), account, plain);
    const auto allocation = resources.allocate_memory("sends", 85 * mebibyte);
    run();
    EXPECT_FALSE(plain->was_at_home);

    home.poll();
    run();

    EXPECT_EQ(plain->was_at_home, true);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
}

TEST_F(ReclaimTest, OneMayUseItsManagerWhereverItIsCalled) {
    struct User final : Reclaimer {
        explicit User(std::function<void()> its_use) : use(std::move(its_use)) {}
        ReclaimKind kind() const noexcept override { return use(), ReclaimKind::expired; }
        Bytes estimate() const noexcept override { return use(), mebibyte; }
        asio::awaitable<void> reclaim(Bytes) override {
            use();
            co_return;
        }
        const std::function<void()> use;
    };
    int uses = 0;
    const auto user = std::make_shared<User>([&] { // under a lock of the manager's it would wait for itself
        const auto more = add(cache(ReclaimKind::pause, 1, 0));
        const auto listener = resources.add_pressure_listener(io.get_executor(), [](PressureLevel) {});
        EXPECT_TRUE(resources.allocate_memory("inside", 1));
        EXPECT_EQ(resources.get_memory_stats().limit_bytes, 100 * mebibyte);
        EXPECT_LE(resources.get_reclaim_stats().reclaims, 1u);
        ++uses;
    });
    const auto registered = resources.add_reclaimer(io.get_executor(), account, user);
    const auto allocation = resources.allocate_memory("sends", 85 * mebibyte);

    run();

    EXPECT_GE(uses, 3);
}

TEST_F(ReclaimTest, OneThatEndsWithItsContextHasFailedAndTheNextIsAsked) {
    auto first = std::make_shared<Cache>(account, ReclaimKind::expired, 1 * mebibyte, mebibyte);
    auto second = add(cache(ReclaimKind::flush, 10, 10));
    auto allocation = resources.allocate_memory("sends", 75 * mebibyte);
    {
        asio::io_context other;
        auto registered = resources.add_reclaimer(other.get_executor(), account, first);
        run();
        EXPECT_TRUE(resources.get_reclaim_stats().is_running);
        EXPECT_TRUE(calls.empty());
    }
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_FALSE(resources.get_reclaim_stats().is_running);
}

} // namespace
} // namespace velostream
