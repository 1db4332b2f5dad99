// SPDX-License-Identifier: Apache-2.0
#include "lookup/segment_table.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "input/byte_source.hpp"
#include "input/csv.hpp"
#include "input/input_error.hpp"

namespace orders {

using velostream::Result;

namespace {

constexpr std::string_view header = "customer,segment";

void append_quoted(std::string& sql, std::string_view text) {
    sql += '\'';
    for (const char c : text) {
        if (c == '\'') sql += '\''; // a quote is written twice
        sql += c;
    }
    sql += '\'';
}

} // namespace

Result<std::string> fill_table_sql(const std::string& path) {
    const auto bytes = open_bytes(path, [] { return false; });
    if (!bytes) return bytes.error();

    std::string sql = "INSERT INTO customer_segments VALUES ";
    RecordSplitter records;
    std::array<char, 1 << 16> block;
    bool is_header = true, is_first = true;
    for (std::size_t size = 1; size > 0;) {
        const auto read = (*bytes)->read(block.data(), block.size());
        if (!read) return read.error();
        size = *read;
        if (size > 0)
            records.feed({block.data(), size});
        else
            records.finish();
        while (const auto record = records.next()) {
            if (is_header && *record != header) return unreadable(path, "its header is not " + std::string{header});
            if (std::exchange(is_header, false)) continue;
            const RecordFields fields{*record};
            if (fields.count() != 2)
                return unreadable(path, "this is no customer with a segment: " + std::string{*record});
            sql += std::exchange(is_first, false) ? "(" : ",(";
            append_quoted(sql, fields[0]);
            sql += ',';
            append_quoted(sql, fields[1]);
            sql += ')';
        }
    }
    if (is_first) return unreadable(path, "it has no customers");
    return sql;
}

} // namespace orders
