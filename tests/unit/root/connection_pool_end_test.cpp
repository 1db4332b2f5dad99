// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/consign.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "connection_pool_fixture.hpp"

namespace velostream {
namespace {

// A clock whose sleepers never wake, and which knows whether one was cancelled that Asio had destroyed.
class WatchedTime {
  public:
    TimePoint now() const noexcept { return TimePoint{1h}; }
    TimePoint coarse_now() const noexcept { return now(); }

    void sleep_until(const asio::any_io_executor& executor, TimePoint, SleepHandler handler) {
        const auto timer = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
        ++seen_->sleepers;
        auto cancelled = [seen = seen_, weak = std::weak_ptr{timer}](asio::cancellation_type) {
            if (weak.expired()) seen->touched_a_destroyed_sleeper = true;
        };
        asio::get_associated_cancellation_slot(handler).assign(std::move(cancelled));
        timer->async_wait(
            asio::bind_cancellation_slot(asio::cancellation_slot{}, asio::consign(std::move(handler), timer)));
    }

    struct Seen {
        int sleepers = 0;
        bool touched_a_destroyed_sleeper = false;
    };
    const Seen& seen() const noexcept { return *seen_; }

  private:
    std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
};

TEST_F(ConnectionPoolTest, ItsContextMayEndAfterItWithConnectsUnderWay) {
    const WatchedTime watched;
    {
        asio::io_context ending;
        const ConnectionPoolConfig config{.max_size = 1};
        ConnectionPool<ScriptedConnections, WatchedTime> ended{ending.get_executor(), config, factory, {}, watched};
        factory.delay_opens(1h);
        asio::co_spawn(ending, ended.get_connection(), asio::detached);
        ending.poll();
    }
    EXPECT_EQ(watched.seen().sleepers, 1);
    EXPECT_FALSE(watched.seen().touched_a_destroyed_sleeper);
    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(ConnectionPoolTest, ALeaseMayOutliveThePoolAndItsContext) {
    std::optional<Lease> lease;
    {
        asio::io_context ending;
        Pool ended{asio::make_strand(ending), ConnectionPoolConfig{.max_size = 1}, factory, {}, time};
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
