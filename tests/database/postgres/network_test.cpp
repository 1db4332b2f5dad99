// SPDX-License-Identifier: Apache-2.0
// What networks do to a connection, by a proxy that does it; and that the execution context goes on meanwhile.
#include <algorithm>
#include <boost/asio/detached.hpp>

#include "database_test.hpp"
#include "support/fault_proxy.hpp"

namespace velostream::postgres {
namespace {

class NetworkTest : public DatabaseTest {
  protected:
    void SetUp() override {
        DatabaseTest::SetUp();
        if (!IsSkipped()) proxy.emplace(static_cast<std::uint16_t>(std::stoi(server.port())));
    }
    ConnectionConfig through_proxy(const std::string& mode = "prefer") const {
        ConnectionConfig config;
        config.dsn = server.tcp_dsn();
        config.options = {{"host", "127.0.0.1"}, {"port", proxy->port()}, {"sslmode", mode}};
        return config;
    }
    /// A statement that is under way while `fault` happens.
    template <class Fault>
    asio::awaitable<Error> interrupted_by(Connection& connection, Fault fault) {
        std::optional<Error> error;
        auto slow = [&]() -> asio::awaitable<void> { error = co_await ask_badly(connection, "select pg_sleep(60)"); };
        asio::co_spawn(io, slow(), asio::detached);
        co_await pause_for(50ms);
        fault();
        EXPECT_TRUE(co_await eventually([&] { return error.has_value(); }, 5s));
        co_return error.value();
    }

    std::optional<FaultProxy> proxy;
};

TEST_F(NetworkTest, AResetOrAnEndIsALossWhenNothingWasSentAndElseUnknown) {
    for (const std::string mode : {"disable", "require"})
        for (const bool by_reset : {true, false})
            run([&]() -> asio::awaitable<void> {
                const auto fault = [&] { by_reset ? proxy->reset_all() : proxy->drop_all(); };
                auto idle = co_await connected(through_proxy(mode));
                fault();
                co_await pause_for(20ms);
                EXPECT_EQ(co_await ask_badly(idle, "select 1"), PostgresErrc::connection_lost);
                auto busy = co_await connected(through_proxy(mode));
                EXPECT_EQ(co_await interrupted_by(busy, fault), PostgresErrc::outcome_unknown);
                EXPECT_TRUE(busy.is_broken());
            });
}

TEST_F(NetworkTest, ASlowNetworkIsWaitedFor) {
    run([this]() -> asio::awaitable<void> {
        proxy->delay(20ms);
        auto connection = co_await connected(through_proxy());
        const auto before = now();
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
        EXPECT_GE(now() - before, 40ms) << "there and back";
        EXPECT_LT(now() - before, 70ms + 1s) << "a statement that is new is one round trip, too";
        const std::string large(1'000'000, 'x');
        EXPECT_EQ(co_await value_of<std::string>(connection, "select $1::text", large), large);
    });
}

TEST_F(NetworkTest, InABlackHoleNobodyStaysBeyondHisDeadline) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected(through_proxy());
        proxy->begin_black_hole();
        auto until = now() + 100ms;
        const CallContext call{until};
        auto asking = connection.query(call, "select 1");
        EXPECT_EQ((co_await std::move(asking)).error(), Errc::deadline_exceeded);
        EXPECT_LT(now(), until + 1s);
        until = now() + 100ms;
        auto opening = Connection::open(through_proxy(), CallContext{until});
        EXPECT_EQ((co_await std::move(opening)).error(), Errc::deadline_exceeded);
        EXPECT_LT(now(), until + 1s);

        proxy->end_black_hole();
        auto again = co_await connected(through_proxy());
        EXPECT_EQ(co_await value_of<int>(again, "select 1"), 1);
    });
}

TEST_F(NetworkTest, WhoIsRefusedHearsItAtOnce) {
    run([this]() -> asio::awaitable<void> {
        proxy->refuse();
        auto opening = Connection::open(through_proxy(), CallContext{now() + 30s});
        const auto before = now();
        EXPECT_EQ((co_await std::move(opening)).error(), PostgresErrc::server_unreachable);
        EXPECT_LT(now() - before, 5s);
        proxy->accept_again();
        auto again = co_await connected(through_proxy());
        EXPECT_FALSE(again.is_broken());
    });
}

/// A tick every 10 ms of the context that everything else runs in.
class Ticking {
  public:
    explicit Ticking(asio::io_context& io) : timer_(io) { wait(); }
    ~Ticking() { timer_.cancel(); }
    int count() const { return count_; }
    Duration longest_gap() const { return longest_; }

  private:
    void wait() {
        timer_.expires_after(10ms);
        timer_.async_wait([this](const boost::system::error_code& code) {
            if (code) return;
            ++count_;
            longest_ = std::max(longest_, now() - last_);
            last_ = now();
            wait();
        });
    }
    asio::steady_timer timer_;
    TimePoint last_ = now();
    Duration longest_{};
    int count_ = 0;
};

TEST_F(NetworkTest, TheContextTicksOnDuringEightSlowStatements) {
    run([this]() -> asio::awaitable<void> {
        int ended = 0;
        auto slow = [&]() -> asio::awaitable<void> {
            auto connection = co_await connected(through_proxy());
            co_await ask(connection, "select pg_sleep(5)");
            ++ended;
        };
        const Ticking ticking{io};
        for (int i = 0; i < 8; ++i) asio::co_spawn(io, slow(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return ended == 8; }));
        EXPECT_GE(ticking.count(), 100) << "500 on a machine with nothing else to do";
        EXPECT_LT(ticking.longest_gap(), 4s) << "5 s if one of them holds it up";
    });
}

TEST_F(NetworkTest, TheContextTicksOnDuringAnOutage) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected(through_proxy());
        proxy->begin_black_hole();
        int ended = 0;
        auto in_vain = [&](ConnectionConfig config) -> asio::awaitable<void> {
            auto opening = Connection::open(std::move(config), CallContext{now() + 1s});
            EXPECT_FALSE(co_await std::move(opening));
            ++ended;
        };
        auto cancelled = [&]() -> asio::awaitable<void> {
            const CallContext call{now() + 100ms};
            auto asking = connection.query(call, "select 1");
            EXPECT_FALSE(co_await std::move(asking));
            ++ended;
        };
        auto to_nobody = through_proxy();
        to_nobody.options["host"] = "nobody.invalid";
        const Ticking ticking{io};
        for (int i = 0; i < 8; ++i)
            asio::co_spawn(io, in_vain(i % 2 == 0 ? through_proxy() : to_nobody), asio::detached);
        asio::co_spawn(io, cancelled(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return ended == 9; }));
        EXPECT_GE(ticking.count(), 20) << "a connect that holds it up never ends";
    });
}

} // namespace
} // namespace velostream::postgres
