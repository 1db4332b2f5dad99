// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>

#include "database_fixture.hpp"
#include "faulty_disk.hpp"
#include "velostream/sqlite/connection.hpp"

namespace velostream::sqlite {
namespace {

using namespace std::chrono_literals;

constexpr asio::cancellation_type every_kind[] = {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                                  asio::cancellation_type::total};

class SqliteCancellationTest : public DatabaseTest {
  protected:
    // Long enough for a thread to have begun what there is to do.
    void run_for_a_moment() {
        io_.restart();
        asio::steady_timer timer{io_, 20ms};
        timer.async_wait([](auto) {});
        io_.run_for(20ms);
    }
};

TEST_F(SqliteCancellationTest, AQueryThatRunsIsInterrupted) {
    auto connection = open();
    for (const auto kind : every_kind) {
        const auto query = testing::start(io_, connection.query(endless));
        run_for_a_moment();
        ASSERT_FALSE(query.ended());
        query.cancel(kind);
        run_until_ended(query);
        EXPECT_EQ(query.value().error(), Errc::cancelled);
        EXPECT_FALSE(query.value().error().has_unknown_outcome());
        EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
    }
}

TEST_F(SqliteCancellationTest, AQueryThatWaitsForItsTurnIsNeverRun) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
    for (const auto kind : every_kind) {
        const auto query = testing::start(io_, connection.query(endless));
        const auto next = testing::start(io_, connection.execute("INSERT INTO t VALUES (1)"));
        run_for_a_moment();
        next.cancel(kind);
        run_until_ended(next);
        EXPECT_EQ(next.value().error(), Errc::cancelled);
        EXPECT_FALSE(query.ended());
        query.cancel(kind);
        run_until_ended(query);
    }
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 0);
}

TEST_F(SqliteCancellationTest, ACallThatIsCancelledAtOnceHasEitherHappenedOrNot) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INT)")));
    std::int64_t happened = 0, unknown = 0;
    for (int i = 0; i < 200; ++i) {
        const auto call = testing::start(io_, connection.execute("INSERT INTO t VALUES (1)"));
        if (i % 2 == 0) std::this_thread::yield();
        call.cancel(asio::cancellation_type::terminal);
        run_until_ended(call);
        if (call.value())
            ++happened;
        else if (call.value().error().has_unknown_outcome())
            ++unknown; // a machine that is slow
        else
            EXPECT_EQ(call.value().error(), Errc::cancelled);
    }
    const auto found = value_of(connection, "SELECT count(*) FROM t");
    EXPECT_GE(found, happened);
    EXPECT_LE(found, happened + unknown);
}

TEST_F(SqliteCancellationTest, TheDeadlineInterruptsAQuery) {
    auto connection = open();
    const CallContext call{SteadyTime{}.now() + 30ms};
    const auto result = wait(connection.query(Statement{endless}, call));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(result.error(), ErrorType::timeout);
    EXPECT_EQ(value_of(connection, "SELECT 1"), 1);
}

TEST_F(SqliteCancellationTest, ADeadlineThatHasPassedEndsTheCall) {
    auto connection = open();
    const CallContext call{SteadyTime{}.now() - 1s};
    const auto result = wait(connection.query(Statement{endless}, call));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
}

TEST_F(SqliteCancellationTest, AnInterruptedWriteChangesNothingAndRollsBackItsTransaction) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (n INT); BEGIN; INSERT INTO t VALUES (1)")));
    const auto insert = testing::start(
        io_, connection.execute("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                                " SELECT i FROM n WHERE i % 1000 = 0"));
    run_for_a_moment();
    ASSERT_FALSE(insert.ended());
    insert.cancel(asio::cancellation_type::terminal);
    run_until_ended(insert);
    ASSERT_FALSE(insert.value());
    EXPECT_EQ(insert.value().error(), Errc::cancelled);
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 0);
    EXPECT_FALSE(connection.in_transaction());
    const auto error = insert.value().error();
    EXPECT_TRUE(error.has_unknown_outcome() || // the machine is slow
                error.detail().find("the transaction was rolled back") != std::string_view::npos)
        << error;
}

TEST_F(SqliteCancellationTest, AnInterruptedReadLeavesItsTransactionOpen) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (n INT); BEGIN; INSERT INTO t VALUES (1)")));
    const CallContext call{SteadyTime{}.now() + 20ms};
    ASSERT_FALSE(wait(connection.query(Statement{endless}, call)));
    EXPECT_TRUE(connection.in_transaction());
    ASSERT_TRUE(wait(connection.execute("COMMIT")));
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t"), 1);
}

class SqliteHangingDiskTest : public SqliteCancellationTest {
  protected:
    SqliteHangingDiskTest() {
        connection_.emplace(open(slow_));
        auto made = connection_->execute("CREATE TABLE t (n INT)");
        EXPECT_TRUE(wait(std::move(made)));
        disk_.hang();
    }
    ~SqliteHangingDiskTest() override { disk_.recover(); }

    FaultyDisk& disk_ = FaultyDisk::instance();
    Connections slow_{{.path = folder_ / "slow.db", .synchronous = Synchronous::full}};
    std::optional<Connection> connection_;
};

TEST_F(SqliteHangingDiskTest, AWriteIsGivenUpWithAnUnknownOutcome) {
    const auto insert = testing::start(io_, connection_->execute("INSERT INTO t VALUES (1)"));
    disk_.wait_until_somebody_hangs();
    insert.cancel(asio::cancellation_type::terminal);
    run_until_ended(insert);
    EXPECT_EQ(insert.value().error(), Errc::cancelled);
    EXPECT_TRUE(insert.value().error().has_unknown_outcome());
    EXPECT_FALSE(insert.value().error().passes_with_time());

    const auto next = testing::start(io_, connection_->query("SELECT count(*) FROM t"));
    run_for_a_moment();
    EXPECT_FALSE(next.ended()) << "it must wait for the end of the first one";
    disk_.go_on();
    run_until_ended(next);
    EXPECT_EQ(next.value().value()[0].get<int>(0).value(), 1) << "it has happened after all";
}

TEST_F(SqliteHangingDiskTest, ACommitIsGivenUpWithAnUnknownOutcome) {
    disk_.go_on();
    ASSERT_TRUE(wait(connection_->execute_script("BEGIN; INSERT INTO t VALUES (1)")));
    disk_.hang();
    const auto commit = testing::start(io_, connection_->execute("COMMIT"));
    disk_.wait_until_somebody_hangs();
    commit.cancel(asio::cancellation_type::partial);
    run_until_ended(commit);
    EXPECT_EQ(commit.value().error(), Errc::cancelled);
    EXPECT_TRUE(commit.value().error().has_unknown_outcome());
}

// Often enough for SQLite to look at interruptions just after a commit, which it does once in a thousand steps.
TEST_F(SqliteHangingDiskTest, ACommitThatIsFasterThanTheGivingUpIsToldAsOne) {
    for (int i = 0; i < 500; ++i) {
        ASSERT_EQ(value_of(*connection_, "SELECT 1"), 1); // the one before has ended, also if it was given up
        disk_.hang();
        const auto insert = testing::start(io_, connection_->execute("INSERT INTO t VALUES (1)"));
        disk_.wait_until_somebody_hangs();
        insert.cancel(asio::cancellation_type::terminal);
        io_.restart();
        io_.poll(); // by now it is interrupted
        disk_.go_on();
        run_until_ended(insert);
        ASSERT_TRUE(insert.value() || insert.value().error().has_unknown_outcome()) << insert.value().error();
    }
    EXPECT_EQ(value_of(*connection_, "SELECT count(*) FROM t"), 500);
}

TEST_F(SqliteHangingDiskTest, TheConnectionMayGoMeanwhile) {
    const auto insert = testing::start(io_, connection_->execute("INSERT INTO t VALUES (1)"));
    disk_.wait_until_somebody_hangs();
    connection_.reset();
    disk_.go_on();
    run_until_ended(insert);
}

TEST_F(SqliteHangingDiskTest, TheContextMayGoMeanwhile) {
    {
        asio::io_context io;
        const auto insert = testing::start(io, connection_->execute("INSERT INTO t VALUES (1)"));
        disk_.wait_until_somebody_hangs();
        insert.cancel(asio::cancellation_type::terminal);
    }
    disk_.go_on();
    const auto count = value_of(*connection_, "SELECT count(*) FROM t");
    EXPECT_TRUE(count == 0 || count == 1);
}

} // namespace
} // namespace velostream::sqlite
