// SPDX-License-Identifier: Apache-2.0
#include <sqlite3.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>

#include "database_fixture.hpp"
#include "velostream/sqlite/connection.hpp"

namespace velostream::sqlite {
namespace {

using namespace std::chrono_literals;

// One thread, so that a call that waited on it would hold up the one that it waits for.
class SqliteLocksTest : public DatabaseTest {
  protected:
    SqliteLocksTest() {
        first_.emplace(open(one_thread_));
        second_.emplace(open(one_thread_));
        auto made = first_->execute_script("CREATE TABLE t (n INT); INSERT INTO t VALUES (0)");
        EXPECT_TRUE(wait(std::move(made)));
    }
    ~SqliteLocksTest() override {
        first_.reset();
        second_.reset();
    }
    void run_for(Duration time) {
        io_.restart();
        asio::steady_timer timer{io_, time};
        timer.async_wait([](auto) {});
        io_.run_for(std::chrono::duration_cast<std::chrono::milliseconds>(time));
    }
    void lock(Connection& connection) {
        auto locked = wait(connection.execute("BEGIN IMMEDIATE"));
        ASSERT_TRUE(locked) << locked.error();
    }

    Connections one_thread_{{.path = file_, .busy_timeout = 1h, .threads = 1}}; // longer than the test waits
    std::optional<Connection> first_, second_;
};

TEST_F(SqliteLocksTest, AWriterWaitsForTheOtherOnesCommitAndHoldsNoThread) {
    lock(*first_);
    const auto waiting = testing::start(io_, second_->execute("UPDATE t SET n = n + 1"));
    run_for(50ms);
    EXPECT_FALSE(waiting.ended());

    EXPECT_EQ(value_of(*first_, "SELECT n FROM t"), 0) << "the one thread is free";
    ASSERT_TRUE(wait(first_->execute("COMMIT")));

    run_until_ended(waiting);
    EXPECT_EQ(waiting.value().value(), 1U);
}

TEST_F(SqliteLocksTest, ReadersDoNotWaitForTheWriter) {
    lock(*first_);
    ASSERT_TRUE(wait(first_->execute("UPDATE t SET n = 7")));
    EXPECT_EQ(value_of(*second_, "SELECT n FROM t"), 0);
}

TEST_F(SqliteLocksTest, WhoWaitsTooLongHearsThatItIsBusy) {
    Connections hasty{{.path = file_, .busy_timeout = 30ms}};
    auto third = open(hasty);
    lock(*first_);
    const auto began = std::chrono::steady_clock::now();

    const auto result = wait(third.execute("UPDATE t SET n = 1"));

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::busy);
    EXPECT_TRUE(result.error().passes_with_time());
    EXPECT_GE(std::chrono::steady_clock::now() - began, 30ms);
}

TEST_F(SqliteLocksTest, ADeadlineEndsTheWaitAndSaysWhatForItWas) {
    lock(*first_);
    const CallContext call{SteadyTime{}.now() + 300ms};

    const auto result = wait(second_->execute(Statement{"UPDATE t SET n = 1"}, call));

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    ASSERT_NE(result.error().inner(), nullptr);
    EXPECT_EQ(*result.error().inner(), SqliteErrc::busy);
    ASSERT_TRUE(wait(first_->execute("ROLLBACK")));
    EXPECT_EQ(value_of(*second_, "SELECT n FROM t"), 0);
}

TEST_F(SqliteLocksTest, EveryKindOfCancellationEndsTheWait) {
    lock(*first_);
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        const auto waiting = testing::start(io_, second_->execute("UPDATE t SET n = 1"));
        run_for(20ms);
        ASSERT_FALSE(waiting.ended());
        waiting.cancel(kind);
        run_until_ended(waiting);
        EXPECT_EQ(waiting.value().error(), Errc::cancelled);
    }
    ASSERT_TRUE(wait(first_->execute("ROLLBACK")));
    EXPECT_EQ(value_of(*second_, "SELECT n FROM t"), 0);
}

TEST_F(SqliteLocksTest, AnOutdatedSnapshotIsToldAtOnce) {
    ASSERT_TRUE(wait(second_->execute("BEGIN")));
    ASSERT_EQ(value_of(*second_, "SELECT n FROM t"), 0);
    ASSERT_TRUE(wait(first_->execute("UPDATE t SET n = 1")));

    const auto result = wait(second_->execute("UPDATE t SET n = 2"));

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::busy_snapshot);
    EXPECT_TRUE(result.error().passes_with_time());
    EXPECT_TRUE(second_->in_transaction());
    ASSERT_TRUE(wait(second_->execute("ROLLBACK")));
    EXPECT_TRUE(wait(second_->execute("UPDATE t SET n = 2")));
}

TEST_F(SqliteLocksTest, AWaitThatCouldNotHelpIsNone) {
    ASSERT_TRUE(wait(second_->execute("BEGIN")));
    ASSERT_EQ(value_of(*second_, "SELECT n FROM t"), 0);
    lock(*first_);
    const auto result = wait(second_->execute("UPDATE t SET n = 2"));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::busy);
    EXPECT_TRUE(second_->in_transaction());
}

TEST_F(SqliteLocksTest, WritersThatWaitHaveTheirTurnsInOrder) {
    lock(*first_);
    std::vector<Connection> others;
    std::vector<Started<Result<std::uint64_t>>> calls;
    for (int i = 0; i < 8; ++i) others.push_back(open(one_thread_));
    for (int i = 0; i < 8; ++i) {
        calls.push_back(
            testing::start(io_, others[static_cast<std::size_t>(i)].execute("INSERT INTO t VALUES (?)", i)));
        run_for(3ms); // each has met the lock before the next one comes
    }
    ASSERT_TRUE(wait(first_->execute("COMMIT")));
    for (const auto& call : calls) {
        run_until_ended(call);
        EXPECT_TRUE(call.value());
    }
    EXPECT_EQ(value_of<std::string>(*first_, "SELECT group_concat(n) FROM (SELECT n FROM t ORDER BY rowid)"),
              "0,0,1,2,3,4,5,6,7");
}

TEST_F(SqliteLocksTest, AProgramThatKnowsNothingOfUsIsWaitedFor) {
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &other), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE; UPDATE t SET n = 5", nullptr, nullptr, nullptr), SQLITE_OK);
    const auto waiting = testing::start(io_, second_->execute("UPDATE t SET n = n + 1"));
    run_for(30ms);
    EXPECT_FALSE(waiting.ended());
    ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(other);
    run_until_ended(waiting);
    EXPECT_EQ(value_of(*first_, "SELECT n FROM t"), 6);
}

TEST_F(SqliteLocksTest, AScriptGoesOnWhereItWaited) {
    lock(*first_);
    const auto script = testing::start(io_, second_->execute_script("CREATE TEMP TABLE mine (n INT);"
                                                                    "INSERT INTO mine VALUES (1);"
                                                                    "INSERT INTO t SELECT n FROM mine"));
    run_for(30ms);
    EXPECT_FALSE(script.ended());
    ASSERT_TRUE(wait(first_->execute("COMMIT")));
    run_until_ended(script);
    EXPECT_TRUE(script.value()) << script.value().error();
    EXPECT_EQ(value_of(*second_, "SELECT count(*) FROM mine"), 1);
}

TEST_F(SqliteLocksTest, OpeningWaitsForWhoHasTheFileForHimself) {
    TemporaryFolder folder;
    const auto path = folder / "locked.db";
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(other, "BEGIN EXCLUSIVE; CREATE TABLE a (n)", nullptr, nullptr, nullptr), SQLITE_OK);
    Connections there{{.path = path}};
    CallContext call;
    const auto opening = testing::start(io_, there.open(call));
    run_for(30ms);
    EXPECT_FALSE(opening.ended());
    ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(other);
    run_until_ended(opening);
    ASSERT_TRUE(opening.value()) << opening.value().error();
    EXPECT_EQ(value_of<std::string>(*opening.value(), "PRAGMA journal_mode"), "wal");
}

} // namespace
} // namespace velostream::sqlite
