// SPDX-License-Identifier: Apache-2.0
// What a connection prepares, keeps, gives up and prepares anew.
#include "database_test.hpp"

namespace velostream::postgres {
namespace {

class PreparedTest : public DatabaseTest {
  protected:
    asio::awaitable<Connection> with_cache_of(std::size_t size) {
        ConnectionConfig config;
        config.dsn = server.socket_dsn();
        config.statement_cache_size = size;
        return connected(std::move(config));
    }
    /// How often the server has prepared this statement and still has it, by what it says itself.
    static asio::awaitable<std::int64_t> at_server(Connection& connection, std::string sql) {
        return value_of<std::int64_t>(connection, "select count(*) from pg_prepared_statements where statement = $1",
                                      std::move(sql));
    }
    /// How many it has, once what was given up for this question has gone, too.
    static asio::awaitable<std::int64_t> all_at_server(Connection& connection) {
        const std::string sql = "select count(*) from pg_prepared_statements";
        co_await ask(connection, sql);
        co_return co_await value_of<std::int64_t>(connection, sql);
    }
};

TEST_F(PreparedTest, AStatementIsPreparedOnceAndFoundByItsText) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const std::string sql = "select $1::int + 1";
        for (int i = 0; i < 5; ++i) {
            EXPECT_EQ(co_await value_of<int>(connection, sql, i), i + 1);
        }
        EXPECT_EQ(co_await at_server(connection, sql), 1);
        EXPECT_EQ(connection.prepared_statements(), 2u) << "and the question about it";
        EXPECT_EQ(co_await value_of<std::int64_t>(
                      connection,
                      "select generic_plans + custom_plans from pg_prepared_statements where statement = $1", sql),
                  5);
    });
}

TEST_F(PreparedTest, TheServerForgetsWhatTheConnectionGivesUp) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await with_cache_of(2);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
        EXPECT_EQ(co_await value_of<int>(connection, "select 2"), 2);
        EXPECT_EQ(co_await at_server(connection, "select 1"), 1) << "it was given up just now, and goes with the next";
        EXPECT_EQ(co_await at_server(connection, "select 1"), 0);
        EXPECT_EQ(co_await all_at_server(connection), 2);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
        EXPECT_EQ(connection.prepared_statements(), 2u);
    });
}

TEST_F(PreparedTest, NothingIsGivenUpWithinATransactionAndATransactionIsNotHarmedByIt) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await with_cache_of(1);
        co_await ask(connection, "begin");
        for (const auto* sql : {"select 1", "select 2", "select 3"}) {
            co_await ask(connection, sql);
        }
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::open);
        co_await ask_badly(connection, "select 1 / 0");
        co_await ask(connection, "rollback");
        EXPECT_EQ(co_await all_at_server(connection), 1);
    });
}

TEST_F(PreparedTest, APipelineOfMoreStatementsThanAreKeptRunsAllOfThem) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await with_cache_of(2);
        std::vector<Statement> statements;
        for (int i = 0; i < 10; ++i) statements.emplace_back("select " + std::to_string(i % 5));
        auto running = connection.pipeline(std::move(statements));
        const auto answers = co_await std::move(running);
        for (std::size_t i = 0; i < 10; ++i) {
            const auto& answer = answers.value()[i];
            EXPECT_TRUE(answer) << answer.error();
            EXPECT_EQ(answer.value()[0].get<int>(0).value(), static_cast<int>(i % 5));
        }
        EXPECT_EQ(connection.prepared_statements(), 2u);
    });
}

TEST_F(PreparedTest, WithoutACacheNothingIsPrepared) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await with_cache_of(0);
        EXPECT_EQ(co_await value_of<int>(connection, "select $1::int", 4), 4);
        EXPECT_EQ(co_await all_at_server(connection), 0);
        EXPECT_EQ(connection.prepared_statements(), 0u);
    });
}

TEST_F(PreparedTest, AStatementThatCannotBePreparedIsNotKept) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const auto table = unique("t");
        EXPECT_EQ(co_await ask_badly(connection, "select * from " + table), SqlState::undefined_table);
        EXPECT_EQ(connection.prepared_statements(), 0u);
        co_await ask(connection, "create temporary table " + table + " (i int)");
        co_await ask(connection, "select * from " + table);
    });
}

TEST_F(PreparedTest, AfterATableChangedItsStatementsGoOn) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t as select 1 as i");
        EXPECT_EQ((co_await ask(connection, "select * from t")).columns(), 1u);
        co_await ask(connection, "alter table t add column j int");
        EXPECT_EQ((co_await ask(connection, "select * from t")).columns(), 2u);
        EXPECT_EQ(co_await at_server(connection, "select * from t"), 1) << "the old one has gone";
    });
}

TEST_F(PreparedTest, WithinATransactionThatIsAnErrorThatTheNextTryCures) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t as select 1 as i");
        co_await ask(connection, "select * from t");
        co_await ask(connection, "begin");
        co_await ask(connection, "alter table t add column j int");
        const auto error = co_await ask_badly(connection, "select * from t");
        EXPECT_EQ(error, PostgresErrc::statement_outdated) << error;
        EXPECT_TRUE(error.passes_with_time());
        co_await ask(connection, "rollback");

        co_await ask(connection, "begin");
        co_await ask(connection, "alter table t add column j int");
        EXPECT_EQ((co_await ask(connection, "select * from t")).columns(), 2u);
        co_await ask(connection, "rollback");
    });
}

TEST_F(PreparedTest, WhoThrowsAwayWhatIsPreparedHarmsNobody) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        for (const auto* sql : {"discard all", "deallocate all", "do $$ begin execute 'deallocate all'; end $$"}) {
            EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
            EXPECT_EQ(co_await value_of<int>(connection, "select 2"), 2);
            co_await ask(connection, sql);
            EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1) << sql;
            EXPECT_EQ(co_await value_of<int>(connection, "select 2"), 2) << sql;
        }
        co_await ask(connection, "begin");
        co_await ask(connection, "do $$ begin execute 'deallocate all'; end $$");
        EXPECT_EQ(co_await ask_badly(connection, "select 1"), PostgresErrc::statement_outdated);
        co_await ask(connection, "rollback");
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

} // namespace
} // namespace velostream::postgres
