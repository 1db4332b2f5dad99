// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "connection_pool_fixture.hpp"

namespace velostream {
namespace {

TEST_F(ConnectionPoolTest, LendsTheConnectionUsedLastFirst) {
    make_pool(2);
    auto& first = borrow();
    auto& second = borrow();
    first.give_back();
    run();
    second.give_back();
    run();

    auto& borrower = borrow();

    ASSERT_TRUE(borrower.has_connection());
    EXPECT_EQ(borrower.number(), 2u);
}

TEST_F(ConnectionPoolTest, WhoWaitsForACheckKeepsItsTurn) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(1s);
    factory.delay_checks(1s);
    factory.fail_next_checks(Errc::operation_failed);
    auto& checking = borrow();
    auto& newcomer = borrow();

    pass(1s);

    EXPECT_TRUE(checking.has_connection());
    EXPECT_FALSE(newcomer.has_connection());
}

TEST_F(ConnectionPoolTest, AFailedCheckProlongsNobodysWait) {
    make_pool(1);
    borrow().give_back();
    run();
    pass(1s);
    factory.delay_checks(10s);
    factory.fail_next_checks(Errc::operation_failed);
    factory.delay_opens(1h);
    auto& checking = borrow();
    pass(5s);
    auto& newcomer = borrow();
    pass(5s);
    EXPECT_EQ(pool->get_stats().waiting, 2u);

    pass(20s);

    EXPECT_EQ(checking.error(), Errc::pool_timeout);
    EXPECT_FALSE(newcomer.answer);
}

TEST_F(ConnectionPoolTest, TheLongestTimeoutThereIsMeansNever) {
    factory.delay_opens(1h);
    auto config = passive(1);
    config.connection_timeout = Duration::max();
    make_pool(config);
    auto& borrower = borrow();
    EXPECT_FALSE(borrower.answer);

    pass(1h);

    EXPECT_TRUE(borrower.has_connection());
}

TEST_F(ConnectionPoolTest, ACheckThatDoesNotEndTakesNobodysTime) {
    make_pool(2);
    auto& first = borrow();
    borrow().give_back();
    first.give_back();
    run();
    pass(1s);
    factory.delay_checks(1h);
    auto& waiter = borrow();
    EXPECT_EQ(factory.counts().checks, 1u);

    pass(5s); // `validation_timeout`: the other one is checked
    EXPECT_EQ(factory.counts().closes, 1u);
    EXPECT_EQ(factory.counts().checks, 2u);
    pass(5s);

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::invalid), 2u);
}

} // namespace
} // namespace velostream
