// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "velostream/base/result.hpp"
#include "velostream/postgres/error.hpp"

struct pg_result;

namespace velostream::postgres {

namespace detail {

/// One value of a result, as the server has sent it.
struct Cell {
    const char* bytes = nullptr;
    std::size_t size = 0;
    bool is_null = false;
    std::uint32_t type = 0; ///< its number in `pg_type`
    std::string_view column;
};

template <class T>
struct As {};

Result<bool> decode(const Cell& cell, As<bool>);
Result<std::int16_t> decode(const Cell& cell, As<std::int16_t>);
Result<std::int32_t> decode(const Cell& cell, As<std::int32_t>);
Result<std::int64_t> decode(const Cell& cell, As<std::int64_t>);
Result<float> decode(const Cell& cell, As<float>);
Result<double> decode(const Cell& cell, As<double>);
Result<std::string_view> decode(const Cell& cell, As<std::string_view>);
Result<std::string> decode(const Cell& cell, As<std::string>);
Result<std::span<const std::byte>> decode(const Cell& cell, As<std::span<const std::byte>>);
Result<std::chrono::system_clock::time_point> decode(const Cell& cell, As<std::chrono::system_clock::time_point>);

template <class T>
Result<std::optional<T>> decode(const Cell& cell, As<std::optional<T>>) {
    if (cell.is_null) return std::optional<T>{};
    auto value = decode(cell, As<T>{});
    if (!value) return value.error();
    return std::optional<T>{*value};
}

} // namespace detail

/// A type that a value of a result can be asked for as.
template <class T>
concept Readable = requires(const detail::Cell& cell) {
    { detail::decode(cell, detail::As<T>{}) } -> std::same_as<Result<T>>;
};

class Row;

/// What a statement has answered: all of its rows, where libpq has put them.
///
/// Threads:  a value; several threads may read one.
/// Lifetime: rows belong to it where it stands. Texts and bytes that are read from them live as long as it does, also
///           once it was moved.
class QueryResult {
  public:
    /// Without columns and rows.
    QueryResult() = default;
    /// Takes it over.
    explicit QueryResult(pg_result* result) noexcept : result_(result) {}

    /// Rows.
    std::size_t size() const noexcept;
    bool empty() const noexcept { return size() == 0; }

    std::size_t columns() const noexcept;
    /// Empty if there are not so many.
    std::string_view column_name(std::size_t column) const noexcept;
    /// The first column of this name, as the server writes it (in small letters unless quoted); nothing if none has it.
    std::optional<std::size_t> column(std::string_view name) const noexcept;

    /// How many rows `INSERT`, `UPDATE`, `DELETE` or `MERGE` have changed, or a `SELECT` has given; else 0.
    std::uint64_t affected() const noexcept;

    class Rows;
    /// All of them, in order, for a range `for`.
    Rows rows() const noexcept;
    /// The one at `row`, which is below `size()`.
    Row operator[](std::size_t row) const noexcept;

  private:
    friend class Row;

    detail::Cell cell(std::size_t row, std::size_t column) const noexcept;

    struct Clear {
        void operator()(pg_result* result) const noexcept;
    };
    std::unique_ptr<pg_result, Clear> result_;
};

/// One row of a result.
///
/// Lifetime: within that of its result, which must not be moved meanwhile.
class Row {
  public:
    /// The value of a column, from 0, as a `T`; a text or bytes point into the result.
    ///
    /// | T | of a column of the type |
    /// |---|---|
    /// | `bool` | `boolean` |
    /// | `std::int16_t`, `std::int32_t`, `std::int64_t` | `smallint`, `integer`, `bigint`, `oid`, if the value fits |
    /// | `float` | `real` |
    /// | `double` | `real`, `double precision` |
    /// | `std::string_view`, `std::string` | `text`, `varchar`, `char`, `name`, `json`, `jsonb`, `xml`, enumerations |
    /// | `std::span<const std::byte>` | `bytea`; of any other type its binary form |
    /// | `std::chrono::system_clock::time_point` | `timestamptz`; `timestamp` and `date` as if in UTC; if it fits |
    /// | `std::optional` of these | the same, and empty for null |
    ///
    /// Others are read as a text that the statement asks for: `select price::text`.
    ///
    /// Errors: PostgresErrc::no_such_column, null_value, wrong_type, out_of_range. The detail names column and type.
    template <Readable T>
    Result<T> get(std::size_t column) const {
        if (column >= result_->columns()) return missing(std::to_string(column));
        return detail::decode(result_->cell(row_, column), detail::As<T>{});
    }
    /// The same by name.
    template <Readable T>
    Result<T> get(std::string_view name) const {
        const auto column = result_->column(name);
        if (!column) return missing(std::string{name});
        return get<T>(*column);
    }

    /// False also where there is no such column.
    bool is_null(std::size_t column) const noexcept {
        return column < result_->columns() && result_->cell(row_, column).is_null;
    }

  private:
    friend class QueryResult;

    Row(const QueryResult& result, std::size_t row) noexcept : result_(&result), row_(row) {}
    Error missing(const std::string& column) const;

    const QueryResult* result_;
    std::size_t row_;
};

/// The rows of a result as a range.
class QueryResult::Rows {
  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = Row;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        iterator(const QueryResult& result, std::size_t row) noexcept : result_(&result), row_(row) {}
        Row operator*() const noexcept { return (*result_)[row_]; }
        iterator& operator++() noexcept {
            ++row_;
            return *this;
        }
        iterator operator++(int) noexcept { return {*result_, row_++}; }
        bool operator==(const iterator& other) const noexcept { return row_ == other.row_; }

      private:
        const QueryResult* result_ = nullptr;
        std::size_t row_ = 0;
    };

    explicit Rows(const QueryResult& result) noexcept : result_(&result) {}
    iterator begin() const noexcept { return {*result_, 0}; }
    iterator end() const noexcept { return {*result_, result_->size()}; }

  private:
    const QueryResult* result_;
};

inline QueryResult::Rows QueryResult::rows() const noexcept {
    return Rows{*this};
}

inline Row QueryResult::operator[](std::size_t row) const noexcept {
    return {*this, row};
}

} // namespace velostream::postgres
