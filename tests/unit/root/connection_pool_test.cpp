// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <stdexcept>
#include <string>
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

TEST_F(ConnectionPoolTest, ServesBorrowersInTheOrderOfArrival) {
    make_pool(1);
    auto& first = borrow();
    auto& second = borrow();
    auto& third = borrow();
    EXPECT_EQ(pool->get_stats().waiting, 2u);

    first.give_back();
    run();
    EXPECT_TRUE(second.has_connection());
    EXPECT_FALSE(third.has_connection());

    second.give_back();
    run();
    EXPECT_TRUE(third.has_connection());
}

TEST_F(ConnectionPoolTest, ANewcomerNeverOvertakesAWaiter) {
    make_pool(1);
    auto& first = borrow();
    auto& waiter = borrow();
    first.give_back(); // on its way to the waiter, who has not run yet

    auto& newcomer = borrow();

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_FALSE(newcomer.has_connection());
}

TEST_F(ConnectionPoolTest, AWaiterTakesWhicheverComesFirstAReturnedOrANewConnection) {
    make_pool(2);
    auto& first = borrow();
    factory.delay_opens(1s);
    auto& waiter = borrow();
    EXPECT_EQ(pool->get_stats().connecting, 1u);

    first.give_back();
    run();
    ASSERT_TRUE(waiter.has_connection());
    EXPECT_EQ(waiter.number(), 1u);

    pass(1s);
    EXPECT_EQ(pool->get_stats().idle, 1u);
    EXPECT_EQ(pool->get_stats().total, 2u);
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
    Pool other{io.get_executor(), {.max_size = 5, .connection_timeout = 30s}, factory, places.child("other"), time};

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

TEST_F(ConnectionPoolTest, GivesUpAfterTheConnectionTimeoutAndSaysWhatItFound) {
    make_pool(1);
    borrow();
    pass(10s);
    auto& waiter = borrow();

    pass(30s - 1ms);
    EXPECT_FALSE(waiter.answer);
    pass(1ms);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    const auto detail = std::string{waiter.error().detail()};
    EXPECT_NE(detail.find("connection_timeout 30000 ms"), std::string::npos) << detail;
    EXPECT_NE(detail.find("1 active, 0 idle, 0 connecting, 1 waiting of max_size 1"), std::string::npos) << detail;
    EXPECT_EQ(pool->get_stats().waiting, 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ConnectionPoolTest, EachBorrowerHasItsOwnDeadline) {
    make_pool(1);
    auto& holder = borrow();
    auto& first = borrow();
    pass(10s);
    auto& second = borrow();

    pass(20s);
    EXPECT_EQ(first.error(), Errc::pool_timeout);
    EXPECT_FALSE(second.answer);

    holder.give_back();
    run();
    EXPECT_TRUE(second.has_connection());
}

TEST_F(ConnectionPoolTest, TellsTheOneWhoWaitsLongestWhenAConnectFails) {
    make_pool(1);
    const Error refused = boost::system::error_code{asio::error::connection_refused};
    factory.fail_next_opens(refused);

    auto& borrower = borrow();

    EXPECT_EQ(borrower.error(), Errc::connect_failed);
    ASSERT_NE(borrower.error().inner(), nullptr);
    EXPECT_EQ(borrower.error().inner()->type(), ErrorType::network);
    EXPECT_EQ(pool->get_stats().total, 0u);
    EXPECT_TRUE(borrow().has_connection());
}

TEST_F(ConnectionPoolTest, ATimeoutCarriesTheLastConnectError) {
    make_pool(1);
    factory.fail_next_opens(Error{Errc::operation_failed, "no route"});
    borrow();
    factory.delay_opens(1h);

    auto& waiter = borrow();
    pass(30s);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    ASSERT_NE(waiter.error().inner(), nullptr);
    EXPECT_EQ(waiter.error().inner()->detail(), "no route");
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

TEST_F(ConnectionPoolTest, ACancelledWaiterLeavesNothingBehind) {
    make_pool(1);
    auto& holder = borrow();
    auto& cancelled = borrow();
    auto& next = borrow();

    cancelled.cancel.emit(asio::cancellation_type::terminal);
    run();
    EXPECT_EQ(cancelled.error(), Errc::cancelled);
    EXPECT_EQ(pool->get_stats().waiting, 1u);

    holder.give_back();
    run();
    EXPECT_TRUE(next.has_connection());
}

TEST_F(ConnectionPoolTest, TheLastWaitersCancellationStopsTheTimer) {
    make_pool(1);
    borrow();
    auto& waiter = borrow();
    EXPECT_EQ(time.sleepers(), 1u);

    waiter.cancel.emit(asio::cancellation_type::terminal);
    run();

    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_TRUE(io.stopped());
}

TEST_F(ConnectionPoolTest, AConnectionOnItsWayToACancelledBorrowerGoesToTheNext) {
    make_pool(1);
    auto& holder = borrow();
    auto& cancelled = borrow();
    auto& next = borrow();

    holder.give_back();
    while (pool->get_stats().waiting == 2) io.poll_one(); // reset, and handed over: the completion is queued
    cancelled.cancel.emit(asio::cancellation_type::terminal);
    run();
    if (cancelled.has_connection()) cancelled.give_back();
    run();

    EXPECT_TRUE(next.has_connection());
    EXPECT_EQ(pool->get_stats().total, 1u);
}

TEST_F(ConnectionPoolTest, CancellationDuringACheckDropsTheConnection) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(1s);
    factory.delay_checks(1h);
    auto& checking = borrow();

    checking.cancel.emit(asio::cancellation_type::terminal);
    run();

    EXPECT_EQ(checking.error(), Errc::cancelled);
    EXPECT_EQ(pool->get_stats().total, 0u);
    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(ConnectionPoolTest, ItsEndTellsThoseWhoWaitAndClosesWhatIsIdle) {
    make_pool(2);
    auto& lent = borrow();
    borrow().give_back();
    run();
    auto& again = borrow();
    auto& waiter = borrow();
    again.give_back();
    borrow();

    pool.reset();
    run();

    EXPECT_TRUE(waiter.has_connection());
    waiter.give_back();
    EXPECT_EQ(borrowers.back()->error(), Errc::pool_closed);
    EXPECT_EQ(factory.counts().alive, 1u);
    lent.give_back();
    EXPECT_EQ(factory.counts().alive, 0u);
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

TEST_F(ConnectionPoolTest, AnInvalidConfigIsRefusedWithEveryProblem) {
    const ConnectionPoolConfig config{.max_size = 0, .connection_timeout = 0s};
    try {
        const Pool invalid{io.get_executor(), config, factory, {}, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text = problem.what();
        EXPECT_NE(text.find("max_size"), std::string::npos) << text;
        EXPECT_NE(text.find("connection_timeout"), std::string::npos) << text;
    }
}

TEST_F(ConnectionPoolTest, AnExecutionContextThatEndsTakesItsBorrowersWithIt) {
    asio::io_context other;
    make_pool(1);
    auto& holder = borrow();
    {
        asio::io_context ending;
        asio::co_spawn(ending, pool->get_connection(), [](std::exception_ptr, Result<Lease>) { FAIL(); });
        ending.poll();
        EXPECT_EQ(pool->get_stats().waiting, 1u);
    }
    EXPECT_EQ(pool->get_stats().waiting, 0u);

    holder.give_back();
    run();
    EXPECT_EQ(pool->get_stats().idle, 1u);
}

} // namespace
} // namespace velostream
