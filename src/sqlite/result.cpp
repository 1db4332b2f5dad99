// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/result.hpp"

#include "velostream/sqlite/error.hpp"

namespace velostream::sqlite {

std::string_view to_string(ValueType type) noexcept {
    switch (type) {
        case ValueType::null:
            return "null";
        case ValueType::integer:
            return "integer";
        case ValueType::real:
            return "real";
        case ValueType::text:
            return "text";
        case ValueType::blob:
            return "blob";
    }
    return "unknown";
}

Error Row::wrong(std::size_t column, bool is_type) const {
    const auto found = type(column);
    auto code = SqliteErrc::wrong_type;
    if (found == ValueType::null) code = SqliteErrc::null_value;
    if (is_type) code = SqliteErrc::out_of_range;
    auto text = "column " + std::to_string(column) + " (" + data_->columns[column] + ") of type ";
    text += to_string(found);
    return {make_error_code(code), std::move(text)};
}

Error Row::no_column(std::string_view column) const {
    return {make_error_code(SqliteErrc::no_such_column), std::string{column}};
}

} // namespace velostream::sqlite
