// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "connection_pool_fixture.hpp"

namespace velostream {
namespace {

class ConnectionPoolCloseTest : public ConnectionPoolTest {
  protected:
    struct Closing {
        std::optional<Result<void>> result;
        std::exception_ptr thrown;
        asio::cancellation_signal cancel;
    };
    // Its outcome, once there is one.
    Closing& close(Duration drain) {
        auto& closing = *closings.emplace_back(std::make_unique<Closing>());
        auto completed = [&closing](std::exception_ptr thrown, Result<void> closed) {
            closing.thrown = thrown;
            closing.result = std::move(closed);
        };
        asio::co_spawn(io, pool->close(drain), asio::bind_cancellation_slot(closing.cancel.slot(), completed));
        run();
        return closing;
    }

    std::vector<std::unique_ptr<Closing>> closings;
};

TEST_F(ConnectionPoolCloseTest, WaitsForWhatIsLent) {
    make_pool(2);
    auto& holder = borrow();
    borrow().give_back();
    run();

    auto& closing = close(10s);
    EXPECT_FALSE(closing.result);
    EXPECT_EQ(factory.counts().alive, 1u);
    pass(5s);
    holder.give_back();
    run();

    ASSERT_TRUE(closing.result);
    EXPECT_TRUE(closing.result->has_value());
    EXPECT_EQ(factory.counts().alive, 0u);
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::shutdown), 2u);
}

TEST_F(ConnectionPoolCloseTest, SaysHowManyAreLeftWhenItsTimeIsOver) {
    make_pool(2);
    borrow();
    borrow();

    auto& closing = close(10s);
    pass(10s);

    ASSERT_TRUE(closing.result);
    ASSERT_TRUE(closing.result->has_error());
    EXPECT_EQ(closing.result->error(), Errc::deadline_exceeded);
    EXPECT_EQ(closing.result->error().detail(), "2 connections are still there after 10000 ms");
}

TEST_F(ConnectionPoolCloseTest, RefusesWhoWaitsAndWhoComes) {
    make_pool(1);
    borrow();
    auto& waiter = borrow();

    pool->close();
    run();

    EXPECT_EQ(waiter.error(), Errc::pool_closed);
    EXPECT_EQ(borrow().error(), Errc::pool_closed);
    EXPECT_FALSE(pool->try_get_connection());
}

TEST_F(ConnectionPoolCloseTest, AnEmptyOneAndOneThatIsClosedAreClosedAtOnce) {
    make_pool(1);
    EXPECT_TRUE(close(1s).result);
    EXPECT_TRUE(close(0s).result);
}

TEST_F(ConnectionPoolCloseTest, GivesUpWhatIsBeingOpened) {
    make_pool(1);
    factory.delay_opens(1h);
    auto& waiter = borrow();

    auto& closing = close(1s);

    EXPECT_EQ(waiter.error(), Errc::pool_closed);
    ASSERT_TRUE(closing.result);
    EXPECT_TRUE(closing.result->has_value());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ConnectionPoolCloseTest, AWaitForItsEndCanBeCancelledAndItIsClosedAllTheSame) {
    make_pool(1);
    auto& holder = borrow();
    auto& closing = close(1h);

    closing.cancel.emit(asio::cancellation_type::terminal);
    run();

    EXPECT_TRUE(closing.thrown || (closing.result && closing.result->has_error()));
    EXPECT_EQ(time.sleepers(), 0u);
    holder.give_back();
    run();
    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(ConnectionPoolCloseTest, AContextThatEndsFirstReturnsEverything) {
    const MemoryAccount places{"connections", 10};
    const MemoryAccount memory{"process", 1'000'000};
    std::optional<Lease> lease;
    {
        asio::io_context ending;
        auto config = passive(4);
        config.min_idle = 2;
        config.connection_memory = 1000;
        config.leak_threshold = 60s;
        config.keepalive = 30s;
        Pool ended{ending.get_executor(), config, factory, {.places = places, .memory = memory}, time};
        ending.poll();
        factory.delay_opens(1h);
        factory.delay_checks(1h);
        time.advance(31s);
        auto keep = [&lease](std::exception_ptr, Result<Lease> borrowed) { lease = std::move(*borrowed); };
        asio::co_spawn(ending, ended.get_connection(), keep); // waits: both are being checked
        ending.poll();
        EXPECT_EQ(places.used(), 3u);
    }
    EXPECT_FALSE(lease);
    EXPECT_EQ(factory.counts().alive, 0u);
    EXPECT_EQ(places.used(), 0u);
    EXPECT_EQ(memory.used(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST(ConnectionPoolContext, RunsOutOfWorkThoughConnectionsAreIdle) {
    asio::io_context io;
    ConnectionPool pool{io.get_executor(), ConnectionPoolConfig{.min_idle = 2, .keepalive = 60s, .leak_threshold = 60s},
                        ScriptedConnections{}};

    io.run(); // else the test does not end

    EXPECT_EQ(pool.get_stats().idle, 2u);
}

} // namespace
} // namespace velostream
