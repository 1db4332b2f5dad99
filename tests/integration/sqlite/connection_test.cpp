// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connection.hpp"

#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>

#include "database_fixture.hpp"

namespace velostream::sqlite {
namespace {

class SqliteConnectionTest : public DatabaseTest {};

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

TEST_F(SqliteConnectionTest, GivesBackWhatItWasGiven) {
    auto connection = open();
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    const std::string_view text{"with a \0 in it", 14};

    const auto result = wait(connection.query("SELECT ?, ?, ?, ?, ?", least, 0.1, true, text, bytes_of("\1\2")));

    ASSERT_TRUE(result) << result.error();
    ASSERT_EQ(result->size(), 1U);
    ASSERT_EQ(result->columns(), 5U);
    const auto row = (*result)[0];
    EXPECT_EQ(row.get<std::int64_t>(0).value(), least);
    EXPECT_EQ(row.get<double>(1).value(), 0.1);
    EXPECT_EQ(row.get<bool>(2).value(), true);
    EXPECT_EQ(row.get<std::string_view>(3).value(), text);
    EXPECT_EQ(row.get<Blob>(4).value(), Blob({std::byte{1}, std::byte{2}}));
}

TEST_F(SqliteConnectionTest, NullIsNotEmpty) {
    auto connection = open();
    const std::string_view no_text;
    const std::span<const std::byte> no_bytes;

    const auto result = wait(connection.query("SELECT ?1, typeof(?1), ?2, typeof(?2), ?3, typeof(?3)", no_text,
                                              no_bytes, std::optional<int>{}));

    ASSERT_TRUE(result) << result.error();
    const auto row = (*result)[0];
    EXPECT_EQ(row.get<std::string_view>(0).value(), "");
    EXPECT_EQ(row.get<std::string_view>(1).value(), "text");
    EXPECT_TRUE(row.get<std::span<const std::byte>>(2).value().empty());
    EXPECT_EQ(row.get<std::string_view>(3).value(), "blob");
    EXPECT_TRUE(row.is_null(4));
    EXPECT_EQ(row.get<std::optional<int>>(4).value(), std::nullopt);
    EXPECT_EQ(row.get<int>(4).error(), SqliteErrc::null_value);
    EXPECT_EQ(row.get<std::string_view>(5).value(), "null");
}

TEST_F(SqliteConnectionTest, CountsWhatAStatementChangedItself) {
    auto connection = open();
    EXPECT_EQ(wait(connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")).value(), 0U);
    EXPECT_EQ(wait(connection.execute("INSERT INTO t (n) VALUES (1), (2), (3)")).value(), 3U);
    EXPECT_EQ(wait(connection.execute("CREATE INDEX i ON t (n)")).value(), 0U);
    EXPECT_EQ(wait(connection.execute("SELECT * FROM t")).value(), 0U);

    const auto inserted = wait(connection.query("INSERT INTO t (n) VALUES (4) RETURNING id")).value();

    EXPECT_EQ(inserted.affected(), 1U);
    EXPECT_EQ(inserted.last_insert_id(), 4);
    EXPECT_EQ(inserted[0].get<int>("id").value(), 4);
}

TEST_F(SqliteConnectionTest, NamesTheColumnsAlsoWhereThereAreNoRows) {
    auto connection = open();
    const auto result = wait(connection.query("SELECT 1 AS one, 2 AS two WHERE 0")).value();
    EXPECT_TRUE(result.empty());
    ASSERT_EQ(result.columns(), 2U);
    EXPECT_EQ(result.column_name(1), "two");
}

TEST_F(SqliteConnectionTest, WrongSqlIsFatalAndNotTheRecordsFault) {
    auto connection = open();
    for (const auto* sql : {"SELEC 1", "SELECT * FROM nothing", "", "-- nothing", "SELECT 1; SELECT 2", "SELECT ?"}) {
        const auto result = wait(connection.query(sql));
        ASSERT_FALSE(result) << sql;
        EXPECT_EQ(result.error(), SqliteErrc::invalid_statement) << sql;
        EXPECT_EQ(result.error(), ErrorType::fatal);
        EXPECT_FALSE(result.error().blames_record());
        EXPECT_FALSE(result.error().detail().empty());
    }
    EXPECT_TRUE(wait(connection.query("SELECT 1; -- one statement\n ;")));
}

TEST_F(SqliteConnectionTest, AViolatedConstraintBlamesTheRecord) {
    auto connection = open();
    ASSERT_TRUE(
        wait(connection.execute_script("CREATE TABLE a (id INTEGER PRIMARY KEY, n INT UNIQUE NOT NULL);"
                                       "CREATE TABLE b (a INT REFERENCES a);"
                                       "INSERT INTO a VALUES (1, 1)")));
    const std::pair<const char*, SqliteErrc> cases[]{
        {"INSERT INTO a VALUES (1, 2)", SqliteErrc::constraint_primary_key},
        {"INSERT INTO a VALUES (2, 1)", SqliteErrc::constraint_unique},
        {"INSERT INTO a VALUES (2, NULL)", SqliteErrc::constraint_not_null},
        {"INSERT INTO b VALUES (7)", SqliteErrc::constraint_foreign_key},
    };
    for (const auto& [sql, code] : cases) {
        const auto result = wait(connection.execute(sql));
        ASSERT_FALSE(result) << sql;
        EXPECT_EQ(result.error(), code) << sql;
        EXPECT_TRUE(result.error().blames_record()) << sql;
    }
}

TEST_F(SqliteConnectionTest, WhatAFunctionFindsWrongBlamesTheRecord) {
    auto connection = open();
    const auto result = wait(connection.query("SELECT json_extract(?, '$.a')", "{"));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::error);
    EXPECT_TRUE(result.error().blames_record());
}

TEST_F(SqliteConnectionTest, AScriptStopsAtTheFirstStatementThatFails) {
    auto connection = open();
    const auto result =
        wait(connection.execute_script("CREATE TABLE t (n INT); INSERT INTO t VALUES (1);\n"
                                       "INSERT INTO t VALUES (nothing);\nINSERT INTO t VALUES (3)"));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), SqliteErrc::invalid_statement);
    EXPECT_EQ(value_of(connection, "SELECT group_concat(n) = '1' FROM t"), 1);
    EXPECT_TRUE(wait(connection.execute_script(" -- nothing\n;")));
}

TEST_F(SqliteConnectionTest, SaysWhetherATransactionIsOpen) {
    auto connection = open();
    EXPECT_FALSE(connection.in_transaction());
    ASSERT_TRUE(wait(connection.execute("BEGIN")));
    EXPECT_TRUE(connection.in_transaction());
    ASSERT_TRUE(wait(connection.execute("COMMIT")));
    EXPECT_FALSE(connection.in_transaction());
}

TEST_F(SqliteConnectionTest, SaysThatAFailedStatementRolledBackItsTransaction) {
    auto connection = open();
    ASSERT_TRUE(
        wait(connection.execute_script("CREATE TABLE t (n INT UNIQUE ON CONFLICT ROLLBACK);"
                                       "BEGIN; INSERT INTO t VALUES (1)")));
    const auto result = wait(connection.execute("INSERT INTO t VALUES (1)"));
    ASSERT_FALSE(result);
    EXPECT_FALSE(connection.in_transaction());
    EXPECT_NE(result.error().detail().find("the transaction was rolled back"), std::string_view::npos);
}

TEST_F(SqliteConnectionTest, AResultThatIsTooLargeIsRefused) {
    Connections small{{.path = file_, .max_result_bytes = 1000}};
    auto connection = open(small);
    const auto large = wait(connection.query("SELECT zeroblob(2000)"));
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error(), Errc::memory_limit_exceeded);
    EXPECT_TRUE(wait(connection.query("SELECT zeroblob(900)")));
    EXPECT_TRUE(wait(connection.execute("SELECT zeroblob(2000)"))) << "nobody keeps it";
}

TEST_F(SqliteConnectionTest, AResultOutlivesItsConnectionAndMayBeMoved) {
    std::optional<Connection> connection{open()};
    auto result = wait(connection->query("VALUES ('one', 1), ('two', 2)")).value();
    connection.reset();

    std::optional<QueryResult> moved{std::move(result)};
    const auto first = (*moved)[0].get<std::string_view>(0).value();
    const QueryResult copy = *moved;
    moved.reset();

    EXPECT_EQ(first, "one");
    int sum = 0;
    for (const auto row : copy.rows()) sum += row.get<int>(1).value();
    EXPECT_EQ(sum, 3);
}

TEST_F(SqliteConnectionTest, CallsHaveTheirTurnsInTheOrderInWhichTheyCame) {
    auto connection = open();
    ASSERT_TRUE(wait(connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, m INT)")));
    std::vector<Started<Result<std::uint64_t>>> calls;
    for (int i = 0; i < 50; ++i)
        calls.push_back(testing::start(io_, connection.execute("INSERT INTO t (m) VALUES (?)", i)));
    for (const auto& call : calls) run_until_ended(call);
    EXPECT_EQ(value_of(connection, "SELECT count(*) FROM t WHERE m = n - 1"), 50);
}

TEST_F(SqliteConnectionTest, ACachedStatementSeesAChangedSchema) {
    auto connection = open();
    auto other = open();
    ASSERT_TRUE(wait(connection.execute_script("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")));
    ASSERT_EQ(wait(connection.query("SELECT * FROM t")).value().columns(), 1U);

    ASSERT_TRUE(wait(other.execute("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new'")));

    const auto result = wait(connection.query("SELECT * FROM t")).value();
    ASSERT_EQ(result.columns(), 2U);
    EXPECT_EQ(result.column_name(1), "b");
    EXPECT_EQ(result[0].get<std::string_view>("b").value(), "new");
    ASSERT_TRUE(wait(other.execute("DROP TABLE t")));
    EXPECT_EQ(wait(connection.query("SELECT * FROM t")).error(), SqliteErrc::invalid_statement);
}

TEST_F(SqliteConnectionTest, NoParameterOfAnEarlierCallIsLeft) {
    auto connection = open();
    const auto sql = "SELECT ?1 IS NULL";
    EXPECT_EQ(wait(connection.query(sql, 1)).value()[0].get<bool>(0).value(), false);
    EXPECT_EQ(wait(connection.query(sql, nullptr)).value()[0].get<bool>(0).value(), true);
}

} // namespace
} // namespace velostream::sqlite
