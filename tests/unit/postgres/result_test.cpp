// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/result.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <limits>

namespace velostream::postgres {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::system_clock::time_point;
using Bytes = std::span<const std::byte>;

constexpr Oid oid_bool = 16, oid_bytea = 17, oid_int8 = 20, oid_int2 = 21, oid_int4 = 23, oid_text = 25,
              oid_float4 = 700, oid_float8 = 701, oid_date = 1082, oid_timestamptz = 1184, oid_numeric = 1700,
              oid_jsonb = 3802;
constexpr Oid oid_of_an_enumeration = 16'400;

/// A number as the server sends it.
std::string big_endian(std::uint64_t number, std::size_t size) {
    std::string bytes;
    for (auto i = size; i > 0; --i) bytes.push_back(static_cast<char>(number >> (8 * (i - 1))));
    return bytes;
}
std::string sent(std::int64_t number, std::size_t size) {
    return big_endian(static_cast<std::uint64_t>(number), size);
}

/// A result of one row and one column, `value`.
QueryResult result_of(Oid type, const std::optional<std::string>& value) {
    auto* const raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
    std::string name{"price"};
    PGresAttDesc column{name.data(), 0, 0, 1, type, -1, -1};
    EXPECT_EQ(PQsetResultAttrs(raw, 1, &column), 1);
    auto bytes = value.value_or("");
    EXPECT_EQ(PQsetvalue(raw, 0, 0, value ? bytes.data() : nullptr, value ? static_cast<int>(bytes.size()) : -1), 1);
    return QueryResult{raw};
}

template <class T>
Result<T> read(Oid type, const std::optional<std::string>& value) {
    const auto result = result_of(type, value);
    return result[0].get<T>(0);
}

TEST(QueryResult, IntegersOfEverySizeAreReadAsAnyThatHoldsThem) {
    for (const auto& [type, size] : {std::pair{oid_int2, 2U}, {oid_int4, 4U}, {oid_int8, 8U}}) {
        for (const std::int64_t value : {0, 1, -1, 32767, -32768}) {
            EXPECT_EQ(read<std::int16_t>(type, sent(value, size)).value(), value);
            EXPECT_EQ(read<std::int32_t>(type, sent(value, size)).value(), value);
            EXPECT_EQ(read<std::int64_t>(type, sent(value, size)).value(), value);
        }
    }
    for (const std::int64_t value : {32768, -32769})
        EXPECT_EQ(read<std::int16_t>(oid_int4, sent(value, 4)).error(), PostgresErrc::out_of_range) << value;
    for (const std::int64_t value : {2147483648, -2147483649})
        EXPECT_EQ(read<std::int32_t>(oid_int8, sent(value, 8)).error(), PostgresErrc::out_of_range) << value;
    EXPECT_EQ(read<std::int64_t>(oid_int8, sent(std::numeric_limits<std::int64_t>::min(), 8)).value(),
              std::numeric_limits<std::int64_t>::min());
}

TEST(QueryResult, AFloatIsReadAsADoubleButNotTheOtherWayRound) {
    const auto single = big_endian(std::bit_cast<std::uint32_t>(0.1F), 4);
    const auto twice = big_endian(std::bit_cast<std::uint64_t>(0.1), 8);
    EXPECT_EQ(read<float>(oid_float4, single).value(), 0.1F);
    EXPECT_EQ(read<double>(oid_float4, single).value(), static_cast<double>(0.1F));
    EXPECT_EQ(read<double>(oid_float8, twice).value(), 0.1);
    EXPECT_EQ(read<float>(oid_float8, twice).error(), PostgresErrc::wrong_type);
}

TEST(QueryResult, TextsAndBytesPointIntoIt) {
    auto result = result_of(oid_text, "a text");
    const auto text = result[0].get<std::string_view>(0).value();
    const auto moved = std::move(result);
    EXPECT_EQ(moved[0].get<std::string_view>(0).value().data(), text.data());
    EXPECT_EQ(text, "a text");
    EXPECT_EQ(moved[0].get<Bytes>(0).value().size(), 6u);
    EXPECT_EQ(result.size(), 0u) << "NOLINT: what was moved from is empty";
}

TEST(QueryResult, TextsAreOfTextTypesEnumerationsAndJson) {
    EXPECT_EQ(read<std::string>(oid_of_an_enumeration, "happy").value(), "happy");
    EXPECT_EQ(read<std::string_view>(oid_jsonb, "\x01{}").value().size(), 2u);
    for (const auto type : {oid_numeric, oid_int4, oid_bytea, oid_date})
        EXPECT_EQ(read<std::string>(type, "xxxx").error(), PostgresErrc::wrong_type) << type;
}

TEST(QueryResult, TimesAreReadToTheMicrosecondWhereTheClockReaches) {
    const Time epoch = std::chrono::sys_days{std::chrono::January / 1 / 2000};
    EXPECT_EQ(read<Time>(oid_timestamptz, sent(0, 8)).value(), epoch);
    EXPECT_EQ(read<Time>(oid_timestamptz, sent(-1, 8)).value(), epoch - 1us);
    EXPECT_EQ(read<Time>(oid_date, sent(-1, 4)).value(), epoch - 24h);
    const auto most = std::numeric_limits<std::int64_t>::max();
    for (const auto value : {most, most / 2, -most, -most - 1})
        EXPECT_EQ(read<Time>(oid_timestamptz, sent(value, 8)).error(), PostgresErrc::out_of_range) << value;
    for (const auto value : {2147483647LL, -2147483648LL, 200'000LL, -200'000LL})
        EXPECT_EQ(read<Time>(oid_date, sent(value, 4)).error(), PostgresErrc::out_of_range) << value;
    const auto last = std::chrono::floor<std::chrono::microseconds>(Time::max());
    EXPECT_EQ(read<Time>(oid_timestamptz, sent((last - epoch) / 1us, 8)).value(), last);
    EXPECT_EQ(read<Time>(oid_timestamptz, sent((last - epoch) / 1us + 1, 8)).error(), PostgresErrc::out_of_range);
}

TEST(QueryResult, NullIsAnErrorUnlessItIsAskedFor) {
    EXPECT_EQ(read<int>(oid_int4, std::nullopt).error(), PostgresErrc::null_value);
    EXPECT_EQ(read<bool>(oid_bool, std::nullopt).error(), PostgresErrc::null_value);
    EXPECT_EQ(read<std::string_view>(oid_text, std::nullopt).error(), PostgresErrc::null_value);
    EXPECT_EQ(read<std::optional<int>>(oid_int4, std::nullopt).value(), std::nullopt);
    EXPECT_EQ(read<std::optional<int>>(oid_int4, sent(3, 4)).value(), 3);
    EXPECT_EQ(read<std::optional<bool>>(oid_int4, sent(3, 4)).error(), PostgresErrc::wrong_type);
}

TEST(QueryResult, AnErrorNamesColumnTypeAndWayOut) {
    EXPECT_EQ(
        read<bool>(oid_numeric, "").error().message(),
        "column of another type: column price of type numeric was asked for as bool; ::text in the statement gives "
        "any type as a text");
    const auto result = result_of(oid_int4, sent(1, 4));
    EXPECT_EQ(result[0].get<int>("cost").error().message(), "no such column: cost; there are price");
    EXPECT_EQ(result[0].get<int>(1).error(), PostgresErrc::no_such_column);
    EXPECT_EQ(result.column("price"), 0u);
    EXPECT_FALSE(result[0].is_null(1));
}

TEST(QueryResult, AnEmptyOneHasNothing) {
    const QueryResult nothing;
    EXPECT_TRUE(nothing.empty());
    EXPECT_EQ(nothing.columns(), 0u);
    EXPECT_EQ(nothing.affected(), 0u);
    EXPECT_EQ(nothing.column_name(0), "");
    EXPECT_EQ(nothing.rows().begin(), nothing.rows().end());
}

} // namespace
} // namespace velostream::postgres
