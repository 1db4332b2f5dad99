// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/table.hpp"

#include <algorithm>

#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

namespace {

constexpr std::size_t gap = 2;

std::string padded(const std::string& text, std::size_t width, Table::Align align) {
    const auto taken = columns(text);
    const std::string space(width > taken ? width - taken : 0, ' ');
    return align == Table::Align::left ? text + space : space + text;
}

} // namespace

std::string Table::text(std::optional<std::size_t> width) const {
    std::vector<std::string> headings;
    std::vector<std::size_t> widths;
    for (std::size_t at = 0; at < columns_.size(); ++at) {
        headings.push_back(columns_[at].heading);
        widths.push_back(columns(columns_[at].heading));
        for (const auto& row : rows_) widths.back() = std::max(widths.back(), columns(row[at]));
    }
    std::string text;
    const auto line = [&](const std::vector<std::string>& row) {
        std::string cells;
        for (std::size_t at = 0; at < row.size(); ++at)
            cells += padded(row[at], widths[at], columns_[at].align) + std::string(gap, ' ');
        if (width) cells = cut_to_columns(cells.substr(0, cells.find_last_not_of(' ') + 1), *width);
        text += cells.substr(0, cells.find_last_not_of(' ') + 1) + '\n';
    };
    line(headings);
    for (const auto& row : rows_) line(row);
    return text;
}

} // namespace velostream::dlq
