// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "database_fixture.hpp"
#include "faulty_disk.hpp"
#include "velostream/sqlite/connection.hpp"

namespace velostream::sqlite {
namespace {

class SqliteFaultsTest : public DatabaseTest {
  protected:
    Error opening_error(const std::string& path, ConnectionConfig config = {}) {
        config.path = path;
        Connections there{config};
        CallContext call;
        auto opened = wait(there.open(call));
        return opened ? Error{} : opened.error();
    }
    void write_file(const std::string& path, const std::string& bytes, std::streamoff at = 0) {
        std::fstream file{path,
                          at == 0 ? std::ios::out | std::ios::binary : std::ios::in | std::ios::out | std::ios::binary};
        file.seekp(at);
        file << bytes;
    }
};

// The tables of a program that is killed before its log was copied into the file.
void write_and_be_killed(const std::string& file) {
    sqlite3* database = nullptr;
    sqlite3_open(file.c_str(), &database);
    sqlite3_exec(database,
                 "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (n INT);"
                 "INSERT INTO t VALUES (1), (2); BEGIN; INSERT INTO t VALUES (3)",
                 nullptr, nullptr, nullptr);
    ::kill(::getpid(), SIGKILL);
}

TEST_F(SqliteFaultsTest, WhatAKilledProcessHadCommittedIsThere) {
    const auto file = file_of_the_test_and_its_program();
    EXPECT_EXIT(write_and_be_killed(file), ::testing::KilledBySignal(SIGKILL), "");
    ASSERT_TRUE(std::filesystem::exists(file + "-wal"));

    auto connection = open();

    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 2);
    EXPECT_TRUE(wait(connection.execute("INSERT INTO t VALUES (4)")));
}

TEST_F(SqliteFaultsTest, AFullDatabaseIsToldAndGoesOnWhenThereIsRoom) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (b BLOB); PRAGMA max_page_count=20")));
    const auto result = wait(connection.execute("INSERT INTO t VALUES (zeroblob(200000))"));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::full);
    EXPECT_EQ(result.error(), ErrorType::resource_exhausted);
    EXPECT_FALSE(result.error().blames_record());
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 0);
    ASSERT_TRUE(wait(connection.execute("PRAGMA max_page_count=2000")));
    EXPECT_TRUE(wait(connection.execute("INSERT INTO t VALUES (zeroblob(200000))")));
}

// In a process of its own: the limit holds for all that it writes.
void write_until_the_limit(const std::string& file) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    asio::io_context io;
    Connections connections{{.path = file}};
    const auto coroutine = [&]() -> asio::awaitable<int> {
        CallContext call;
        auto opening = connections.open(call);
        auto connection = (co_await std::move(opening)).value();
        auto making = connection.execute("CREATE TABLE t (b BLOB)");
        const auto made = co_await std::move(making);
        auto inserting = connection.execute("INSERT INTO t VALUES (randomblob(500000))");
        const auto inserted = co_await std::move(inserting);
        auto counting = connection.query("SELECT count(*) FROM t");
        const auto count = co_await std::move(counting);
        if (!made || inserted || !count || (*count)[0].get<int>(0).value() != 0) co_return 1;
        co_return inserted.error().passes_with_time() && !inserted.error().blames_record() ? 0 : 2;
    };
    const auto started = testing::start(io, coroutine());
    while (!started.ended()) io.restart(), io.run_one();
    std::_Exit(started.value());
}

TEST_F(SqliteFaultsTest, AFileThatMayNotGrowIsLikeAFullDisk) {
    const auto file = file_of_the_test_and_its_program();
    EXPECT_EXIT(write_until_the_limit(file), ::testing::ExitedWithCode(0), "");
}

TEST_F(SqliteFaultsTest, WhatCannotBeOpenedSaysWhy) {
    const auto missing = opening_error(folder_ / "no/such/folder.db");
    EXPECT_EQ(missing, SqliteErrc::cannot_open);
    EXPECT_NE(missing.detail().find("No such file"), std::string_view::npos) << missing;
    EXPECT_TRUE(missing.passes_with_time());

    EXPECT_EQ(opening_error(folder_.path().string()).type(), ErrorType::service_unavailable);
    EXPECT_FALSE(opening_error("/proc/nothing.db").blames_record());
    EXPECT_EQ(opening_error(folder_ / "nothing.db", {.read_only = true}), SqliteErrc::cannot_open);
}

TEST_F(SqliteFaultsTest, AFileOfAnotherKindIsNoDatabase) {
    const auto path = folder_ / "letter.txt";
    write_file(path, std::string(5000, 'x'));
    const auto error = opening_error(path);
    EXPECT_EQ(error, SqliteErrc::not_a_database);
    EXPECT_EQ(error, ErrorType::fatal);
    EXPECT_FALSE(error.passes_with_time());
}

TEST_F(SqliteFaultsTest, ADamagedFileIsFatal) {
    const auto path = folder_ / "damaged.db";
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE t (n INT); INSERT INTO t VALUES (1)", nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(database);
    write_file(path, std::string(4096, '\xff'), 4096); // the table's page

    Connections there{{.path = path}};
    auto connection = open(there);
    const auto result = wait(connection.query("SELECT * FROM t"));

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::corrupt);
    EXPECT_EQ(result.error(), ErrorType::fatal);
    EXPECT_FALSE(result.error().blames_record());
}

TEST_F(SqliteFaultsTest, AReadOnlyDatabaseTakesNoWrites) {
    {
        auto connection = open();
        ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (n INT); INSERT INTO t VALUES (1)")));
    }
    Connections readers{{.path = file_, .read_only = true}};
    auto reader = open(readers);
    EXPECT_EQ(value_of(reader, "SELECT n FROM t"), 1);
    const auto result = wait(reader.execute("INSERT INTO t VALUES (2)"));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::read_only);
    EXPECT_EQ(result.error(), ErrorType::authorization);
}

TEST_F(SqliteFaultsTest, AFailedWriteChangesNothingAndMayBeTriedAgain) {
    auto& disk = FaultyDisk::instance();
    Connections there{{.path = folder_ / "faulty.db"}};
    auto connection = open(there);
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));

    disk.write_code = SQLITE_IOERR_WRITE;
    const auto failed = wait(connection.execute("INSERT INTO t VALUES (1)"));
    disk.write_code = SQLITE_FULL;
    const auto full = wait(connection.execute("INSERT INTO t VALUES (1)"));
    disk.recover();

    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), ErrorType::service_unavailable);
    EXPECT_TRUE(failed.error().passes_with_time());
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error(), SqliteErrc::full);
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 0);
    EXPECT_TRUE(wait(connection.execute("INSERT INTO t VALUES (1)")));
}

TEST_F(SqliteFaultsTest, AFailedSyncLeavesTheOutcomeUnknown) {
    auto& disk = FaultyDisk::instance();
    Connections there{{.path = folder_ / "faulty.db", .synchronous = Synchronous::full}};
    auto connection = open(there);
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
    disk.sync_code = SQLITE_IOERR_FSYNC;
    const auto result = wait(connection.execute("INSERT INTO t VALUES (1)"));
    disk.recover();
    ASSERT_FALSE(result);
    EXPECT_TRUE(result.error().has_unknown_outcome());
}

} // namespace
} // namespace velostream::sqlite
