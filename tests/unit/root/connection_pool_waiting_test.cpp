// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <string>

#include "connection_pool_fixture.hpp"

namespace velostream::connection_pool_waiting_test {
namespace {

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

TEST_F(ConnectionPoolTest, WhoCameLaterTimesOutLaterWhenTheFirstHasTimedOut) {
    make_pool(1);
    borrow();
    auto& first = borrow();
    pass(10s);
    auto& second = borrow();
    pass(20s);
    ASSERT_EQ(first.error(), Errc::pool_timeout);

    pass(10s - 1ms);
    EXPECT_FALSE(second.answer);
    pass(1ms);

    EXPECT_EQ(second.error(), Errc::pool_timeout);
}

TEST_F(ConnectionPoolTest, TellsEverybodyWhoWaitsWhenAConnectFailsAndNothingElseCouldComeBack) {
    make_pool(2);
    const Error refused = boost::system::error_code{asio::error::connection_refused};
    factory.delay_opens(1s);
    factory.fail_next_opens(refused);
    auto& first = borrow();
    auto& second = borrow();
    auto& third = borrow();

    pass(1s);

    for (auto* borrower : {&first, &second, &third}) {
        EXPECT_EQ(borrower->error(), Errc::connect_failed);
        ASSERT_NE(borrower->error().inner(), nullptr);
        EXPECT_EQ(borrower->error().inner()->type(), ErrorType::network);
        const auto detail = std::string{borrower->error().detail()};
        EXPECT_NE(detail.find("waited 1000 ms"), std::string::npos) << detail;
    }
    EXPECT_EQ(pool->get_stats().refused, 3u);
}

TEST_F(ConnectionPoolTest, WhoComesRightAfterAFailureIsToldAtOnceAndWhoComesLaterHasAConnectOfItsOwn) {
    make_pool(1);
    factory.fail_next_opens(Error{Errc::operation_failed, "no route"});
    borrow();

    auto& soon = borrow();
    EXPECT_EQ(soon.error(), Errc::connect_failed);
    EXPECT_EQ(soon.error().inner()->detail(), "no route");
    EXPECT_EQ(factory.counts().opens, 1u);
    const auto detail = std::string{soon.error().detail()};
    EXPECT_NE(detail.find("refused at once"), std::string::npos) << detail;

    pass(250ms);
    EXPECT_TRUE(borrow().has_connection());
}

TEST_F(ConnectionPoolTest, WhoWaitsForALentConnectionIsNotRefusedForAFailedConnect) {
    make_pool(2);
    auto& holder = borrow();
    factory.fail_next_opens(Error{Errc::operation_failed, "too many clients"}, 1000);
    auto& waiter = borrow();
    EXPECT_FALSE(waiter.answer);

    holder.give_back();
    run();

    EXPECT_TRUE(waiter.has_connection());
}

TEST_F(ConnectionPoolTest, ATimeoutCarriesTheLastConnectErrorAndSaysWhatIsUnderWay) {
    make_pool(2);
    borrow();
    factory.fail_next_opens(Error{Errc::operation_failed, "no route"});
    auto& waiter = borrow();
    EXPECT_FALSE(waiter.answer);
    factory.delay_opens(1h);

    pass(250ms); // the next connect
    pass(29750ms);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    ASSERT_NE(waiter.error().inner(), nullptr);
    EXPECT_EQ(waiter.error().inner()->detail(), "no route");
    const auto detail = std::string{waiter.error().detail()};
    EXPECT_NE(detail.find("a connect has been under way for"), std::string::npos) << detail;
}

TEST_F(ConnectionPoolTest, ATimeoutCarriesNoConnectErrorFromBeforeAConnectThatSucceeded) {
    make_pool(1);
    factory.fail_next_opens(Error{Errc::operation_failed, "no route"});
    borrow();
    pass(252ms);
    ASSERT_TRUE(borrow().has_connection());

    auto& waiter = borrow();
    pass(30s);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    EXPECT_EQ(waiter.error().inner(), nullptr);
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

// Its coarse clock is behind, as that of a kernel is.
struct LaggingTime : ManualTime {
    TimePoint coarse_now() const noexcept { return now() - 4ms; }
};

TEST_F(ConnectionPoolTest, HowLongSomebodyWaitedIsExactThoughTheCoarseClockIsBehind) {
    ConnectionPool<ScriptedConnections, LaggingTime> lagging{
        io.get_executor(), passive(1), factory, {}, LaggingTime{time}};
    std::optional<Lease> first, second;
    const auto borrow_into = [&](std::optional<Lease>& into) {
        lagging.async_acquire(asio::bind_executor(io, [&](Result<Lease> lease) { into.emplace(std::move(*lease)); }));
        run();
    };
    borrow_into(first);
    borrow_into(second);
    time.advance(1ms);

    first.reset();
    run();

    ASSERT_TRUE(second);
    EXPECT_EQ(lagging.get_stats().waited, 1ms);
    EXPECT_EQ(lagging.get_stats().longest_wait, 1ms);
}

} // namespace
} // namespace velostream::connection_pool_waiting_test
