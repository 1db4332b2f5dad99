// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/dlq/commands.hpp"
#include "tools/dlq/counted.hpp"
#include "tools/dlq/progress.hpp"
#include "tools/dlq/shown.hpp"
#include "tools/dlq/table.hpp"

namespace velostream::dlq {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t longest_message = 200;

std::string in_seconds(const std::optional<WallTime>& time) {
    constexpr std::size_t up_to_seconds = 19;
    return time ? to_text(*time).substr(0, up_to_seconds) : "-";
}

std::string word(const std::string& text) {
    constexpr std::size_t longest = 60;
    return text.empty() ? "-" : shown(std::string_view{text}, longest);
}

std::string fingerprint_text(std::uint64_t fingerprint) {
    return fmt::format("{:016x}", fingerprint);
}

Json json_of(const Group& group) {
    const auto time = [](const std::optional<WallTime>& at) { return at ? Json(to_text(*at)) : Json(); };
    Json json;
    if (group.fingerprint) json["fingerprint"] = fingerprint_text(*group.fingerprint);
    if (group.type) json["type"] = *group.type;
    if (group.original_topic) json["original_topic"] = *group.original_topic;
    if (group.hour) json["hour"] = to_text(*group.hour);
    json["count"] = group.count;
    json["first"] = time(group.first);
    json["last"] = time(group.last);
    json["sample"] = to_string(group.sample);
    json["message"] = group.message ? Json(*group.message) : Json();
    return json;
}

} // namespace

std::string groups_table(const std::vector<Group>& groups, GroupBy by, std::optional<std::size_t> width) {
    const bool by_fingerprint = by == GroupBy::fingerprint;
    std::vector<Table::Column> columns{{"LETTERS", Table::Align::right}};
    if (by_fingerprint) columns.push_back({"FINGERPRINT"});
    if (by_fingerprint || by == GroupBy::type) columns.push_back({"TYPE"});
    if (by_fingerprint || by == GroupBy::topic) columns.push_back({"ORIGINAL TOPIC"});
    if (by == GroupBy::hour) columns.push_back({"HOUR"});
    for (const auto* heading : {"FIRST", "LAST", "SAMPLE", "MESSAGE"}) columns.push_back({heading});

    Table table{std::move(columns)};
    for (const auto& group : groups) {
        constexpr std::size_t up_to_minutes = 16;
        std::vector<std::string> row{grouped(group.count)};
        if (by_fingerprint) row.push_back(fingerprint_text(*group.fingerprint));
        if (group.type) row.push_back(word(*group.type));
        if (group.original_topic) row.push_back(word(*group.original_topic));
        if (by == GroupBy::hour) row.push_back(group.hour ? to_text(*group.hour).substr(0, up_to_minutes) : "-");
        row.push_back(in_seconds(group.first));
        row.push_back(in_seconds(group.last));
        row.push_back(to_string(group.sample));
        row.push_back(group.message ? shown(std::string_view{*group.message}, longest_message) : "-");
        table.add(std::move(row));
    }
    return table.text(width);
}

std::string groups_json(const std::vector<Group>& groups, GroupBy by, std::uint64_t total) {
    Json json;
    json["by"] = to_string(by);
    json["letters"] = total;
    json["groups"] = Json::array();
    for (const auto& group : groups) json["groups"].push_back(json_of(group));
    constexpr int indent = 2;
    return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Ended list(const Options& options) {
    Grouping grouping{options.by};
    const auto read =
        read_letters(options.source, options.filter, [&grouping](const Letter& letter, const auto& facts) {
            grouping.add(letter, facts);
            return true;
        });
    if (!read) return ended_with(unreadable_input, read.error());
    const auto groups = grouping.groups();
    if (options.json) {
        std::fputs(groups_json(groups, options.by, grouping.total()).c_str(), stdout);
        return {};
    }
    if (!groups.empty()) std::fputs(groups_table(groups, options.by, output_columns()).c_str(), stdout);
    std::printf("%s%s in %s\n", groups.empty() ? "" : "\n", counted(grouping.total(), "letter").c_str(),
                counted(groups.size(), "group").c_str());
    return {};
}

} // namespace velostream::dlq
