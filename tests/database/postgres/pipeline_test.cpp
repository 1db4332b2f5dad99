// SPDX-License-Identifier: Apache-2.0
// Several statements in one round trip: each has its answer, whatever becomes of the others.
#include "database_test.hpp"

namespace velostream::postgres {
namespace {

class PipelineTest : public DatabaseTest {
  protected:
    template <class... Sql>
    static asio::awaitable<PipelineResults> pipeline(Connection& connection, Sql... sql) {
        std::vector<Statement> statements;
        (statements.emplace_back(sql), ...);
        auto running = connection.pipeline(std::move(statements));
        auto answers = co_await std::move(running);
        EXPECT_TRUE(answers) << answers.error();
        co_return std::move(answers.value());
    }
    static asio::awaitable<std::int64_t> rows_of(Connection& connection, std::string table) {
        return value_of<std::int64_t>(connection, "select count(*) from " + table);
    }
};

TEST_F(PipelineTest, EveryStatementHasItsAnswerInItsPlace) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        std::vector<Statement> statements;
        for (int i = 0; i < 500; ++i) statements.emplace_back("select $1::int, repeat('x', $1)", i);
        auto running = connection.pipeline(std::move(statements));
        const auto answers = co_await std::move(running);
        EXPECT_EQ(answers.value().size(), 500u);
        for (int i = 0; i < 500; ++i) {
            const auto row = answers.value()[static_cast<std::size_t>(i)].value()[0];
            EXPECT_EQ(row.get<int>(0).value(), i);
            EXPECT_EQ(row.get<std::string_view>(1).value().size(), static_cast<std::size_t>(i));
        }
        EXPECT_EQ(connection.prepared_statements(), 1u);
    });
}

TEST_F(PipelineTest, AnEmptyOneIsARoundTripOfNothing) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        EXPECT_EQ((co_await pipeline(connection)).size(), 0u);
        EXPECT_EQ((co_await pipeline(connection, "")).at(0).value().size(), 0u) << "an empty statement";
    });
}

TEST_F(PipelineTest, AnErrorInTheMiddleUndoesAllAndTheConnectionStaysWell) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int primary key)");
        const auto answers = co_await pipeline(connection, "insert into t values (1)", "insert into t values (1)",
                                               "insert into t values (2)", "selec");
        EXPECT_TRUE(answers[0]);
        EXPECT_EQ(answers[1].error(), SqlState::unique_violation);
        EXPECT_EQ(answers[2].error(), PostgresErrc::pipeline_aborted);
        EXPECT_EQ(answers[3].error(), PostgresErrc::pipeline_aborted);
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        EXPECT_EQ(co_await rows_of(connection, "t"), 0);
        const auto again = co_await pipeline(connection, "insert into t values (1)", "insert into t values (2)");
        EXPECT_TRUE(again[0] && again[1]);
        EXPECT_EQ(co_await rows_of(connection, "t"), 2);
    });
}

TEST_F(PipelineTest, WhatWasCommittedBeforeTheErrorStays) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int primary key)");
        const auto answers = co_await pipeline(connection, "begin", "insert into t values (1)", "commit", "begin",
                                               "insert into t values (2)", "select 1 / 0", "commit");
        EXPECT_TRUE(answers[4]);
        EXPECT_FALSE(answers[5]);
        EXPECT_EQ(answers[6].error(), PostgresErrc::pipeline_aborted);
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::failed);
        co_await ask(connection, "rollback");
        EXPECT_EQ(co_await rows_of(connection, "t"), 1);
    });
}

TEST_F(PipelineTest, AnErrorAtTheEndOfTheTransactionIsEveryStatements) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int unique deferrable initially deferred)");
        const auto answers = co_await pipeline(connection, "insert into t values (1)", "insert into t values (1)");
        EXPECT_EQ(answers[0].error(), SqlState::unique_violation);
        EXPECT_EQ(answers[1].error(), SqlState::unique_violation);
        EXPECT_EQ(co_await rows_of(connection, "t"), 0);
        EXPECT_EQ(co_await ask_badly(connection, "insert into t values (2), (2)"), SqlState::unique_violation)
            << "of a single one, too, though the server has said how many rows it inserted";
    });
}

TEST_F(PipelineTest, APreparationThatFailsIsTheStatementsOwnError) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const auto answers = co_await pipeline(connection, "select 1", "selec 2", "select 3");
        EXPECT_TRUE(answers[0]);
        EXPECT_EQ(answers[1].error(), SqlState::syntax_error);
        EXPECT_EQ(answers[2].error(), PostgresErrc::pipeline_aborted);
        EXPECT_EQ(connection.prepared_statements(), 1u);
        const auto again = co_await pipeline(connection, "select 1", "select 3");
        EXPECT_TRUE(again[0] && again[1]);
    });
}

} // namespace
} // namespace velostream::postgres
