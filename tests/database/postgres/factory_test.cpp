// SPDX-License-Identifier: Apache-2.0
// Connections as a pool uses them: opened, checked, lent, made clean and closed.
#include "velostream/postgres/connections.hpp"

#include "database_test.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::postgres {
namespace {

class FactoryTest : public DatabaseTest {
  protected:
    asio::awaitable<Connection> opened(SessionReset reset = SessionReset::when_touched) {
        ConnectionConfig config;
        config.dsn = server.socket_dsn();
        config.session_reset = reset;
        return connected(std::move(config));
    }
    static asio::awaitable<void> reset(Connection& connection) {
        auto resetting = connection.reset();
        const auto done = co_await std::move(resetting);
        EXPECT_TRUE(done) << done.error();
    }
};

TEST_F(FactoryTest, APoolLendsThemOneAfterTheOther) {
    run([this]() -> asio::awaitable<void> {
        ConnectionPoolConfig config;
        config.max_size = 1;
        ConnectionPool pool{io.get_executor(), config, Connections{server.socket_dsn()}};
        std::vector<int> processes;
        for (int i = 0; i < 3; ++i) {
            auto lending = pool.get_connection();
            auto lease = co_await std::move(lending);
            EXPECT_TRUE(lease) << lease.error();
            processes.push_back(co_await value_of<int>(**lease, "select pg_backend_pid()"));
            co_await ask(**lease, "begin");
        }
        EXPECT_EQ(processes, std::vector(3, processes.front())) << "one that was left in a transaction is cleaned";
        EXPECT_EQ(pool.get_stats().total, 1u);
    });
}

TEST_F(FactoryTest, TheFactorysOwnCallsDoWhatTheConnectionsDo) {
    run([this]() -> asio::awaitable<void> {
        Connections factory{server.socket_dsn()};
        CallContext call{now() + 20s};
        auto opening = factory.open(call);
        auto connection = co_await std::move(opening);
        EXPECT_TRUE(connection) << connection.error();
        auto checking = factory.check(*connection, call);
        EXPECT_TRUE(co_await std::move(checking));
        co_await ask(*connection, "begin");
        auto resetting = factory.reset(*connection, call);
        EXPECT_TRUE(co_await std::move(resetting));
        EXPECT_EQ(connection->transaction_status(), TransactionStatus::idle);
        auto closing = factory.close(*connection, call);
        co_await std::move(closing);
        EXPECT_TRUE(connection->is_broken());
        auto checking_again = factory.check(*connection, call);
        EXPECT_EQ((co_await std::move(checking_again)).error(), PostgresErrc::connection_lost);
    });
}

TEST_F(FactoryTest, ACheckIsARoundTripThatChangesNothing) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "begin");
        auto checking = connection.check();
        EXPECT_TRUE(co_await std::move(checking));
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::open);
        co_await ask_badly(connection, "select 1 / 0");
        auto in_failed = connection.check();
        EXPECT_TRUE(co_await std::move(in_failed));
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::failed);
    });
}

TEST_F(FactoryTest, AResetUndoesAnOpenAndAFailedTransaction) {
    run([this]() -> asio::awaitable<void> {
        const auto table = unique("t");
        auto connection = co_await connected();
        co_await ask(connection, "begin");
        co_await ask(connection, "create table " + table + " (i int)");
        co_await reset(connection);
        EXPECT_EQ(co_await ask_badly(connection, "select * from " + table), SqlState::undefined_table);
        co_await ask(connection, "begin");
        co_await ask_badly(connection, "select 1 / 0");
        co_await reset(connection);
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(FactoryTest, AResetForgetsWhatASessionWasToldAndKeepsWhatIsPrepared) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
        co_await ask(connection, "set work_mem to '5MB'");
        co_await ask(connection, "create temporary table t (i int)");
        co_await ask(connection, "select pg_advisory_lock(17)");
        co_await ask(connection, "listen news");
        const auto prepared = connection.prepared_statements();
        co_await reset(connection);

        EXPECT_EQ(connection.prepared_statements(), prepared);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
        EXPECT_EQ(co_await value_of<std::string>(connection, "show work_mem"), "4MB");
        EXPECT_EQ(co_await ask_badly(connection, "select * from t"), SqlState::undefined_table);
        EXPECT_EQ(co_await value_of<std::int64_t>(connection, "select count(*) from pg_listening_channels()"), 0);
        EXPECT_EQ(co_await value_of<std::int64_t>(connection,
                                                  "select count(*) from pg_locks where locktype = 'advisory' "
                                                  "and pid = pg_backend_pid()"),
                  0);
        EXPECT_EQ(co_await value_of<std::string>(connection, "show application_name"), "velostream");
    });
}

TEST_F(FactoryTest, WhetherASessionIsResetIsAsConfigured) {
    run([this]() -> asio::awaitable<void> {
        const auto* hidden = "select set_config('work_mem', '5MB', false)"; // a SELECT that touches the session
        for (const auto& [when, expected] : {std::pair{SessionReset::when_touched, "5MB"},
                                             {SessionReset::always, "4MB"},
                                             {SessionReset::never, "5MB"}}) {
            auto connection = co_await opened(when);
            co_await ask(connection, hidden);
            co_await reset(connection);
            EXPECT_EQ(co_await value_of<std::string>(connection, "show work_mem"), expected);
        }
        auto never = co_await opened(SessionReset::never);
        co_await ask(never, "set work_mem to '5MB'");
        co_await ask(never, "begin");
        co_await reset(never);
        EXPECT_EQ(co_await value_of<std::string>(never, "show work_mem"), "5MB");
        EXPECT_EQ(never.transaction_status(), TransactionStatus::idle) << "it is rolled back in any case";
    });
}

} // namespace
} // namespace velostream::postgres
