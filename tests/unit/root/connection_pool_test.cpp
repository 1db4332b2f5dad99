// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "connection_pool_fixture.hpp"

namespace velostream {
namespace {

TEST_F(ConnectionPoolTest, OpensAConnectionWhenOneIsWantedAndLendsItAgain) {
    make_pool(2);
    auto& first = borrow();
    ASSERT_TRUE(first.has_connection());
    EXPECT_EQ(first.number(), 1u);
    EXPECT_EQ(pool->get_stats().active, 1u);

    first.give_back();
    run();
    EXPECT_EQ(pool->get_stats().active, 0u);
    EXPECT_EQ(pool->get_stats().idle, 1u);

    auto& second = borrow();
    ASSERT_TRUE(second.has_connection());
    EXPECT_EQ(second.number(), 1u);
    EXPECT_EQ(factory.counts().opens, 1u);
}

TEST_F(ConnectionPoolTest, ResetsAConnectionBeforeAnybodyElseGetsIt) {
    make_pool(1);
    auto& first = borrow();
    auto& second = borrow();
    first.give_back();
    EXPECT_FALSE(second.has_connection());

    run();

    EXPECT_TRUE(second.has_connection());
    EXPECT_EQ(factory.counts().resets, 1u);
}

TEST_F(ConnectionPoolTest, DropsAConnectionThatCannotBeReset) {
    make_pool(1);
    auto& first = borrow();
    auto& second = borrow();
    factory.fail_next_resets(Errc::operation_failed);

    first.give_back();
    run();

    ASSERT_TRUE(second.has_connection());
    EXPECT_EQ(second.number(), 2u);
    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(factory.counts().alive, 1u);
}

TEST_F(ConnectionPoolTest, ClosesALeaseThatWasMarkedBrokenAndOpensAnotherForWhoWaits) {
    make_pool(1);
    auto& first = borrow();
    auto& second = borrow();

    (*first.answer)->mark_broken();
    first.give_back();
    run();

    ASSERT_TRUE(second.has_connection());
    EXPECT_EQ(second.number(), 2u);
    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(factory.counts().resets, 0u);
    EXPECT_EQ(factory.counts().most_alive, 1u);
}

TEST_F(ConnectionPoolTest, NeverHasMoreConnectionsThanMaxSizeThoseBeingOpenedIncluded) {
    make_pool(3);
    factory.delay_opens(1s);
    for (int count = 0; count < 10; ++count) borrow();
    EXPECT_EQ(pool->get_stats().connecting, 3u);

    for (int round = 0; round < 10; ++round) {
        pass(1s);
        for (auto& borrower : borrowers) {
            if (borrower->has_connection()) borrower->give_back();
        }
        run();
    }

    EXPECT_EQ(factory.counts().most_alive, 3u);
    for (auto& borrower : borrowers) EXPECT_TRUE(borrower->has_connection());
}

TEST_F(ConnectionPoolTest, OpensAtMostFourAtOnce) {
    make_pool(20);
    factory.delay_opens(1s);
    for (int count = 0; count < 10; ++count) borrow();
    EXPECT_EQ(pool->get_stats().connecting, 4u);

    pass(1s);
    pass(1s);
    pass(1s);

    EXPECT_EQ(pool->get_stats().active, 10u);
}

TEST_F(ConnectionPoolTest, SeveralPoolsTogetherNeverHaveMoreThanTheLimitTheyShare) {
    const MemoryAccount places{"connections", 3};
    make_pool(2, places.child("first"));
    Pool other{io.get_executor(), passive(5), factory, {.places = places.child("other")}, time};

    borrow();
    auto& second = borrow();
    EXPECT_TRUE(borrow(other).has_connection());
    auto& waiter = borrow(other);
    EXPECT_FALSE(waiter.has_connection());
    EXPECT_EQ(places.used(), 3u);

    (*second.answer)->mark_broken();
    second.give_back();
    run();
    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(places.used(), 3u);
    EXPECT_EQ(factory.counts().most_alive, 3u);
}

TEST_F(ConnectionPoolTest, ChecksWhatLayIdleForMoreThanHalfASecond) {
    make_pool(1);
    borrow().give_back();
    run();

    pass(500ms);
    borrow().give_back();
    run();
    EXPECT_EQ(factory.counts().checks, 0u);

    pass(501ms);
    EXPECT_TRUE(borrow().has_connection());
    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(ConnectionPoolTest, DoesNotCheckAgainWhatGoesFromOneBorrowerStraightToTheNext) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(501ms);
    auto& checked = borrow();
    auto& waiter = borrow();
    ASSERT_EQ(factory.counts().checks, 1u);

    checked.give_back();
    run();

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(ConnectionPoolTest, ReplacesWhatFailsTheCheckAndTheBorrowerNeverSeesIt) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(1s);
    factory.fail_next_checks(Errc::operation_failed);

    auto& borrower = borrow();

    ASSERT_TRUE(borrower.has_connection());
    EXPECT_EQ(borrower.number(), 2u);
    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(factory.counts().most_alive, 1u);
}

TEST_F(ConnectionPoolTest, ACancelledBorrowerDoesNotEndTheCheckThatGoesOnForHim) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(1s);
    factory.delay_checks(1s);
    auto& cancelled = borrow();
    auto& next = borrow();

    cancelled.cancel.emit(asio::cancellation_type::terminal);
    run();
    EXPECT_EQ(cancelled.error(), Errc::cancelled);
    EXPECT_EQ(pool->get_stats().total, 1u);
    pass(1s);

    EXPECT_TRUE(next.has_connection());
    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(ConnectionPoolTest, AConnectionThatNobodyLookedAtGoesBackAsItIs) {
    make_pool(1);
    auto& holder = borrow();
    auto& waiter = borrow();

    (*holder.answer)->give_back();
    run();

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(factory.counts().resets, 0u);
}

TEST_F(ConnectionPoolTest, ItsEndTellsThoseWhoWaitAndClosesWhatIsIdle) {
    make_pool(2);
    auto& lent = borrow();
    borrow().give_back();
    run();
    auto& again = borrow();
    auto& served = borrow();
    again.give_back();
    auto& waiter = borrow();
    ASSERT_TRUE(served.has_connection());
    served.give_back();
    run();
    ASSERT_TRUE(waiter.has_connection());
    waiter.give_back();
    run();
    auto& first = borrow();
    auto& late = borrow();

    pool.reset();
    run();

    EXPECT_TRUE(first.has_connection());
    EXPECT_EQ(late.error(), Errc::pool_closed);
    EXPECT_EQ(factory.counts().alive, 2u);
    lent.give_back();
    first.give_back();
    run();
    EXPECT_EQ(factory.counts().alive, 0u);
    EXPECT_EQ(factory.counts().closes, 2u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ConnectionPoolTest, AConnectThatEndsAfterThePoolIsDropped) {
    make_pool(1);
    factory.delay_opens(1s);
    auto& waiter = borrow();

    pool.reset();
    pass(1s);

    EXPECT_EQ(waiter.error(), Errc::pool_closed);
    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(ConnectionPoolTest, ALeaseIsMoveOnlyAndGivesItsConnectionBackOnce) {
    static_assert(!std::is_copy_constructible_v<Lease>);
    make_pool(2);
    auto first = std::move(**borrow().answer);
    auto second = std::move(**borrow().answer);
    EXPECT_EQ(pool->get_stats().active, 2u);

    first = std::move(second);
    run();
    EXPECT_EQ(pool->get_stats().active, 1u);
    EXPECT_EQ((*first).number(), 2u);

    first.give_back();
    first.give_back();
    run();
    EXPECT_EQ(pool->get_stats().active, 0u);
    EXPECT_EQ(pool->get_stats().idle, 2u);
}

TEST_F(ConnectionPoolTest, ABrokenLeaseStaysBrokenWhereItIsMovedTo) {
    make_pool(2);
    auto sound = std::move(**borrow().answer);
    auto broken = std::move(**borrow().answer);
    broken.mark_broken();

    sound = std::move(broken); // and the sound one goes back
    sound.give_back();
    run();

    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(pool->get_stats().idle, 1u);
    EXPECT_EQ(borrow().number(), 1u);
}

TEST_F(ConnectionPoolTest, AnotherConnectionIsNotBrokenByTheLeaseItIsMovedTo) {
    make_pool(2);
    auto broken = std::move(**borrow().answer);
    auto sound = std::move(**borrow().answer);
    broken.mark_broken();

    broken = std::move(sound); // and the broken one is closed
    broken.give_back();
    run();

    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(borrow().number(), 2u);
}

TEST_F(ConnectionPoolTest, AnInvalidConfigIsRefusedWithEveryProblem) {
    const ConnectionPoolConfig config{.max_size = 0, .connection_timeout = 0s};
    try {
        const Pool invalid{io.get_executor(), config, factory, ConnectionPoolOptions{}, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text = problem.what();
        EXPECT_NE(text.find("max_size"), std::string::npos) << text;
        EXPECT_NE(text.find("connection_timeout"), std::string::npos) << text;
    }
}

} // namespace
} // namespace velostream
