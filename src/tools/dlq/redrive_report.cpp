// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/redrive_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

std::string redrive_text(const RedriveFigures& figures, const Options& options) {
    std::string text;
    const auto row = [&text](std::string_view name, std::uint64_t number, const std::string& words = {}) {
        if (number > 0)
            text += fmt::format("  {:<16}{:>11}{}{}\n", name, grouped(number), words.empty() ? "" : "  ", words);
    };
    text += fmt::format("{} of {} to {}\n", options.dry_run ? "dry run: redrive" : "redrive", options.source.text(),
                        options.to ? "topic " + *options.to : "the original topics");
    if (!options.group.empty()) text += fmt::format("  group {}\n", options.group);
    text += fmt::format("  {:<16}{:>11}\n", "read", grouped(figures.read));
    text += fmt::format("  {:<16}{:>11}\n", options.dry_run ? "would be sent" : "sent", grouped(figures.sent));
    row("failed", figures.failed);
    row("held back", figures.held_back, "behind a failed record of their key, or of the run");
    row("not asked for", figures.filtered);
    row("over the limit", figures.over_limit,
        fmt::format("redriven {} times or more: they stay", options.max_redrives));
    row("without record", figures.without_record, "key and value were left out: they stay");
    row("without topic", figures.without_topic, "nobody says where to, see --to: they stay");
    return text;
}

std::string redrive_json(const RedriveFigures& figures, const Options& options) {
    nlohmann::ordered_json json;
    json["dry_run"] = options.dry_run;
    if (!options.group.empty()) json["group"] = options.group;
    json["read"] = figures.read;
    json["sent"] = figures.sent;
    json["failed"] = figures.failed;
    json["held_back"] = figures.held_back;
    json["filtered"] = figures.filtered;
    json["over_limit"] = figures.over_limit;
    json["without_record"] = figures.without_record;
    json["without_topic"] = figures.without_topic;
    constexpr int indent = 2;
    return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace velostream::dlq
