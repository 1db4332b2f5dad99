// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connections.hpp"

#include <filesystem>
#include <optional>

#include "database_fixture.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::sqlite {
namespace {

class SqliteConnectionsTest : public DatabaseTest {
  protected:
    Result<void> check(Connection& connection) {
        CallContext call;
        return wait(connections_.check(connection, call));
    }
    Result<void> reset(Connection& connection) {
        CallContext call;
        return wait(connections_.reset(connection, call));
    }
};

TEST_F(SqliteConnectionsTest, SetsWhatTheConfigurationSays) {
    auto usual = open();
    EXPECT_EQ(value_of<std::string>(usual, "PRAGMA journal_mode"), "wal");
    EXPECT_EQ(value_of(usual, "PRAGMA synchronous"), 1);
    EXPECT_EQ(value_of(usual, "PRAGMA foreign_keys"), 1);

    Connections others{{.path = folder_ / "other.db",
                        .journal_mode = JournalMode::rollback,
                        .synchronous = Synchronous::extra,
                        .foreign_keys = false}};
    auto other = open(others);
    EXPECT_EQ(value_of<std::string>(other, "PRAGMA journal_mode"), "delete");
    EXPECT_EQ(value_of(other, "PRAGMA synchronous"), 3);
    EXPECT_EQ(value_of(other, "PRAGMA foreign_keys"), 0);
    EXPECT_TRUE(wait(other.execute("CREATE TABLE t (n INT)")));
}

TEST_F(SqliteConnectionsTest, AllConnectionsShareADatabaseInMemory) {
    Connections memory{ConnectionConfig{}};
    {
        auto first = open(memory);
        ASSERT_TRUE(wait(first.execute_script("CREATE TABLE t (n INT); INSERT INTO t VALUES (1)")));
    }
    auto second = open(memory);
    auto third = open(memory);
    EXPECT_EQ(value_of(second, "SELECT n FROM t"), 1) << "also while nobody was connected";
    ASSERT_TRUE(wait(second.execute("INSERT INTO t VALUES (2)")));
    EXPECT_EQ(value_of(third, "SELECT count(*) FROM t"), 2);

    Connections another{ConnectionConfig{}};
    auto elsewhere = open(another);
    EXPECT_EQ(wait(elsewhere.query("SELECT n FROM t")).error(), SqliteErrc::invalid_statement);
}

TEST_F(SqliteConnectionsTest, WritersOfADatabaseInMemoryWaitForEachOther) {
    Connections memory{ConnectionConfig{}};
    auto first = open(memory);
    auto second = open(memory);
    ASSERT_TRUE(wait(first.execute_script("CREATE TABLE t (n INT); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")));
    const auto waiting = testing::start(io_, second.execute("INSERT INTO t VALUES (2)"));
    io_.restart();
    io_.run_for(std::chrono::milliseconds{20});
    ASSERT_FALSE(waiting.ended()) << waiting.value().error();
    ASSERT_TRUE(wait(first.execute("COMMIT")));
    run_until_ended(waiting);
    EXPECT_EQ(value_of(first, "SELECT count(*) FROM t"), 2);
}

TEST_F(SqliteConnectionsTest, ADatabaseInMemoryMayBeReadOnly) {
    Connections memory{{.read_only = true}};
    auto connection = open(memory);
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
    EXPECT_EQ(wait(connection.execute("CREATE TABLE t (n INT)")).error(), SqliteErrc::read_only);
}

TEST_F(SqliteConnectionsTest, CheckFindsAFileThatIsGone) {
    auto connection = open();
    EXPECT_TRUE(check(connection));
    std::filesystem::rename(file_, file_ + ".moved");
    const auto moved = check(connection);
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error(), SqliteErrc::read_only_moved);
}

TEST_F(SqliteConnectionsTest, ResetRollsBack) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (n INT); BEGIN; INSERT INTO t VALUES (1)")));
    EXPECT_TRUE(reset(connection));
    EXPECT_FALSE(connection.in_transaction());
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 0);
    EXPECT_TRUE(reset(connection)) << "there is nothing left to do";
}

TEST_F(SqliteConnectionsTest, ResetRefusesWhatABorrowerHasChanged) {
    const std::string changes[]{"PRAGMA foreign_keys=OFF", "CREATE TEMP TABLE mine (n INT)",
                                "ATTACH '" + folder_ / "other.db" + "' AS other", "PRAGMA query_only(1)"};
    for (const auto& sql : changes) {
        auto connection = open();
        ASSERT_TRUE(wait(connection.execute(sql))) << sql;
        const auto result = reset(connection);
        ASSERT_FALSE(result) << sql;
        EXPECT_EQ(result.error(), SqliteErrc::settings_changed);
    }
    auto connection = open();
    for (const auto* sql : {"PRAGMA table_info(sqlite_schema)", "PRAGMA foreign_keys", "PRAGMA wal_checkpoint(PASSIVE)",
                            "PRAGMA user_version=7", "CREATE TABLE t (n INT)"}) {
        ASSERT_TRUE(wait(connection.execute(sql))) << sql;
        EXPECT_TRUE(reset(connection)) << sql;
    }
}

// A borrower of a pool that leaves a transaction, and one that leaves a setting.
TEST_F(SqliteConnectionsTest, APoolLendsCleanConnections) {
    ConnectionPool pool{io_.get_executor(), ConnectionPoolConfig{.max_size = 1}, connections_};
    {
        auto lease = wait(pool.get_connection()).value();
        ASSERT_TRUE(wait(lease->execute_script("CREATE TABLE t (n INT); BEGIN; INSERT INTO t VALUES (1)")));
    }
    {
        auto lease = wait(pool.get_connection()).value();
        EXPECT_FALSE(lease->in_transaction());
        EXPECT_EQ(value_of(*lease, "SELECT count(*) FROM t"), 0);
        ASSERT_TRUE(wait(lease->execute("PRAGMA foreign_keys=OFF")));
    }
    auto lease = wait(pool.get_connection()).value();
    EXPECT_EQ(value_of(*lease, "PRAGMA foreign_keys"), 1);
}

} // namespace
} // namespace velostream::sqlite
