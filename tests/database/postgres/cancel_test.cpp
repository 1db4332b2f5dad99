// SPDX-License-Identifier: Apache-2.0
// Calls that are cancelled or late, wherever they are: they return at once, and the connection is clean again or
// closed.
#include <boost/asio/detached.hpp>

#include "database_test.hpp"

namespace velostream::postgres {
namespace {

class CancelTest : public DatabaseTest {
  protected:
    /// A call in progress that can be cancelled.
    struct Call {
        asio::cancellation_signal signal;
        std::optional<Error> error; // once it has ended; that of success is none
        bool has_ended = false;
    };
    template <class Operation>
    std::shared_ptr<Call> start(Operation operation) {
        io.restart(); // it may have had nothing to do
        auto call = std::make_shared<Call>();
        auto body = [](Operation run, std::shared_ptr<Call> to) -> asio::awaitable<void> {
            co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
            auto running = run();
            const auto result = co_await std::move(running);
            if (!result) to->error = result.error();
        };
        asio::co_spawn(io, body(std::move(operation), call),
                       asio::bind_cancellation_slot(call->signal.slot(),
                                                    [call](const std::exception_ptr&) { call->has_ended = true; }));
        return call;
    }

    /// How many of this server's processes run a statement with this text in it.
    static asio::awaitable<std::int64_t> running(Connection& watcher, std::string text) {
        return value_of<std::int64_t>(
            watcher,
            "select count(*) from pg_stat_activity where state = 'active' and query like '%' || "
            "$1 || '%' and pid <> pg_backend_pid()",
            std::move(text));
    }
    static asio::awaitable<bool> eventually_running(Connection& watcher, std::string text, std::int64_t wanted) {
        const auto until = now() + 10s;
        for (;;) {
            if (co_await running(watcher, text) == wanted) co_return true;
            if (now() > until) co_return false;
            co_await pause_for(5ms);
        }
    }
};

TEST_F(CancelTest, ACancelledStatementReturnsAtOnceEndsAtTheServerAndLeavesACleanConnection) {
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        run([&, this]() -> asio::awaitable<void> {
            auto watcher = co_await connected();
            auto connection = co_await connected();
            const auto mark = unique("mark");
            const auto call = start([&] { return connection.query("select pg_sleep(60) as " + mark); });
            EXPECT_TRUE(co_await eventually_running(watcher, mark, 1));
            call->signal.emit(kind);
            EXPECT_TRUE(co_await eventually([&] { return call->has_ended; }, 1s));
            EXPECT_EQ(call->error.value(), Errc::cancelled);
            EXPECT_TRUE(call->error->has_unknown_outcome());
            EXPECT_EQ(connection.transaction_status(), TransactionStatus::unknown);
            EXPECT_TRUE(co_await eventually_running(watcher, mark, 0));
            EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
            EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        });
    }
}

TEST_F(CancelTest, TheCancellationNeverHitsTheNextStatement) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        for (int i = 0; i < 200; ++i) {
            const auto call = start([&] { return connection.query("select pg_sleep(0.002)"); });
            co_await pause_for(i % 5 * 1ms);
            call->signal.emit(asio::cancellation_type::terminal);
            EXPECT_TRUE(co_await eventually([&] { return call->has_ended; }));
            EXPECT_EQ(co_await value_of<int>(connection, "select $1::int", i), i);
            co_await ask(connection, "select pg_sleep(0.002)");
        }
    });
}

TEST_F(CancelTest, ADeadlineEndsAStatementInTime) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const auto deadline = now() + 50ms;
        const CallContext call{deadline};
        auto asking = connection.query(call, "select pg_sleep(60)");
        const auto error = (co_await std::move(asking)).error();
        EXPECT_EQ(error, Errc::deadline_exceeded);
        EXPECT_TRUE(error.has_unknown_outcome());
        EXPECT_GE(now(), deadline);
        EXPECT_LT(now(), deadline + 1s) << "a plain machine needs a few milliseconds";
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(CancelTest, WhatIsTooLateBeforeItBeginsIsNotSent) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const CallContext call{now() - 1ms};
        auto asking = connection.query(call, "select 1");
        const auto error = (co_await std::move(asking)).error();
        EXPECT_EQ(error, Errc::deadline_exceeded);
        EXPECT_FALSE(error.has_unknown_outcome());
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
    });
}

TEST_F(CancelTest, AnInterruptedTransactionIsUndoneByAReset) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int)");
        co_await ask(connection, "begin");
        co_await ask(connection, "insert into t values (1)");
        const CallContext call{now() + 20ms};
        auto asking = connection.query(call, "select pg_sleep(60)");
        EXPECT_EQ((co_await std::move(asking)).error(), Errc::deadline_exceeded);
        auto resetting = connection.reset();
        EXPECT_TRUE(co_await std::move(resetting));
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        EXPECT_EQ(co_await ask_badly(connection, "select * from t"), SqlState::undefined_table);
    });
}

TEST_F(CancelTest, APipelineIsInterruptedAsAWhole) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int)");
        std::vector<Statement> statements;
        statements.emplace_back("insert into t values (1)");
        statements.emplace_back("select pg_sleep(60)");
        statements.emplace_back("insert into t values (2)");
        const CallContext call{now() + 30ms};
        auto running = connection.pipeline(std::move(statements), call);
        EXPECT_EQ((co_await std::move(running)).error(), Errc::deadline_exceeded);
        EXPECT_EQ(co_await value_of<std::int64_t>(connection, "select count(*) from t"), 0);
    });
}

TEST_F(CancelTest, ALargeStatementThatIsInterruptedWhileItIsWrittenLeavesACleanConnection) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const std::string large(20'000'000, 'x');
        const auto call = start([&] { return connection.query("select length($1::text), pg_sleep(60)", large); });
        co_await pause_for(1ms);
        call->signal.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return call->has_ended; }, 1s));
        EXPECT_EQ(call->error.value(), Errc::cancelled);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

/// Operations, each cancelled after every number of steps of the context that it takes, and destroyed with it there.
enum class What : std::uint8_t { open, query, pipeline, settle };

class CancelEverywhereTest : public CancelTest, public testing::WithParamInterface<What> {
  protected:
    asio::awaitable<Result<void>> operation(Connection* connection) {
        if (GetParam() == What::open) {
            ConnectionConfig config;
            config.dsn = server.tcp_dsn();
            auto opening = Connection::open(config, CallContext{now() + 60s});
            const auto opened = co_await std::move(opening);
            co_return opened ? Result<void>{} : Result<void>{opened.error()};
        }
        if (GetParam() == What::pipeline) {
            std::vector<Statement> statements;
            for (int i = 0; i < 3; ++i) statements.emplace_back("select pg_sleep(0.001)");
            auto running = connection->pipeline(std::move(statements), CallContext{now() + 60s});
            const auto answers = co_await std::move(running);
            co_return answers ? Result<void>{} : Result<void>{answers.error()};
        }
        auto asking = connection->query(Statement{"select pg_sleep(0.001)"}, CallContext{now() + 60s});
        const auto answer = co_await std::move(asking);
        co_return answer ? Result<void>{} : Result<void>{answer.error()};
    }
    /// Runs handlers until the call has ended, or until so many have run. True if it has ended.
    bool run_steps(const Call& call, int steps) {
        while (!call.has_ended && steps-- > 0) io.run_one();
        return call.has_ended;
    }
    std::optional<Connection> prepared() {
        std::optional<Connection> connection;
        if (GetParam() == What::open) return connection;
        run([&]() -> asio::awaitable<void> {
            connection.emplace(co_await connected());
            if (GetParam() != What::settle) co_return;
            auto asking = connection->query(Statement{"select pg_sleep(60)"}, CallContext{now() + 10ms});
            EXPECT_FALSE(co_await std::move(asking));
        });
        return connection;
    }
};

INSTANTIATE_TEST_SUITE_P(Operations, CancelEverywhereTest,
                         testing::Values(What::open, What::query, What::pipeline, What::settle));

TEST_P(CancelEverywhereTest, TheConnectionIsOfUseAfterwards) {
    for (int steps = 0; steps < 1000; ++steps) {
        auto connection = prepared();
        const auto call = start([&] { return operation(connection ? &*connection : nullptr); });
        const bool is_over = run_steps(*call, steps);
        call->signal.emit(asio::cancellation_type::terminal);
        run([&]() -> asio::awaitable<void> {
            EXPECT_TRUE(co_await eventually([&] { return call->has_ended; }));
            if (call->error) {
                EXPECT_EQ(*call->error, Errc::cancelled);
            }
            if (connection) {
                EXPECT_EQ(co_await value_of<int>(*connection, "select 1"), 1);
                EXPECT_EQ(connection->transaction_status(), TransactionStatus::idle);
            }
        });
        if (is_over || HasFailure()) return;
    }
    FAIL() << "it never ends by itself";
}

TEST_P(CancelEverywhereTest, AContextThatEndsTakesItAlong) {
    for (int steps = 0; steps < 1000; ++steps) {
        bool is_over = false;
        auto body = [&]() -> asio::awaitable<void> {
            std::optional<Connection> connection;
            if (GetParam() != What::open) connection.emplace(co_await connected());
            if (GetParam() == What::settle) {
                auto asking = connection->query(Statement{"select pg_sleep(60)"}, CallContext{now() + 2ms});
                co_await std::move(asking);
            }
            auto running = operation(connection ? &*connection : nullptr);
            const auto result = co_await std::move(running);
            EXPECT_TRUE(result) << result.error();
            is_over = true;
        };
        asio::io_context other;
        asio::co_spawn(other, body(), asio::detached);
        for (int step = 0; step < steps && !is_over; ++step) other.run_one();
        if (is_over || HasFailure()) return;
    }
    FAIL() << "it never ends by itself";
}

} // namespace
} // namespace velostream::postgres
