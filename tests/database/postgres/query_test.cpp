// SPDX-License-Identifier: Apache-2.0
// Statements, their parameters and their results, on a real server.
#include "database_test.hpp"

#include <boost/asio/detached.hpp>
#include <cmath>
#include <limits>

namespace velostream::postgres {
namespace {

using Time = std::chrono::system_clock::time_point;
using Bytes = std::span<const std::byte>;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

class QueryTest : public DatabaseTest {
  protected:
    /// A value that was sent as a parameter of this type, and read again.
    template <class T, class Value>
    asio::awaitable<T> there_and_back(Connection& connection, const char* type, Value value) {
        return value_of<T>(connection, std::string{"select $1::"} + type, value);
    }
};

TEST_F(QueryTest, NumbersGoThereAndBack) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const std::vector<std::int16_t> shorts{0, -1, -32768, 32767};
        for (const auto value : shorts) {
            EXPECT_EQ(co_await there_and_back<std::int16_t>(connection, "smallint", value), value);
        }
        const std::vector<std::int32_t> integers{0, -1, std::numeric_limits<int>::min(),
                                                 std::numeric_limits<int>::max()};
        for (const auto value : integers) {
            EXPECT_EQ(co_await there_and_back<std::int32_t>(connection, "integer", value), value);
        }
        const std::vector<std::int64_t> longs{0, -1, std::numeric_limits<std::int64_t>::min(),
                                              std::numeric_limits<std::int64_t>::max()};
        for (const auto value : longs) {
            EXPECT_EQ(co_await there_and_back<std::int64_t>(connection, "bigint", value), value);
        }
        constexpr auto infinite = std::numeric_limits<double>::infinity();
        const std::vector<double> doubles{0.0,      -0.1,     1.0 / 3, 5e-324, std::numeric_limits<double>::max(),
                                          infinite, -infinite};
        for (const auto value : doubles) {
            EXPECT_EQ(co_await there_and_back<double>(connection, "double precision", value), value);
        }
        const std::vector<float> floats{0.1F, -1.0F / 3, std::numeric_limits<float>::min(),
                                        std::numeric_limits<float>::max()};
        for (const auto value : floats) {
            EXPECT_EQ(co_await there_and_back<float>(connection, "real", value), value);
        }
        const auto nan =
            co_await there_and_back<double>(connection, "double precision", std::numeric_limits<double>::quiet_NaN());
        EXPECT_TRUE(std::isnan(nan));
        EXPECT_TRUE(co_await there_and_back<bool>(connection, "boolean", true));
        EXPECT_FALSE(co_await there_and_back<bool>(connection, "boolean", false));
        EXPECT_EQ(co_await there_and_back<std::int64_t>(connection, "oid", 4'000'000'000U), 4'000'000'000);
    });
}

TEST_F(QueryTest, TextsBytesAndTimesGoThereAndBack) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        const std::vector<std::string> texts{"", "plain", "Grüße, 世界 🎉", "'; drop table students --", "\\x00"};
        for (const auto& text : texts) {
            EXPECT_EQ(co_await there_and_back<std::string>(connection, "text", text), text);
        }
        for (const std::string_view text : {std::string_view{}, std::string_view{"a\0b\xff\n", 5}}) {
            auto asking = ask(connection, "select $1::bytea", bytes_of(text));
            const auto answer = co_await std::move(asking);
            const auto bytes = answer[0].get<Bytes>(0).value();
            EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), text);
        }
        for (const auto micros : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1'700'000'000'123'456},
                                  std::int64_t{-9'000'000'000'000'001}}) {
            const Time time{std::chrono::microseconds{micros}};
            EXPECT_EQ(co_await there_and_back<Time>(connection, "timestamptz", time), time);
            EXPECT_EQ(co_await there_and_back<Time>(connection, "timestamp", time), time);
        }
        EXPECT_EQ(co_await value_of<std::string>(connection, R"(select '{"a": 1}'::jsonb)"), R"({"a": 1})");
    });
}

TEST_F(QueryTest, ATimestampWithoutAZoneIsInUtcWhateverTheSessionsZone) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "set timezone to 'America/New_York'");
        const Time noon = std::chrono::sys_days{std::chrono::May / 4 / 2024} + 12h;
        EXPECT_EQ(co_await there_and_back<Time>(connection, "timestamp", noon), noon);
        EXPECT_EQ(co_await there_and_back<Time>(connection, "timestamptz", noon), noon);
        EXPECT_EQ(co_await value_of<Time>(connection, "select '2024-05-04'::date"),
                  std::chrono::sys_days{std::chrono::May / 4 / 2024});
    });
}

TEST_F(QueryTest, NullIsNotEmpty) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        auto asking = ask(connection, "select $1::text is null, $2::text is null, $3::bytea is null, $4::int, $2",
                          std::nullopt, "", bytes_of(""), std::optional<int>{});
        const auto answer = co_await std::move(asking);
        const auto row = answer[0];
        EXPECT_TRUE(row.get<bool>(0).value());
        EXPECT_FALSE(row.get<bool>(1).value());
        EXPECT_FALSE(row.get<bool>(2).value());
        EXPECT_TRUE(row.is_null(3));
        EXPECT_EQ(row.get<std::optional<int>>(3).value(), std::nullopt);
        EXPECT_EQ(row.get<int>(3).error(), PostgresErrc::null_value);
        EXPECT_EQ(row.get<std::optional<std::string_view>>(4).value(), "");
    });
}

TEST_F(QueryTest, RowsAreReadByNameInTheirOrder) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        auto asking = ask(connection, "select i as number, 'n' || i as name from generate_series(1, $1) i", 1000);
        const auto answer = co_await std::move(asking);
        EXPECT_EQ(answer.size(), 1000u);
        EXPECT_EQ(answer.columns(), 2u);
        EXPECT_EQ(answer.affected(), 1000u);
        int expected = 0;
        for (const auto row : answer.rows()) {
            ++expected;
            EXPECT_EQ(row.get<int>("number").value(), expected);
            EXPECT_EQ(row.get<std::string_view>("name").value(), "n" + std::to_string(expected));
        }
        EXPECT_EQ(expected, 1000);
        EXPECT_EQ(answer[0].get<int>("nonsense").error(), PostgresErrc::no_such_column);
    });
}

TEST_F(QueryTest, WhatLargeParametersAndResultsAreIsKept) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        std::string large(20'000'000, 'x');
        for (std::size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i / 1000 % 26);
        EXPECT_EQ(co_await there_and_back<std::string>(connection, "text", large), large);
        // The server answers before it has read all: both sides must go on at the same time.
        std::vector<Statement> statements;
        for (int i = 0; i < 20; ++i)
            statements.emplace_back("select $1::text", std::string_view{large}.substr(0, 1'000'000));
        auto running = connection.pipeline(std::move(statements));
        auto answers = co_await std::move(running);
        for (const auto& answer : answers.value())
            EXPECT_EQ(answer.value()[0].get<std::string_view>(0).value().size(), 1'000'000u);
    });
}

TEST_F(QueryTest, AStatementThatChangesRowsSaysHowMany) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection, "create temporary table t (i int)");
        auto inserting = connection.execute("insert into t select generate_series(1, $1)", 5);
        EXPECT_EQ((co_await std::move(inserting)).value(), 5u);
        auto updating = connection.execute("update t set i = i + 10 where i > $1", 3);
        EXPECT_EQ((co_await std::move(updating)).value(), 2u);
        auto deleting = connection.execute("delete from t where i = 0");
        EXPECT_EQ((co_await std::move(deleting)).value(), 0u);
        auto setting = connection.execute("set work_mem to '4MB'");
        EXPECT_EQ((co_await std::move(setting)).value(), 0u);
    });
}

TEST_F(QueryTest, AnErrorSaysStateSeverityMessageDetailAndHintAndLeavesTheConnectionWell) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        auto asking = ask_badly(connection,
                                "do $$ begin raise exception 'no stock' using errcode = '22023', "
                                "detail = 'shelf 3', hint = 'order more'; end $$");
        const auto error = co_await std::move(asking);
        EXPECT_EQ(error, *sql_state("22023"));
        EXPECT_EQ(error.type(), ErrorType::bad_request);
        EXPECT_EQ(error.message(), "SQLSTATE 22023: ERROR: no stock; detail: shelf 3; hint: order more");
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(QueryTest, WhatAProgramGetsWrongIsFatalAndWhatARecordGetsWrongBlamesIt) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        co_await ask(connection,
                     "create temporary table t (i int primary key check (i > 0), j int not null default 1)");
        co_await ask(connection, "insert into t values (1)");
        const std::vector<std::pair<std::string, SqlState>> of_records{
            {"insert into t values (1)", SqlState::unique_violation},
            {"insert into t values (-1)", SqlState::check_violation},
            {"insert into t values (2, null)", SqlState::not_null_violation},
            {"select 1 / 0", *sql_state("22012")},
            {"select 'x'::int", *sql_state("22P02")},
        };
        for (const auto& [sql, state] : of_records) {
            const auto error = co_await ask_badly(connection, sql);
            EXPECT_EQ(error, state) << error;
            EXPECT_TRUE(error.blames_record()) << error;
        }
        const std::vector<std::pair<std::string, SqlState>> of_programs{
            {"selec 1", SqlState::syntax_error},
            {"select * from nobody_has_it", SqlState::undefined_table},
        };
        for (const auto& [sql, state] : of_programs) {
            const auto error = co_await ask_badly(connection, sql);
            EXPECT_EQ(error, state) << error;
            EXPECT_EQ(error.type(), ErrorType::fatal) << error;
        }
    });
}

TEST_F(QueryTest, ATextWithANulIsRefusedBeforeAnythingIsSent) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        auto asking = ask_badly(connection, "select $1::int, $2::text", 1, std::string_view{"a\0b", 3});
        const auto error = co_await std::move(asking);
        EXPECT_EQ(error, PostgresErrc::invalid_parameter);
        EXPECT_TRUE(error.blames_record());
        EXPECT_NE(error.message().find("$2"), std::string::npos) << error;
        EXPECT_EQ(connection.prepared_statements(), 0u);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(QueryTest, TooFewParametersAreTheProgramsFault) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        EXPECT_EQ((co_await ask_badly(connection, "select $1::int")).type(), ErrorType::fatal);
        EXPECT_EQ(co_await value_of<int>(connection, "select 1"), 1);
    });
}

TEST_F(QueryTest, TheTransactionsStatusIsKnown) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        co_await ask(connection, "begin");
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::open);
        co_await ask_badly(connection, "select 1 / 0");
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::failed);
        EXPECT_EQ((co_await ask_badly(connection, "select 1")), SqlState::in_failed_sql_transaction);
        co_await ask(connection, "rollback");
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::idle);
        connection.close();
        EXPECT_EQ(connection.transaction_status(), TransactionStatus::unknown);
    });
}

TEST_F(QueryTest, WhatTheServerReportsCanBeAsked) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        EXPECT_EQ(connection.server_parameter("client_encoding"), "UTF8");
        EXPECT_EQ(connection.server_parameter("application_name"), "velostream");
        EXPECT_EQ(connection.server_parameter("nonsense"), "");
        EXPECT_EQ(connection.server_process(), co_await value_of<int>(connection, "select pg_backend_pid()"));
    });
}

TEST_F(QueryTest, CopyIsRefusedAndClosesTheConnection) {
    run([this]() -> asio::awaitable<void> {
        for (const std::string sql : {"copy (select 1) to stdout", "copy pg_class from stdin"}) {
            auto connection = co_await connected();
            EXPECT_EQ(co_await ask_badly(connection, sql), PostgresErrc::not_supported);
            EXPECT_TRUE(connection.is_broken());
            EXPECT_EQ(co_await ask_badly(connection, "select 1"), PostgresErrc::connection_lost);
        }
    });
}

TEST_F(QueryTest, ASecondCallAtTheSameTimeIsRefusedAndTheFirstGoesOn) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        bool is_over = false;
        auto slow = [&]() -> asio::awaitable<void> {
            co_await ask(connection, "select pg_sleep(0.2)");
            is_over = true;
        };
        asio::co_spawn(io, slow(), asio::detached);
        co_await pause_for(20ms);
        EXPECT_EQ(co_await ask_badly(connection, "select 1"), PostgresErrc::session_in_use);
        EXPECT_FALSE(is_over);
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
    });
}

TEST_F(QueryTest, AConnectionThatIsClosedUnderACallEndsIt) {
    run([this]() -> asio::awaitable<void> {
        auto connection = co_await connected();
        std::optional<Error> error;
        auto slow = [&]() -> asio::awaitable<void> { error = co_await ask_badly(connection, "select pg_sleep(30)"); };
        asio::co_spawn(io, slow(), asio::detached);
        co_await pause_for(20ms);
        connection.close();
        EXPECT_TRUE(co_await eventually([&] { return error.has_value(); }, 5s));
        EXPECT_EQ(error.value(), PostgresErrc::outcome_unknown);
        EXPECT_TRUE(connection.is_broken());
    });
}

} // namespace
} // namespace velostream::postgres
