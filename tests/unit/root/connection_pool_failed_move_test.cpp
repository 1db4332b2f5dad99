// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "support/run_coroutine.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// A factory whose connections may throw when they are moved, at the move it is told.
class UnmovableConnections {
  public:
    struct Script {
        int moves = 0;
        int moves_until_throw = 0; // 0: none throws
        int alive = 0;
    };

    class Connection {
      public:
        explicit Connection(std::shared_ptr<Script> script) : script_(std::move(script)) { ++script_->alive; }
        Connection(Connection&& other) : script_(other.script_) {
            ++script_->moves;
            if (script_->moves == script_->moves_until_throw) throw std::runtime_error{"cannot be moved"};
            ++script_->alive;
        }
        Connection& operator=(Connection&&) = delete;
        ~Connection() { --script_->alive; }

      private:
        std::shared_ptr<Script> script_;
    };

    explicit UnmovableConnections(std::shared_ptr<Script> script) : script_(std::move(script)) {}

    asio::awaitable<Result<Connection>> open(CallContext&) { co_return Connection{script_}; }
    asio::awaitable<Result<void>> check(Connection&, CallContext&) { co_return Result<void>{}; }
    asio::awaitable<Result<void>> reset(Connection&, CallContext&) { co_return Result<void>{}; }
    asio::awaitable<void> close(Connection&, CallContext&) { co_return; }

  private:
    std::shared_ptr<Script> script_;
};

class FailedMoveTest : public ::testing::Test {
  protected:
    using Pool = ConnectionPool<UnmovableConnections, testing::ManualTime>;

    Pool pool_of_one() {
        const ConnectionPoolConfig config{.max_size = 1,
                                          .min_idle = 0,
                                          .connection_timeout = 30s,
                                          .idle_timeout = std::nullopt,
                                          .max_lifetime = std::nullopt};
        return Pool{io.get_executor(), config, UnmovableConnections{script}, {.places = places}, time};
    }

    asio::io_context io;
    testing::ManualTime time;
    const MemoryAccount places{"connections", 1};
    std::shared_ptr<UnmovableConnections::Script> script = std::make_shared<UnmovableConnections::Script>();
};

TEST_F(FailedMoveTest, AConnectionThatCannotBeMovedIsAFailedConnectWhoseCauseIsTheException) {
    auto pool = pool_of_one();
    script->moves_until_throw = 1;

    const auto borrowed = run(io, time, pool.get_connection());

    ASSERT_TRUE(borrowed.has_error());
    EXPECT_EQ(borrowed.error(), Errc::connect_failed);
    ASSERT_TRUE(borrowed.error().inner());
    EXPECT_EQ(*borrowed.error().inner(), Errc::operation_failed);
    EXPECT_EQ(script->alive, 0);
}

TEST_F(FailedMoveTest, WhicheverMoveFailsThePlaceComesBack) {
    auto pool = pool_of_one();
    run(io, time, pool.get_connection()).value().mark_broken(); // closed again
    io.restart();
    io.poll();
    const int moves = script->moves;
    ASSERT_GT(moves, 1);

    for (int failing = 1; failing <= moves; ++failing) {
        *script = {.moves_until_throw = failing};
        EXPECT_EQ(run(io, time, pool.get_connection()).error(), Errc::connect_failed) << failing;
        const auto stats = pool.get_stats();
        EXPECT_EQ(stats.total, 0u) << failing;
        EXPECT_EQ(stats.connecting, 0u) << failing;
        EXPECT_EQ(places.used(), 0u) << failing;
        EXPECT_EQ(script->alive, 0) << failing;
        time.advance(250ms); // until somebody who comes is not refused for this failure
    }

    *script = {};
    EXPECT_TRUE(run(io, time, pool.get_connection()));
}

} // namespace
} // namespace velostream
