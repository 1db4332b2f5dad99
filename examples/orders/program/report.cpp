// SPDX-License-Identifier: Apache-2.0
#include "program/report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "velostream/base/units.hpp"

namespace orders {

namespace {

/// Spaces between the thousands of a whole number with or without what follows a point.
std::string with_spaces(std::string text) {
    const auto first = text.starts_with('-') ? 1U : 0U;
    for (auto at = std::min(text.find('.'), text.size()); at > first + 3; text.insert(at -= 3, " ")) {
    }
    return text;
}

// Cut to a column, and without what a terminal would take for a command.
std::string shown(std::string_view customer, std::size_t columns) {
    std::string text{customer.substr(0, columns)};
    constexpr unsigned char first_printable = 0x20, first_beyond_ascii = 0x7f;
    std::ranges::replace_if(text, [](unsigned char c) { return c < first_printable || c >= first_beyond_ascii; }, '?');
    if (customer.size() > columns) text.replace(columns - 3, 3, "...");
    return text;
}

std::string grouped_amount(const Thousandths& amount) {
    return with_spaces(to_string(amount));
}

nlohmann::ordered_json breaker_json(const GuardFigures& guard) {
    return {{"opened", guard.opened}, {"state", to_string(guard.breaker)}};
}

nlohmann::ordered_json lookup_json(const LookupFigures& lookup) {
    nlohmann::ordered_json report;
    report["database"] = lookup.database;
    report["found"] = lookup.found;
    report["unknown"] = lookup.unknown;
    report["segments"] = nlohmann::ordered_json::array();
    for (const auto& [segment, lines, total] : lookup.segments)
        report["segments"].push_back({{"segment", segment}, {"lines", lines}, {"total", to_string(total)}});
    report["retries"] = lookup.guard.retries;
    report["breaker"] = breaker_json(lookup.guard);
    report["connections"] = {{"opened", lookup.connections_opened}, {"failed", lookup.failed_connects}};
    return report;
}

void add_row(std::string& text, std::string_view name, const std::string& value) {
    text += fmt::format("  {:<14}{}\n", name, value);
}

void breaker_rows(std::string& text, std::string_view name, const GuardFigures& guard) {
    add_row(text, name,
            fmt::format("{}, opened {} time{}", to_string(guard.breaker), guard.opened, guard.opened == 1 ? "" : "s"));
    constexpr std::size_t shown_of_each_end = 6;
    const auto count = guard.transitions.size();
    const auto left_out = count > 2 * shown_of_each_end ? count - 2 * shown_of_each_end : 0;
    for (std::size_t at = 0; at < count; ++at) {
        if (left_out > 0 && at == shown_of_each_end) {
            add_row(text, "", fmt::format("{:>10}  {} more", "...", left_out));
            at += left_out;
        }
        const auto& [when, from, to, why] = guard.transitions[at];
        add_row(text, "",
                fmt::format("{:>8.3f} s  {} -> {}{}", std::chrono::duration<double>(when).count(), to_string(from),
                            to_string(to), why.empty() ? "" : "  (" + why + ")"));
    }
}

constexpr std::size_t name_columns = 14;

void lookup_rows(std::string& text, const LookupFigures& lookup) {
    text += fmt::format("\n  {:<14} {:>9} {:>17}\n", "segments", "lines", "total");
    for (const auto& [segment, lines, total] : lookup.segments)
        text +=
            fmt::format("  {:<14} {:>9} {:>17}\n", shown(segment, name_columns), grouped(lines), grouped_amount(total));
    text += '\n';
    add_row(text, "look-ups",
            fmt::format("{} in {}, {} of customers without a segment", grouped(lookup.found + lookup.unknown),
                        lookup.database, grouped(lookup.unknown)));
    add_row(text, "db connects",
            fmt::format("{} done, {} failed", grouped(lookup.connections_opened), grouped(lookup.failed_connects)));
    add_row(text, "db retries", grouped(lookup.guard.retries));
    breaker_rows(text, "db breaker", lookup.guard);
}

} // namespace

std::string grouped(std::uint64_t number) {
    return with_spaces(std::to_string(number));
}

double mebibytes(std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(velostream::mebibyte);
}

std::string report_json(const Figures& figures) {
    nlohmann::ordered_json report;
    if (!figures.error.empty()) report["error"] = figures.error;
    report["lines"] = figures.read;
    report["valid"] = figures.valid;
    auto& dead = report["dead_letters"];
    dead["total"] = figures.dead_letters_total();
    for (std::size_t reason = 0; reason < dead_reason_words.size(); ++reason)
        dead["by_reason"][std::string{dead_reason_words[reason]}] = figures.dead_letters[reason];
    report["customers"] = figures.customers;
    report["grand_total"] = to_string(figures.grand_total);
    report["top"] = nlohmann::ordered_json::array();
    for (const auto& [customer, lines, total] : figures.top)
        report["top"].push_back({{"customer", customer}, {"lines", lines}, {"total", to_string(total)}});
    report["retries"] = figures.retries();
    report["breaker"] = breaker_json(figures.guard);
    if (figures.lookup) report["lookup"] = lookup_json(*figures.lookup);
    report["memory"] = {{"limit_bytes", figures.memory_limit}, {"peak_bytes", figures.memory_peak}};
    report["seconds"] = figures.seconds;
    constexpr int indent = 2;
    return report.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string summary(const Figures& figures) {
    std::string text;
    const auto row = [&text](std::string_view name, const std::string& value) { add_row(text, name, value); };
    const auto share =
        figures.read == 0 ? 0.0 : 100.0 * static_cast<double>(figures.valid) / static_cast<double>(figures.read);
    text += "Orders per customer";
    if (!figures.error.empty())
        text += " (failed: what was done until then)";
    else if (figures.interrupted)
        text += " (interrupted: what was read is finished)";
    text += '\n';
    row("lines", grouped(figures.read));
    row("valid", fmt::format("{}  ({:.1f} %)", grouped(figures.valid), share));
    row("dead letters", grouped(figures.dead_letters_total()));
    for (std::size_t reason = 0; reason < dead_reason_words.size(); ++reason)
        if (figures.dead_letters[reason] > 0)
            row("", fmt::format("{:<11} {:>10}", dead_reason_words[reason], grouped(figures.dead_letters[reason])));
    if (figures.unfinished() > 0) row("not finished", grouped(figures.unfinished()));
    row("customers", grouped(figures.customers));
    row("grand total", grouped_amount(figures.grand_total));
    if (!figures.top.empty()) text += fmt::format("\n  {:<14} {:>9} {:>17}\n", "top customers", "lines", "total");
    for (const auto& [customer, lines, total] : figures.top)
        text += fmt::format("  {:<14} {:>9} {:>17}\n", shown(customer, name_columns), grouped(lines),
                            grouped_amount(total));
    text += '\n';
    const bool all_acknowledged = figures.totals_sent == figures.totals_acknowledged;
    row("totals sent", grouped(figures.totals_sent) + (figures.totals_sent == 0 ? ""
                                                       : all_acknowledged       ? ", all acknowledged: yes"
                                                                                : ", all acknowledged: NO, only " +
                                                                                grouped(figures.totals_acknowledged)));
    row("retries", grouped(figures.retries()));
    if (figures.repeated > 0)
        row("repeated", fmt::format("{} records came twice and were counted once", grouped(figures.repeated)));
    breaker_rows(text, "breaker", figures.guard);
    if (figures.lookup) lookup_rows(text, *figures.lookup);
    row("peak memory",
        fmt::format("{:.2f} MiB of {:.0f} MiB", mebibytes(figures.memory_peak), mebibytes(figures.memory_limit)));
    const auto rate = figures.seconds > 0 ? static_cast<double>(figures.lines) / figures.seconds : 0.0;
    row("time", fmt::format("{:.2f} s, {} lines/s", figures.seconds, grouped(static_cast<std::uint64_t>(rate))));
    return text;
}

} // namespace orders
