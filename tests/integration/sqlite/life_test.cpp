// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <filesystem>
#include <future>
#include <optional>

#include "database_fixture.hpp"
#include "support/no_more_threads.hpp"
#include "velostream/sqlite/connection.hpp"

namespace velostream::sqlite {
namespace {

using namespace std::chrono_literals;

class SqliteLifeTest : public DatabaseTest {
  protected:
    void run_for_a_moment() {
        io_.restart();
        io_.run_for(20ms);
    }
    // Files that SQLite removes when the last connection is closed.
    void wait_until_closed() {
        const auto end = std::chrono::steady_clock::now() + 30s;
        while (std::filesystem::exists(file_ + "-wal") && std::chrono::steady_clock::now() < end) io_.run_for(1ms);
        EXPECT_FALSE(std::filesystem::exists(file_ + "-wal"));
    }
};

TEST_F(SqliteLifeTest, ADestroyedConnectionIsClosed) {
    {
        auto connection = open();
        ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
        EXPECT_TRUE(std::filesystem::exists(file_ + "-wal"));
    }
    wait_until_closed();
}

TEST_F(SqliteLifeTest, AnAssignedConnectionIsClosed) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
    connection = Connection{};
    EXPECT_FALSE(connection.in_transaction());
    wait_until_closed();
}

TEST_F(SqliteLifeTest, CloseWaitsUntilItIs) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
    CallContext call;
    auto closing = [&]() -> asio::awaitable<bool> {
        auto closed = connections_.close(connection, call);
        co_await std::move(closed);
        co_return true;
    };
    EXPECT_TRUE(wait(closing()));
    EXPECT_FALSE(std::filesystem::exists(file_ + "-wal"));
    EXPECT_EQ(wait(connection.query("SELECT 1")).error(), SqliteErrc::connection_closed);
}

TEST_F(SqliteLifeTest, ADestroyedConnectionEndsItsCalls) {
    std::optional<Connection> connection{open()};
    const auto runs = testing::start(io_, connection->query(endless));
    const auto waits = testing::start(io_, connection->query("SELECT 1"));
    run_for_a_moment();
    connection.reset();
    run_until_ended(runs);
    run_until_ended(waits);
    EXPECT_EQ(runs.value().error(), SqliteErrc::connection_closed);
    EXPECT_EQ(waits.value().error(), SqliteErrc::connection_closed);
    wait_until_closed();
}

TEST_F(SqliteLifeTest, ADestroyedConnectionThatWaitsForALockEndsItsCalls) {
    auto first = open();
    ASSERT_TRUE(wait(first.execute_script("CREATE TABLE t (n INT); BEGIN IMMEDIATE")));
    std::optional<Connection> second{open()};
    const auto waits = testing::start(io_, second->execute("INSERT INTO t VALUES (1)"));
    run_for_a_moment();
    ASSERT_FALSE(waits.ended());
    second.reset();
    run_until_ended(waits);
    EXPECT_EQ(waits.value().error(), SqliteErrc::connection_closed);
}

TEST_F(SqliteLifeTest, ADestroyedConnectionRollsBack) {
    {
        auto connection = open();
        ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (n INT); BEGIN; INSERT INTO t VALUES (1)")));
    }
    auto another = open();
    EXPECT_EQ(value_of(another, "SELECT count(*) FROM t"), 0);
    EXPECT_TRUE(wait(another.execute("INSERT INTO t VALUES (2)")));
}

TEST_F(SqliteLifeTest, ConnectionsOutliveTheirFactory) {
    std::optional<Connections> factory{folder_ / "other.db"};
    auto connection = open(*factory);
    factory.reset();
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
}

// What a destroyed context leaves: the connection, which works for another one.
TEST_F(SqliteLifeTest, AContextMayEndWhileACallRunsWaitsOrIsParked) {
    auto first = open();
    auto second = open();
    ASSERT_TRUE(wait(first.execute_script("CREATE TABLE t (n INT); BEGIN IMMEDIATE")));
    for (const auto moment : {0ms, 1ms, 5ms, 20ms}) {
        std::optional<asio::io_context> io{std::in_place};
        const auto parked = testing::start(*io, second.execute("INSERT INTO t VALUES (1)"));
        const auto waits = testing::start(*io, second.query("SELECT 1"));
        const auto runs = testing::start(*io, first.query(endless));
        io->run_for(moment);
        io.reset();
        EXPECT_FALSE(parked.ended());
        EXPECT_FALSE(runs.ended());
    }
    EXPECT_TRUE(first.in_transaction());
    ASSERT_TRUE(wait(first.execute("ROLLBACK")));
    EXPECT_EQ(value_of(second, "SELECT count(*) FROM t"), 0);
}

TEST_F(SqliteLifeTest, AContextThatEndsTakesItsConnectionAlong) {
    for (const auto moment : {0ms, 1ms, 5ms, 20ms}) {
        asio::io_context io;
        auto coroutine = [](Connections& connections) -> asio::awaitable<int> {
            CallContext call;
            auto opening = connections.open(call);
            auto connection = co_await std::move(opening);
            auto query = connection->query(endless);
            const auto result = co_await std::move(query);
            co_return result ? 1 : 2;
        };
        const auto started = testing::start(io, coroutine(connections_));
        io.run_for(moment);
        EXPECT_FALSE(started.ended());
    }
    auto connection = open();
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
}

TEST_F(SqliteLifeTest, AnOpeningMayBeCancelled) {
    for (int i = 0; i < 20; ++i) {
        CallContext call;
        const auto opening = testing::start(io_, connections_.open(call));
        opening.cancel(asio::cancellation_type::terminal);
        run_until_ended(opening);
        EXPECT_TRUE(opening.value() || opening.value().error() == Errc::cancelled);
    }
    auto connection = open();
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
}

TEST_F(SqliteLifeTest, ACallGoesOnOnItsOwnExecutor) {
    auto connection = open();
    asio::thread_pool pool{1};
    auto coroutine = [](Connection& used) -> asio::awaitable<bool> {
        const auto before = std::this_thread::get_id();
        auto query = used.query("SELECT 1");
        const auto result = co_await std::move(query);
        co_return result.has_value() && std::this_thread::get_id() == before;
    };
    EXPECT_TRUE(asio::co_spawn(pool, coroutine(connection), asio::use_future).get());
}

TEST_F(SqliteLifeTest, WithoutThreadsCallsFailAndClosingIsDoneAtOnce) {
    Connections idle{{.path = folder_ / "other.db"}};
    {
        const NoMoreThreads for_a_while;
        CallContext call;
        const auto opened = wait(idle.open(call));
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error(), ErrorType::resource_exhausted);
    }
    auto connection = open(idle);
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
}

TEST_F(SqliteLifeTest, MoreCallsThanMayBePendingAreRefused) {
    Connections few{{.path = file_, .max_pending_calls = 2}};
    auto connection = open(few);
    const auto runs = testing::start(io_, connection.query(endless));
    const auto waits = testing::start(io_, connection.query("SELECT 1"));
    const auto refused = wait(connection.query("SELECT 2"));
    EXPECT_EQ(refused.error(), Errc::bulkhead_full);
    runs.cancel(asio::cancellation_type::terminal);
    run_until_ended(waits);
    EXPECT_TRUE(waits.value());
    EXPECT_EQ(value_of(connection, "SELECT 2"), 2);
}

// What a program of its own has, which ends with it.
struct Program {
    explicit Program(const std::string& file) : connections{{.path = file}} {
        CallContext call;
        const auto opening = testing::start(io, connections.open(call));
        while (!opening.ended()) io.restart(), io.run_one();
        connection = std::move(*opening.value());
        const auto making = testing::start(io, connection.execute("CREATE TABLE t (n INT)"));
        while (!making.ended()) io.restart(), io.run_one();
        runs.emplace(testing::start(io, connection.query(endless)));
    }

    Connections connections;
    asio::io_context io;
    Connection connection;
    std::optional<Started<Result<QueryResult>>> runs;
};

void a_program_that_ends_with_its_statics(const std::string& file) {
    static const Program program{file};
    std::exit(0);
}

void a_program_that_leaves_a_connection_behind(const std::string& file) {
    static const auto& program = *new Program{file};
    static_cast<void>(program);
    std::exit(0);
}

TEST_F(SqliteLifeTest, TheEndOfTheProgramWaitsUntilConnectionsAreClosed) {
    const auto file = file_of_the_test_and_its_program();
    EXPECT_EXIT(a_program_that_ends_with_its_statics(file), ::testing::ExitedWithCode(0), "");
    EXPECT_TRUE(std::filesystem::exists(file));
    EXPECT_FALSE(std::filesystem::exists(file + "-wal"));
}

TEST_F(SqliteLifeTest, TheEndOfTheProgramDoesNotWaitForConnectionsThatAreNotDestroyed) {
    const auto file = file_of_the_test_and_its_program();
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EXIT(a_program_that_leaves_a_connection_behind(file), ::testing::ExitedWithCode(0), "");
    EXPECT_LT(std::chrono::steady_clock::now() - began, 8s) << "it would be 10 s";
}

} // namespace
} // namespace velostream::sqlite
