// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/result.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstring>
#include <limits>

namespace velostream::postgres {

namespace {

// Numbers of `pg_type` that never change. The server has no public header for them.
enum Type : std::uint32_t {
    type_bool = 16,
    type_bytea = 17,
    type_char = 18,
    type_name = 19,
    type_int8 = 20,
    type_int2 = 21,
    type_int4 = 23,
    type_text = 25,
    type_oid = 26,
    type_json = 114,
    type_xml = 142,
    type_float4 = 700,
    type_float8 = 701,
    type_unknown = 705,
    type_bpchar = 1042,
    type_varchar = 1043,
    type_date = 1082,
    type_timestamp = 1114,
    type_timestamptz = 1184,
    type_jsonb = 3802,
};
constexpr std::uint32_t first_type_of_users = 16384;

struct TypeName {
    std::uint32_t type;
    std::string_view name;
};
constexpr std::array type_names{
    TypeName{type_bool, "boolean"},
    TypeName{type_bytea, "bytea"},
    TypeName{type_char, "\"char\""},
    TypeName{type_name, "name"},
    TypeName{type_int8, "bigint"},
    TypeName{type_int2, "smallint"},
    TypeName{type_int4, "integer"},
    TypeName{type_text, "text"},
    TypeName{type_oid, "oid"},
    TypeName{type_json, "json"},
    TypeName{type_xml, "xml"},
    TypeName{type_float4, "real"},
    TypeName{type_float8, "double precision"},
    TypeName{type_bpchar, "char"},
    TypeName{type_varchar, "varchar"},
    TypeName{type_date, "date"},
    TypeName{type_timestamp, "timestamp"},
    TypeName{type_timestamptz, "timestamptz"},
    TypeName{type_jsonb, "jsonb"},
    TypeName{1083, "time"},
    TypeName{1186, "interval"},
    TypeName{1700, "numeric"},
    TypeName{2950, "uuid"},
    TypeName{2278, "void"},
};

std::string name_of(std::uint32_t type) {
    const auto* const known = std::ranges::find(type_names, type, &TypeName::type);
    return known == type_names.end() ? "number " + std::to_string(type) : std::string{known->name};
}

// Big-endian, as everything that the server sends.
template <std::unsigned_integral Number>
Number number_at(const char* bytes) noexcept {
    Number number = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        number = static_cast<Number>(number << 8U) | static_cast<unsigned char>(bytes[i]);
    return number;
}

Error failed(PostgresErrc code, const detail::Cell& cell, std::string_view wanted) {
    std::string detail{"column "};
    detail.append(cell.column).append(" of type ").append(name_of(cell.type));
    detail.append(" was asked for as ").append(wanted);
    if (code == PostgresErrc::wrong_type) detail.append("; ::text in the statement gives any type as a text");
    return Error{make_error_code(code), std::move(detail)};
}

std::optional<std::int64_t> integer_of(const detail::Cell& cell) noexcept {
    if (cell.type == type_int2 && cell.size == 2)
        return static_cast<std::int16_t>(number_at<std::uint16_t>(cell.bytes));
    if (cell.type == type_int4 && cell.size == 4)
        return static_cast<std::int32_t>(number_at<std::uint32_t>(cell.bytes));
    if (cell.type == type_int8 && cell.size == 8)
        return static_cast<std::int64_t>(number_at<std::uint64_t>(cell.bytes));
    if (cell.type == type_oid && cell.size == 4) return number_at<std::uint32_t>(cell.bytes);
    return std::nullopt;
}

template <class Integer>
Result<Integer> integer(const detail::Cell& cell, std::string_view wanted) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, wanted);
    const auto value = integer_of(cell);
    if (!value) return failed(PostgresErrc::wrong_type, cell, wanted);
    using Limits = std::numeric_limits<Integer>;
    if (*value < Limits::min() || *value > Limits::max()) return failed(PostgresErrc::out_of_range, cell, wanted);
    return static_cast<Integer>(*value);
}

bool is_text(std::uint32_t type) noexcept {
    switch (type) {
        case type_char:
        case type_name:
        case type_text:
        case type_json:
        case type_xml:
        case type_unknown:
        case type_bpchar:
        case type_varchar:
            return true;
        default:
            return type >= first_type_of_users; // an enumeration, as a rule, or an extension's text
    }
}

using Micros = std::chrono::duration<std::int64_t, std::micro>;
constexpr std::chrono::sys_days epoch = std::chrono::January / 1 / 2000;

} // namespace

namespace detail {

Result<bool> decode(const Cell& cell, As<bool>) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "bool");
    if (cell.type != type_bool || cell.size != 1) return failed(PostgresErrc::wrong_type, cell, "bool");
    return *cell.bytes != 0;
}

Result<std::int16_t> decode(const Cell& cell, As<std::int16_t>) {
    return integer<std::int16_t>(cell, "int16");
}
Result<std::int32_t> decode(const Cell& cell, As<std::int32_t>) {
    return integer<std::int32_t>(cell, "int32");
}
Result<std::int64_t> decode(const Cell& cell, As<std::int64_t>) {
    return integer<std::int64_t>(cell, "int64");
}

Result<float> decode(const Cell& cell, As<float>) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "float");
    if (cell.type != type_float4 || cell.size != 4) return failed(PostgresErrc::wrong_type, cell, "float");
    return std::bit_cast<float>(number_at<std::uint32_t>(cell.bytes));
}

Result<double> decode(const Cell& cell, As<double>) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "double");
    if (cell.type == type_float8 && cell.size == 8) return std::bit_cast<double>(number_at<std::uint64_t>(cell.bytes));
    if (cell.type == type_float4 && cell.size == 4)
        return static_cast<double>(std::bit_cast<float>(number_at<std::uint32_t>(cell.bytes)));
    return failed(PostgresErrc::wrong_type, cell, "double");
}

Result<std::string_view> decode(const Cell& cell, As<std::string_view>) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "text");
    // The first byte is a version, of which there is one.
    if (cell.type == type_jsonb && cell.size >= 1) return std::string_view{cell.bytes + 1, cell.size - 1};
    if (!is_text(cell.type)) return failed(PostgresErrc::wrong_type, cell, "text");
    return std::string_view{cell.bytes, cell.size};
}

Result<std::string> decode(const Cell& cell, As<std::string>) {
    const auto view = decode(cell, As<std::string_view>{});
    if (!view) return view.error();
    return std::string{*view};
}

Result<std::span<const std::byte>> decode(const Cell& cell, As<std::span<const std::byte>>) {
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "bytes");
    return std::span{reinterpret_cast<const std::byte*>(cell.bytes), cell.size};
}

Result<std::chrono::system_clock::time_point> decode(const Cell& cell, As<std::chrono::system_clock::time_point>) {
    using Time = std::chrono::system_clock::time_point;
    if (cell.is_null) return failed(PostgresErrc::null_value, cell, "time");
    // `infinity` is the largest number there is, so it does not fit either.
    constexpr auto first = std::chrono::ceil<Micros>(Time::min()) - epoch;
    constexpr auto last = std::chrono::floor<Micros>(Time::max()) - epoch;
    Micros since{};
    if ((cell.type == type_timestamptz || cell.type == type_timestamp) && cell.size == 8) {
        since = Micros{static_cast<std::int64_t>(number_at<std::uint64_t>(cell.bytes))};
    } else if (cell.type == type_date && cell.size == 4) {
        const std::chrono::days days{static_cast<std::int32_t>(number_at<std::uint32_t>(cell.bytes))};
        if (days < std::chrono::ceil<std::chrono::days>(first) || days > std::chrono::floor<std::chrono::days>(last))
            return failed(PostgresErrc::out_of_range, cell, "time"); // too many for microseconds
        since = days;
    } else {
        return failed(PostgresErrc::wrong_type, cell, "time");
    }
    if (since < first || since > last) return failed(PostgresErrc::out_of_range, cell, "time");
    return Time{epoch + since};
}

} // namespace detail

void QueryResult::Clear::operator()(pg_result* result) const noexcept {
    PQclear(result);
}

std::size_t QueryResult::size() const noexcept {
    return static_cast<std::size_t>(PQntuples(result_.get()));
}

std::size_t QueryResult::columns() const noexcept {
    return static_cast<std::size_t>(PQnfields(result_.get()));
}

std::string_view QueryResult::column_name(std::size_t column) const noexcept {
    if (column >= columns()) return {};
    return PQfname(result_.get(), static_cast<int>(column));
}

std::optional<std::size_t> QueryResult::column(std::string_view name) const noexcept {
    for (std::size_t column = 0; column < columns(); ++column)
        if (column_name(column) == name) return column;
    return std::nullopt;
}

std::uint64_t QueryResult::affected() const noexcept {
    std::uint64_t rows = 0;
    if (!result_) return rows;
    const std::string_view text = PQcmdTuples(result_.get());
    std::from_chars(text.data(), text.data() + text.size(), rows);
    return rows;
}

detail::Cell QueryResult::cell(std::size_t row, std::size_t column) const noexcept {
    const auto r = static_cast<int>(row);
    const auto c = static_cast<int>(column);
    return {PQgetvalue(result_.get(), r, c), static_cast<std::size_t>(PQgetlength(result_.get(), r, c)),
            PQgetisnull(result_.get(), r, c) != 0, PQftype(result_.get(), c), PQfname(result_.get(), c)};
}

Error Row::missing(const std::string& column) const {
    std::string detail{column};
    detail.append("; there are");
    for (std::size_t i = 0; i < result_->columns(); ++i)
        detail.append(i == 0 ? " " : ", ").append(result_->column_name(i));
    if (result_->columns() == 0) detail.append(" none");
    return Error{make_error_code(PostgresErrc::no_such_column), std::move(detail)};
}

} // namespace velostream::postgres
