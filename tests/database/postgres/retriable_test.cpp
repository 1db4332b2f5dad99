// SPDX-License-Identifier: Apache-2.0
// Errors that another try of the transaction cures, made to happen by two sessions.
#include <boost/asio/detached.hpp>

#include "database_test.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream::postgres {
namespace {

class RetriableTest : public DatabaseTest {
  protected:
    static asio::awaitable<void> make_table(Connection& connection, const std::string& table) {
        co_await ask(connection, "create table " + table + " (id int primary key, amount int)");
        co_await ask(connection, "insert into " + table + " values (1, 0), (2, 0)");
    }
};

TEST_F(RetriableTest, ASerializationFailureIsCuredByAnotherTry) {
    run([this]() -> asio::awaitable<void> {
        const auto table = unique("t");
        auto one = co_await connected();
        auto other = co_await connected();
        co_await make_table(one, table);
        const auto add = "update " + table + " set amount = amount + 1 where id = 1";
        int tries = 0;
        std::optional<Error> first;
        auto transfer = [&]() -> asio::awaitable<Result<QueryResult>> {
            co_await ask(one, "begin isolation level repeatable read");
            co_await ask(one, "select * from " + table);
            if (++tries == 1) {
                co_await ask(other, add);
            }
            auto adding = one.query(add);
            auto added = co_await std::move(adding);
            if (!added && !first) first = added.error();
            co_await ask(one, added ? "commit" : "rollback");
            co_return std::move(added);
        };
        RetryExecutor retry{{.max_retries = 3, .backoff_strategy = FixedInterval{1ms}}};
        auto retrying = retry.execute_with_retry(transfer);
        const auto done = co_await std::move(retrying);
        EXPECT_TRUE(done) << done.error();
        EXPECT_EQ(tries, 2);
        EXPECT_EQ(first.value(), SqlState::serialization_failure);
        EXPECT_EQ(co_await value_of<int>(one, "select amount from " + table + " where id = 1"), 2);
        co_await ask(one, "drop table " + table);
    });
}

TEST_F(RetriableTest, ADeadlockEndsOneOfTheTwoWithAnErrorThatPasses) {
    run([this]() -> asio::awaitable<void> {
        const auto table = unique("t");
        auto one = co_await connected();
        auto other = co_await connected();
        co_await make_table(one, table);
        const auto lock = [&](int id) {
            return "update " + table + " set amount = 1 where id = " + std::to_string(id);
        };
        co_await ask(one, "begin");
        co_await ask(other, "begin");
        co_await ask(one, lock(1));
        co_await ask(other, lock(2));
        std::vector<Error> errors;
        int ended = 0;
        auto cross = [&](Connection& connection, int id) -> asio::awaitable<void> {
            auto locking = connection.query(lock(id));
            const auto locked = co_await std::move(locking);
            if (!locked) errors.push_back(locked.error());
            co_await ask(connection, "rollback");
            ++ended;
        };
        asio::co_spawn(io, cross(one, 2), asio::detached);
        asio::co_spawn(io, cross(other, 1), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return ended == 2; }));
        EXPECT_EQ(errors.size(), 1u);
        EXPECT_EQ(errors.front(), SqlState::deadlock_detected);
        EXPECT_TRUE(errors.front().passes_with_time());
        co_await ask(one, "drop table " + table);
    });
}

TEST_F(RetriableTest, ALockThatIsNotThereAndAStatementThatLastsTooLongPass) {
    run([this]() -> asio::awaitable<void> {
        const auto table = unique("t");
        auto one = co_await connected();
        auto other = co_await connected();
        co_await make_table(one, table);
        co_await ask(one, "begin");
        co_await ask(one, "select * from " + table + " for update");
        const auto locked = co_await ask_badly(other, "select * from " + table + " for update nowait");
        EXPECT_EQ(locked, SqlState::lock_not_available);
        EXPECT_TRUE(locked.passes_with_time());
        co_await ask(one, "rollback");
        co_await ask(other, "set statement_timeout to '20ms'");
        const auto slow = co_await ask_badly(other, "select pg_sleep(10)");
        EXPECT_EQ(slow, SqlState::query_canceled);
        EXPECT_EQ(slow.type(), ErrorType::timeout);
        co_await ask(one, "drop table " + table);
    });
}

} // namespace
} // namespace velostream::postgres
