// SPDX-License-Identifier: Apache-2.0
// A pool of connections to a real server that is stopped, killed and hung, refuses, and ends sessions: each borrower
// has an answer in time, and the pool is well again soon after the server is.
#include <boost/asio/detached.hpp>

#include "database_test.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/postgres/connections.hpp"

namespace velostream::postgres {
namespace {

using Pool = ConnectionPool<Connections>;

class PostgresPoolTest : public DatabaseTest {
  protected:
    static ConnectionPoolConfig few(std::size_t connections = 2) {
        return {.max_size = connections, .min_idle = 0, .connection_timeout = 2s, .connect_timeout = 5s};
    }
    static Connections to(const std::string& dsn) { return Connections{dsn}; }

    /// Borrows one and asks the server something. The error of whichever failed.
    static asio::awaitable<std::optional<Error>> works(Pool& pool) {
        auto borrowing = pool.get_connection();
        auto connection = co_await std::move(borrowing);
        if (!connection) co_return connection.error();
        auto asking = (*connection)->query("select 1");
        const auto answer = co_await std::move(asking);
        if (!answer) {
            connection->mark_broken();
            co_return answer.error();
        }
        co_return std::nullopt;
    }
    /// Until it works again.
    static asio::awaitable<Duration> recovery(Pool& pool, Duration limit = 10s) {
        const auto since = now();
        for (;;) {
            auto trying = works(pool);
            const auto error = co_await std::move(trying);
            if (!error || now() > since + limit) break;
            co_await pause_for(10ms);
        }
        co_return now() - since;
    }
};

TEST_F(PostgresPoolTest, LendsSessionsAgainWithoutAskingTheServerWhereNothingIsLeftInThem) {
    Pool pool{io.get_executor(), few(1), to(server.socket_dsn())};
    run([&]() -> asio::awaitable<void> {
        int process = 0;
        for (int round = 0; round < 3; ++round) {
            auto borrowing = pool.get_connection();
            auto lease = co_await std::move(borrowing);
            if (round > 0) {
                EXPECT_EQ((*lease)->server_process(), process);
            }
            process = (*lease)->server_process();
            co_await ask(**lease, "select 1");
            lease->give_back();
            EXPECT_EQ(pool.get_stats().idle, 1u); // already: it needed no reset
        }
        EXPECT_EQ(pool.get_stats().created, 1u);
    });
}

TEST_F(PostgresPoolTest, TheNextBorrowerFindsNeitherTheTransactionNorTheSettingsOfTheLast) {
    Pool pool{io.get_executor(), few(1), to(server.socket_dsn())};
    run([&]() -> asio::awaitable<void> {
        auto borrowing = pool.get_connection();
        auto lease = co_await std::move(borrowing);
        co_await ask(**lease, "set work_mem = '1234kB'");
        co_await ask(**lease, "begin");
        lease->give_back();

        auto again = pool.get_connection();
        auto next = co_await std::move(again);
        EXPECT_EQ((*next)->transaction_status(), TransactionStatus::idle);
        EXPECT_NE(co_await value_of<std::string>(**next, "show work_mem"), "1234kB");
        EXPECT_EQ(pool.get_stats().created, 1u);
    });
}

TEST_F(PostgresPoolTest, ASessionThatTheServerEndedIsReplacedBeforeAnybodyGetsIt) {
    Pool pool{io.get_executor(), few(1), to(server.socket_dsn())};
    run([&]() -> asio::awaitable<void> {
        auto watcher = co_await connected();
        auto borrowing = pool.get_connection();
        auto lease = co_await std::move(borrowing);
        const int process = (*lease)->server_process();
        lease->give_back();
        EXPECT_TRUE(co_await value_of<bool>(watcher, "select pg_terminate_backend($1, 5000)", process));
        co_await pause_for(600ms); // longer than `validation_window`

        auto trying = works(pool);
        const auto error = co_await std::move(trying);
        EXPECT_FALSE(error) << *error;
        EXPECT_EQ(pool.get_stats().closed_for(PoolClosing::invalid), 1u);
    });
}

TEST_F(PostgresPoolTest, AServerThatIsStoppedIsNamedAtOnceAndUsedAgainSoonAfterItIsBack) {
    const OwnServer own{folder()};
    Pool pool{io.get_executor(), few(), to(own.tcp_dsn())};
    run([&]() -> asio::awaitable<void> {
        auto first = works(pool);
        EXPECT_FALSE(co_await std::move(first));
        own.command("stop");
        co_await pause_for(600ms);

        auto trying = works(pool);
        const auto before = now();
        const auto error = co_await std::move(trying);
        EXPECT_TRUE(error);
        EXPECT_EQ(*error, Errc::connect_failed) << *error;
        EXPECT_EQ(*error->inner(), PostgresErrc::server_unreachable) << *error;
        EXPECT_LT(now() - before, 2s);

        own.command("restart");
        auto recovering = recovery(pool);
        EXPECT_LT(co_await std::move(recovering), 5s);
    });
}

TEST_F(PostgresPoolTest, AServerThatIsKilledIsUsedAgainSoonAfterItIsBack) {
    const OwnServer own{folder()};
    Pool pool{io.get_executor(), few(), to(own.tcp_dsn())};
    run([&]() -> asio::awaitable<void> {
        auto first = works(pool);
        EXPECT_FALSE(co_await std::move(first));
        own.command("kill");
        auto trying = works(pool);
        const auto error = co_await std::move(trying); // the session that was idle just now, or the connect after it
        EXPECT_TRUE(error);

        own.command("restart");
        auto recovering = recovery(pool);
        EXPECT_LT(co_await std::move(recovering), 5s);
    });
}

TEST_F(PostgresPoolTest, AServerThatHangsKeepsNoBorrowerBeyondHisTimeAndIsUsedAgainSoonAfterItGoesOn) {
    const OwnServer own{folder()};
    auto config = few(4);
    config.connection_timeout = 500ms;
    Pool pool{io.get_executor(), config, to(own.tcp_dsn())};
    run([&]() -> asio::awaitable<void> {
        auto first = works(pool);
        EXPECT_FALSE(co_await std::move(first));
        own.command("pause");
        co_await pause_for(600ms);
        int done = 0;
        auto borrower = [&]() -> asio::awaitable<void> {
            const auto before = now();
            auto borrowing = pool.get_connection();
            const auto lease = co_await std::move(borrowing);
            EXPECT_TRUE(lease.has_error());
            EXPECT_EQ(lease.error(), Errc::pool_timeout) << lease.error();
            EXPECT_LT(now() - before, 1500ms);
            ++done;
        };
        for (int count = 0; count < 10; ++count) asio::co_spawn(io, borrower(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return done == 10; }, 10s));

        own.command("resume");
        auto recovering = recovery(pool);
        EXPECT_LT(co_await std::move(recovering), 5s);
    });
}

TEST_F(PostgresPoolTest, WhereTheServerHasNoMoreSessionsThoseThatThereAreServeAll) {
    const OwnServer own{folder(), "max_connections=2"};
    Pool pool{io.get_executor(), few(5), to(own.tcp_dsn())};
    run([&]() -> asio::awaitable<void> {
        int served = 0;
        auto borrower = [&]() -> asio::awaitable<void> {
            auto borrowing = pool.get_connection();
            auto lease = co_await std::move(borrowing);
            EXPECT_TRUE(lease) << lease.error();
            if (!lease) co_return;
            co_await ask(**lease, "select pg_sleep(0.01)");
            ++served;
        };
        auto warm = works(pool); // the first session is there before others are refused
        EXPECT_FALSE(co_await std::move(warm));
        for (int count = 0; count < 20; ++count) asio::co_spawn(io, borrower(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return served == 20; }, 10s));
        EXPECT_LE(pool.get_stats().total, 5u);
        EXPECT_GE(pool.get_stats().connect_failures, 1u);
        EXPECT_FALSE(pool.get_stats().is_misconfigured);
    });
}

TEST_F(PostgresPoolTest, AWrongPasswordIsToldAtOnceAndNotTriedAgainAndAgain) {
    Pool pool{io.get_executor(), few(), to(server.tcp_dsn() + " password=wrong")};
    run([&]() -> asio::awaitable<void> {
        for (int count = 0; count < 20; ++count) {
            auto trying = works(pool);
            const auto error = co_await std::move(trying);
            EXPECT_TRUE(error);
            EXPECT_EQ(*error, Errc::connect_failed) << *error;
            EXPECT_EQ(error->inner()->type(), ErrorType::authentication) << *error;
            EXPECT_EQ(error->message().find("wrong"), std::string::npos) << *error;
        }
        EXPECT_TRUE(pool.get_stats().is_misconfigured);
        EXPECT_LE(pool.get_stats().connect_failures, 2u); // an account is not locked out
    });
}

TEST_F(PostgresPoolTest, NothingKeepsTheThreadWhileQueriesAreSlow) {
    Pool pool{io.get_executor(), few(8), to(server.socket_dsn())};
    run([&]() -> asio::awaitable<void> {
        int done = 0, ticks = 0;
        auto slow = [&]() -> asio::awaitable<void> {
            auto borrowing = pool.get_connection();
            auto lease = co_await std::move(borrowing);
            co_await ask(**lease, "select pg_sleep(5)");
            ++done;
        };
        auto tick = [&]() -> asio::awaitable<void> {
            while (done < 8) {
                co_await pause_for(10ms);
                ++ticks;
            }
        };
        for (int count = 0; count < 8; ++count) asio::co_spawn(io, slow(), asio::detached);
        asio::co_spawn(io, tick(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return done == 8; }, 30s));
        EXPECT_GE(ticks, 100); // of some 500: one blocking call would leave next to none
        EXPECT_EQ(pool.get_stats().created, 8u);
    });
}

} // namespace
} // namespace velostream::postgres
