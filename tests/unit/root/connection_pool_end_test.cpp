// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "connection_pool_fixture.hpp"
#include "support/user_time.hpp"

namespace velostream {
namespace {

TEST_F(ConnectionPoolTest, ItsContextMayEndAfterItWithConnectsUnderWay) {
    const testing::UserTime watched;
    {
        asio::io_context ending;
        const auto config = passive(1);
        ConnectionPool<ScriptedConnections, testing::UserTime> ended{
            ending.get_executor(), config, factory, {}, watched};
        factory.delay_opens(1h);
        asio::co_spawn(ending, ended.get_connection(), asio::detached);
        ending.poll();
    }
    EXPECT_GE(watched.sleepers(), 1);
    EXPECT_FALSE(watched.touched_a_destroyed_sleeper());
    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(ConnectionPoolTest, ALeaseMayOutliveThePoolAndItsContext) {
    std::optional<Lease> lease;
    {
        asio::io_context ending;
        Pool ended{asio::make_strand(ending), passive(1), factory, {}, time};
        auto keep = [&lease](std::exception_ptr, Result<Lease> borrowed) { lease = std::move(*borrowed); };
        asio::co_spawn(ending, ended.get_connection(), keep);
        ending.poll();
        ASSERT_TRUE(lease);
    }
    EXPECT_EQ(factory.counts().alive, 1u);

    lease->give_back();

    EXPECT_EQ(factory.counts().alive, 0u);
    EXPECT_EQ(factory.counts().resets, 0u);
}

} // namespace
} // namespace velostream
