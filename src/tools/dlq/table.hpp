// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace velostream::dlq {

/// Rows under headings, for people. Columns are as wide as what stands in them.
class Table {
  public:
    enum class Align { left, right };
    struct Column {
        std::string heading;
        Align align = Align::left;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    /// One text for each column.
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

    /// Lines, each with its end. The last column is cut where a line would be longer than `width`.
    std::string text(std::optional<std::size_t> width) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace velostream::dlq
