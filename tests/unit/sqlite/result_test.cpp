// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/result.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <ranges>
#include <string>

#include "velostream/sqlite/error.hpp"

namespace velostream::sqlite {
namespace {

detail::Cell integer(std::int64_t value) {
    detail::Cell cell{.type = ValueType::integer};
    cell.integer = value;
    return cell;
}

detail::Cell real(double value) {
    detail::Cell cell{.type = ValueType::real};
    cell.real = value;
    return cell;
}

detail::Cell bytes(ValueType type, std::uint64_t offset, std::uint32_t size) {
    detail::Cell cell{.type = type, .size = size};
    cell.offset = offset;
    return cell;
}

// One row of each type, with "text" and the bytes "blob" in one piece.
QueryResult every_type() {
    auto data = std::make_shared<detail::RowData>();
    data->columns = {"none", "whole", "broken", "words", "bytes"};
    for (const char c : std::string{"textblob"}) data->bytes.push_back(c);
    data->cells = {{}, integer(300), real(0.5), bytes(ValueType::text, 0, 4), bytes(ValueType::blob, 4, 4)};
    data->rows = 1;
    return QueryResult{std::move(data)};
}

TEST(SqliteQueryResult, GivesEachValueAsItsType) {
    const auto result = every_type();
    const auto row = result[0];
    EXPECT_EQ(row.get<std::int64_t>(1).value(), 300);
    EXPECT_EQ(row.get<std::uint16_t>("whole").value(), 300);
    EXPECT_EQ(row.get<double>(2).value(), 0.5);
    EXPECT_EQ(row.get<float>(1).value(), 300.0F);
    EXPECT_EQ(row.get<std::string_view>(3).value(), "text");
    EXPECT_EQ(row.get<std::string>("words").value(), "text");
    EXPECT_EQ(row.get<std::span<const std::byte>>(4).value().front(), std::byte{'b'});
    EXPECT_EQ(row.get<Blob>(4).value().size(), 4U);
}

TEST(SqliteQueryResult, ATextIsNotCopied) {
    const auto result = every_type();
    const auto row = result[0];
    EXPECT_EQ(row.get<std::string_view>(3).value().data(), row.get<std::string_view>(3).value().data());
    const auto copy = result;
    EXPECT_EQ(copy[0].get<std::string_view>(3).value().data(), row.get<std::string_view>(3).value().data());
}

TEST(SqliteQueryResult, AnOptionalIsEmptyForNullOnly) {
    const auto result = every_type();
    const auto row = result[0];
    EXPECT_EQ(row.get<std::optional<int>>(0).value(), std::nullopt);
    EXPECT_EQ(row.get<std::optional<int>>(1).value(), 300);
    EXPECT_EQ(row.get<std::optional<int>>(3).error(), SqliteErrc::wrong_type);
}

TEST(SqliteQueryResult, SaysWhyItHasNoSuchValue) {
    const auto result = every_type();
    const auto row = result[0];
    EXPECT_EQ(row.get<int>(0).error(), SqliteErrc::null_value);
    EXPECT_EQ(row.get<std::int8_t>(1).error(), SqliteErrc::out_of_range);
    EXPECT_EQ(row.get<bool>(1).error(), SqliteErrc::out_of_range);
    EXPECT_EQ(row.get<int>(2).error(), SqliteErrc::wrong_type);
    EXPECT_EQ(row.get<std::string>(1).error(), SqliteErrc::wrong_type);
    EXPECT_EQ(row.get<std::string>(4).error(), SqliteErrc::wrong_type);
    EXPECT_EQ(row.get<Blob>(3).error(), SqliteErrc::wrong_type);
    EXPECT_EQ(row.get<int>(5).error(), SqliteErrc::no_such_column);
    EXPECT_EQ(row.get<int>("nothing").error(), SqliteErrc::no_such_column);
    EXPECT_EQ(row.get<std::string>(1).error().detail(), "column 1 (whole) of type integer");
}

TEST(SqliteQueryResult, ABoolIsZeroOrOne) {
    auto data = std::make_shared<detail::RowData>();
    data->columns = {"n"};
    data->cells = {integer(0), integer(1), integer(2)};
    data->rows = 3;
    const QueryResult result{std::move(data)};
    EXPECT_EQ(result[0].get<bool>(0).value(), false);
    EXPECT_EQ(result[1].get<bool>(0).value(), true);
    EXPECT_FALSE(result[2].get<bool>(0));
}

TEST(SqliteQueryResult, RowsAreARange) {
    auto data = std::make_shared<detail::RowData>();
    data->columns = {"n"};
    data->cells = {integer(1), integer(2), integer(4)};
    data->rows = 3;
    const QueryResult result{std::move(data)};
    static_assert(std::ranges::random_access_range<decltype(result.rows())>);
    int sum = 0;
    for (const auto row : result.rows()) sum += row.get<int>(0).value();
    EXPECT_EQ(sum, 7);
    EXPECT_EQ(result.size(), 3U);
}

TEST(SqliteQueryResult, KnowsItsColumns) {
    const auto result = every_type();
    EXPECT_EQ(result.columns(), 5U);
    EXPECT_EQ(result.column_name(3), "words");
    EXPECT_EQ(result.column_name(5), "");
    EXPECT_TRUE(result[0].is_null(0));
    EXPECT_FALSE(result[0].is_null(1));
    EXPECT_FALSE(result[0].is_null(5));
    EXPECT_EQ(result[0].type(2), ValueType::real);
    EXPECT_EQ(result[0].type(5), ValueType::null);
}

TEST(SqliteQueryResult, IsEmptyWithoutAStatement) {
    const QueryResult result;
    EXPECT_TRUE(result.empty());
    EXPECT_EQ(result.columns(), 0U);
    EXPECT_EQ(result.affected(), 0U);
    EXPECT_EQ(result.last_insert_id(), 0);
}

} // namespace
} // namespace velostream::sqlite
