// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/sqlite/value.hpp"

namespace velostream::sqlite {

namespace detail {

/// One value of a result, of 16 bytes; those of texts and blobs lie elsewhere, in one piece for the whole result.
struct Cell {
    ValueType type = ValueType::null;
    std::uint32_t size = 0; // of a text or blob, whose begin is at `offset`
    union {
        std::int64_t integer = 0;
        double real;
        std::uint64_t offset;
    };
};

struct RowData {
    std::vector<std::string> columns;
    std::vector<Cell> cells; // row by row
    std::vector<char> bytes; // of texts and blobs

    std::size_t rows = 0;
    std::uint64_t affected = 0;
    std::int64_t last_insert_id = 0;

    std::string_view text(const Cell& cell) const noexcept { return {bytes.data() + cell.offset, cell.size}; }
    std::span<const std::byte> blob(const Cell& cell) const noexcept {
        return std::as_bytes(std::span{bytes.data() + cell.offset, cell.size});
    }
};

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
constexpr bool is_type_of(ValueType type) noexcept {
    return std::integral<T> && type == ValueType::integer;
}

} // namespace detail

/// One row of a `QueryResult`.
///
/// Lifetime: the result that it is from, or a copy of it, must be there.
class Row {
  public:
    /// Null also where there is no such column.
    ValueType type(std::size_t column) const noexcept {
        return column < columns() ? cell(column).type : ValueType::null;
    }
    /// False also where there is no such column.
    bool is_null(std::size_t column) const noexcept { return column < columns() && type(column) == ValueType::null; }

    /// The value of a column, from 0, as a `T`; a view points into the result.
    ///
    /// | T | of a value that is |
    /// |---|---|
    /// | `bool` | integer, 0 or 1 |
    /// | any other integer | integer, if the value fits |
    /// | `float`, `double` | real or integer |
    /// | `std::string_view`, `std::string` | text |
    /// | `std::span<const std::byte>`, `Blob` | blob |
    /// | `std::optional` of these | the same, and empty for null |
    ///
    /// Errors: SqliteErrc::no_such_column, null_value, wrong_type, out_of_range. The detail names column and type.
    template <class T>
    Result<T> get(std::size_t column) const {
        if (column >= columns()) return no_column(std::to_string(column));
        const auto& found = cell(column);
        if constexpr (detail::is_optional<T>) {
            if (found.type == ValueType::null) return T{};
            auto value = read<typename T::value_type>(found);
            if (!value) return wrong(column, detail::is_type_of<typename T::value_type>(found.type));
            return T{*std::move(value)};
        } else {
            auto value = read<T>(found);
            if (!value) return wrong(column, detail::is_type_of<T>(found.type));
            return *std::move(value);
        }
    }
    /// The same of the first column of that name.
    template <class T>
    Result<T> get(std::string_view name) const {
        for (std::size_t index = 0; index < columns(); ++index)
            if (data_->columns[index] == name) return get<T>(index);
        return no_column(name);
    }

  private:
    friend class QueryResult;
    Row(const detail::RowData& data, std::size_t number) noexcept : data_(&data), number_(number) {}

    std::size_t columns() const noexcept { return data_->columns.size(); }
    const detail::Cell& cell(std::size_t column) const noexcept { return data_->cells[number_ * columns() + column]; }

    template <class T>
    std::optional<T> read(const detail::Cell& cell) const {
        if constexpr (std::same_as<T, bool>) {
            if (cell.type == ValueType::integer && (cell.integer == 0 || cell.integer == 1)) return cell.integer == 1;
        } else if constexpr (std::integral<T>) {
            if (cell.type == ValueType::integer && std::in_range<T>(cell.integer)) return static_cast<T>(cell.integer);
        } else if constexpr (std::floating_point<T>) {
            if (cell.type == ValueType::real) return static_cast<T>(cell.real);
            if (cell.type == ValueType::integer) return static_cast<T>(cell.integer);
        } else if constexpr (std::same_as<T, std::string_view> || std::same_as<T, std::string>) {
            if (cell.type == ValueType::text) return T{data_->text(cell)};
        } else if constexpr (std::same_as<T, std::span<const std::byte>>) {
            if (cell.type == ValueType::blob) return data_->blob(cell);
        } else {
            static_assert(std::same_as<T, Blob>, "a value cannot be read as this type");
            const auto bytes = data_->blob(cell);
            if (cell.type == ValueType::blob) return T(bytes.begin(), bytes.end());
        }
        return std::nullopt;
    }

    Error wrong(std::size_t column, bool is_type) const;
    Error no_column(std::string_view column) const;

    const detail::RowData* data_;
    std::size_t number_;
};

/// What a statement answered. It owns all values; copies are cheap and share them.
class QueryResult {
  public:
    QueryResult() : QueryResult(std::make_shared<detail::RowData>()) {}
    explicit QueryResult(std::shared_ptr<const detail::RowData> data) noexcept : data_(std::move(data)) {}

    /// Rows.
    std::size_t size() const noexcept { return data_->rows; }
    bool empty() const noexcept { return size() == 0; }

    std::size_t columns() const noexcept { return data_->columns.size(); }
    /// Empty if there are not so many.
    std::string_view column_name(std::size_t column) const noexcept {
        return column < columns() ? std::string_view{data_->columns[column]} : std::string_view{};
    }

    /// How many rows the statement itself has inserted, updated or deleted; else 0.
    std::uint64_t affected() const noexcept { return data_->affected; }
    /// The rowid of the row that this connection has inserted last; 0 if it has inserted none.
    std::int64_t last_insert_id() const noexcept { return data_->last_insert_id; }

    /// All of them, in order, as a random-access range: `for (const auto row : result.rows())`.
    auto rows() const noexcept {
        return std::views::iota(std::size_t{0}, size()) |
               std::views::transform([data = data_.get()](std::size_t number) { return Row{*data, number}; });
    }
    /// The one at `row`, which is below `size()`.
    Row operator[](std::size_t row) const noexcept { return {*data_, row}; }

  private:
    std::shared_ptr<const detail::RowData> data_;
};

} // namespace velostream::sqlite
