// SPDX-License-Identifier: Apache-2.0
// Servers that are stopped, killed and hung, and sessions that are ended: what a call says then, and when.
#include <signal.h>

#include <boost/asio/detached.hpp>

#include "database_test.hpp"

namespace velostream::postgres {
namespace {

class FaultTest : public DatabaseTest {
  protected:
    asio::awaitable<Connection> connected_to(const Server& to, CallContext call = {}) {
        ConnectionConfig config;
        config.dsn = to.tcp_dsn();
        auto opening = Connection::open(config, call);
        auto opened = co_await std::move(opening);
        EXPECT_TRUE(opened) << opened.error();
        co_return std::move(opened.value());
    }

    /// A statement that is under way while `fault` happens.
    template <class Fault>
    asio::awaitable<Error> interrupted_by(Connection& connection, Fault fault) {
        std::optional<Error> error;
        auto slow = [&]() -> asio::awaitable<void> { error = co_await ask_badly(connection, "select pg_sleep(60)"); };
        asio::co_spawn(io, slow(), asio::detached);
        co_await pause_for(100ms);
        fault();
        EXPECT_TRUE(co_await eventually([&] { return error.has_value(); }, 10s));
        co_return error.value();
    }
};

TEST_F(FaultTest, ASessionThatIsEndedWhileItIsIdleIsLostWithItsReason) {
    run([this]() -> asio::awaitable<void> {
        auto watcher = co_await connected();
        auto connection = co_await connected();
        EXPECT_TRUE(
            co_await value_of<bool>(watcher, "select pg_terminate_backend($1, 5000)", connection.server_process()));
        const auto error = co_await ask_badly(connection, "select 1");
        EXPECT_EQ(error, PostgresErrc::connection_lost) << error;
        EXPECT_EQ(error.inner()->code(), make_error_code(SqlState::admin_shutdown)) << error;
        EXPECT_TRUE(error.passes_with_time());
        EXPECT_TRUE(connection.is_broken());
        auto checking = connection.check();
        EXPECT_EQ((co_await std::move(checking)).error(), PostgresErrc::connection_lost);
    });
}

TEST_F(FaultTest, ASessionThatIsEndedUnderAStatementHasUndoneIt) {
    run([this]() -> asio::awaitable<void> {
        auto watcher = co_await connected();
        auto connection = co_await connected();
        const auto end = [&] {
            auto ending = [&]() -> asio::awaitable<void> {
                co_await ask(watcher, "select pg_terminate_backend($1)", connection.server_process());
            };
            asio::co_spawn(io, ending(), asio::detached);
        };
        const auto error = co_await interrupted_by(connection, end);
        EXPECT_EQ(error, SqlState::admin_shutdown) << error;
        EXPECT_TRUE(error.passes_with_time());
        EXPECT_TRUE(connection.is_broken());
    });
}

TEST_F(FaultTest, AServerThatIsStoppedAndStartedAgain) {
    const OwnServer own{folder()};
    run([&]() -> asio::awaitable<void> {
        auto busy = co_await connected_to(own);
        auto idle = co_await connected_to(own);
        const auto error = co_await interrupted_by(busy, [&] { own.command("stop"); });
        EXPECT_EQ(error, SqlState::admin_shutdown) << error;
        EXPECT_EQ((co_await ask_badly(idle, "select 1")), PostgresErrc::connection_lost);

        ConnectionConfig config;
        config.dsn = own.tcp_dsn();
        auto opening = Connection::open(config);
        const auto refused = co_await std::move(opening);
        EXPECT_EQ(refused.error(), PostgresErrc::server_unreachable);

        own.command("restart");
        auto again = co_await connected_to(own);
        EXPECT_EQ(co_await value_of<int>(again, "select 1"), 1);
    });
}

TEST_F(FaultTest, AServerThatIsKilledLeavesTheOutcomeUnknown) {
    const OwnServer own{folder()};
    run([&]() -> asio::awaitable<void> {
        auto busy = co_await connected_to(own);
        auto idle = co_await connected_to(own);
        const auto error = co_await interrupted_by(busy, [&] { own.command("kill"); });
        EXPECT_EQ(error, PostgresErrc::outcome_unknown) << error;
        EXPECT_EQ(error.type(), ErrorType::outcome_unknown);
        EXPECT_FALSE(error.passes_with_time());
        EXPECT_TRUE(error.passes_with_repetition());
        const auto lost = co_await ask_badly(idle, "select 1");
        EXPECT_EQ(lost, PostgresErrc::connection_lost) << lost;
        EXPECT_EQ(lost.type(), ErrorType::network);
        own.command("restart");
        auto again = co_await connected_to(own);
        EXPECT_EQ(co_await value_of<int>(again, "select 1"), 1);
    });
}

TEST_F(FaultTest, ACrashOfAnotherSessionLeavesTheOutcomeUnknownAndIsNamed) {
    const OwnServer own{folder()};
    run([&]() -> asio::awaitable<void> {
        auto connection = co_await connected_to(own);
        auto victim = co_await connected_to(own);
        const auto error = co_await interrupted_by(connection, [&] { ::kill(victim.server_process(), SIGKILL); });
        EXPECT_EQ(error, PostgresErrc::outcome_unknown) << error;
        EXPECT_EQ(error.inner()->inner()->code(), make_error_code(SqlState::crash_shutdown)) << error;
    });
}

TEST_F(FaultTest, AServerThatHangsKeepsNobodyBeyondADeadlineAndSessionsGoOnAfterwards) {
    const OwnServer own{folder()};
    run([&]() -> asio::awaitable<void> {
        auto connection = co_await connected_to(own);
        own.command("pause");
        auto until = now() + 200ms;
        const CallContext call{until};
        auto asking = connection.query(call, "select 1");
        EXPECT_EQ((co_await std::move(asking)).error(), Errc::deadline_exceeded);
        EXPECT_LT(now(), until + 1s);

        until = now() + 200ms;
        const CallContext second{until};
        auto checking = connection.check(second);
        EXPECT_EQ((co_await std::move(checking)).error(), Errc::deadline_exceeded);
        EXPECT_LT(now(), until + 1s);

        until = now() + 200ms;
        ConnectionConfig config;
        config.dsn = own.tcp_dsn();
        auto opening = Connection::open(config, CallContext{until});
        EXPECT_EQ((co_await std::move(opening)).error(), Errc::deadline_exceeded);
        EXPECT_LT(now(), until + 1s);

        own.command("resume");
        auto checking_again = connection.check();
        EXPECT_TRUE(co_await std::move(checking_again));
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(FaultTest, AnInterruptedSessionThatDoesNotBecomeCleanIsClosed) {
    const OwnServer own{folder()};
    run([&]() -> asio::awaitable<void> {
        auto connection = co_await connected_to(own);
        own.command("pause");
        const CallContext call{now() + 50ms};
        auto asking = connection.query(call, "select 1");
        EXPECT_EQ((co_await std::move(asking)).error(), Errc::deadline_exceeded);
        const auto before = now();
        const auto error = co_await ask_badly(connection, "select 1");
        EXPECT_EQ(error, PostgresErrc::connection_lost) << error;
        EXPECT_FALSE(error.has_unknown_outcome());
        EXPECT_GE(now() - before, 8s);
        EXPECT_LT(now() - before, 20s);
        EXPECT_TRUE(connection.is_broken());
        own.command("resume");
    });
}

} // namespace
} // namespace velostream::postgres
