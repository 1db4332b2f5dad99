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

TEST_F(ConnectionPoolTest, WhoGotAStaleConnectionKeepsItsTurn) {
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

} // namespace
} // namespace velostream
