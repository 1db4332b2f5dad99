// SPDX-License-Identifier: Apache-2.0
#include "figures/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace velostream::bench {

namespace {

template <class... Values>
std::string text(const char* format, Values... values) {
    std::array<char, 64> buffer{};
    std::snprintf(buffer.data(), buffer.size(), format, values...); // NOLINT: formats are ours
    return buffer.data();
}

std::string number(double value) {
    return text(std::abs(value) < 10 ? "%.2f" : "%.1f", value);
}

using Cells = std::vector<std::string>;

/// Columns as wide as they must be: text to the left, figures to the right.
std::string lay_out(const std::vector<Cells>& lines, std::string_view alignment) {
    std::vector<std::size_t> widths(alignment.size(), 0);
    for (const auto& line : lines)
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());

    std::string table;
    for (const auto& line : lines) {
        std::string laid_out;
        for (std::size_t i = 0; i < line.size(); ++i) {
            const std::string padding(widths[i] - line[i].size(), ' ');
            if (i > 0) laid_out += "  ";
            laid_out += alignment[i] == 'r' ? padding + line[i] : line[i] + padding;
        }
        laid_out.erase(laid_out.find_last_not_of(' ') + 1);
        table += laid_out + '\n';
    }
    return table;
}

nlohmann::ordered_json or_null(const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

} // namespace

std::string time_text(double ns) {
    constexpr std::array<std::pair<double, const char*>, 4> units{
        {{1e9, " s"}, {1e6, " ms"}, {1e3, " us"}, {1, " ns"}}};
    const auto* unit = std::ranges::find_if(units, [ns](const auto& each) { return std::abs(ns) >= each.first; });
    if (unit == units.end()) --unit;
    const double value = ns / unit->first;
    return text(std::abs(value) < 10 ? "%.2f" : std::abs(value) < 100 ? "%.1f" : "%.0f", value) + unit->second;
}

std::string to_table(const std::vector<Row>& rows) {
    std::vector<Cells> lines{
        {"benchmark", "threads", "measured", "min", "max", "cpu", "allocs", "floor", "", "by", "ratio", "goal", "met"}};
    for (const auto& row : rows) {
        Cells cells{row.name,
                    std::to_string(row.threads),
                    time_text(row.median_ns),
                    time_text(row.min_ns),
                    time_text(row.max_ns),
                    time_text(row.cpu_ns),
                    number(row.allocs_per_op)};
        if (row.goal) {
            cells.insert(cells.end(), {row.floor.value_or("absolute"), time_text(row.floor_ns.value_or(0)),
                                       row.judged_by, number(*row.ratio), number(*row.goal), row.met ? "yes" : "NO"});
        }
        lines.push_back(std::move(cells));
    }
    return lay_out(lines, "lrrrrrrlrlrrl");
}

std::string to_table(const std::vector<Growth>& growth) {
    if (growth.empty()) return {};
    std::vector<Cells> lines{{"growth", "from", "to", "exponent"}};
    for (const auto& each : growth)
        lines.push_back({each.what, text("%.0f", each.from), text("%.0f", each.to), text("%.3f", each.exponent)});
    return lay_out(lines, "lrrr");
}

std::string to_json(const std::vector<Row>& rows) {
    auto array = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        nlohmann::ordered_json object;
        object["name"] = row.name;
        object["threads"] = row.threads;
        object["median_ns"] = row.median_ns;
        object["min_ns"] = row.min_ns;
        object["max_ns"] = row.max_ns;
        object["cpu_ns"] = row.cpu_ns;
        object["allocs_per_op"] = row.allocs_per_op;
        object["floor"] = row.floor ? nlohmann::ordered_json(*row.floor) : nlohmann::ordered_json();
        object["ratio"] = or_null(row.ratio);
        object["goal"] = or_null(row.goal);
        object["met"] = row.met;
        array.push_back(std::move(object));
    }
    return array.dump(2);
}

} // namespace velostream::bench
