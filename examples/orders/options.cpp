// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "figures.hpp"

namespace orders {

namespace {

std::string run_id() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return "run-" + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<velostream::Duration> duration(std::string_view text) {
    const auto digits = text.find_first_not_of("0123456789");
    const auto number = whole_number(text.substr(0, digits));
    constexpr std::uint64_t largest = 86'400'000; // a day in milliseconds
    if (!number || *number == 0 || *number > largest || digits == std::string_view::npos) return std::nullopt;
    const auto unit = text.substr(digits);
    if (unit == "ms") return std::chrono::milliseconds{*number};
    if (unit == "s" && *number <= largest / 1000) return std::chrono::seconds{*number};
    return std::nullopt;
}

bool is_pipe(const std::string& path) {
    std::error_code problem;
    const auto status = std::filesystem::status(path, problem);
    return std::filesystem::is_fifo(status) || std::filesystem::is_character_file(status);
}

/// Options that exclude or need each other.
std::string conflict(const Options& options, const std::set<std::string>& given) {
    if (given.contains("--input") && options.generate) return "--input and --generate exclude each other";
    if (given.contains("--customers") && !options.generate) return "--customers needs --generate";
    if (given.contains("--customers") && options.customers > *options.generate)
        return "--customers " + std::to_string(options.customers) + ": must be at most --generate " +
               std::to_string(*options.generate) + ", every customer has an order";
    if (options.brokers && options.outage) return "--outage works on the embedded cluster only, not with --brokers";
    if (options.brokers && options.fail_rate > 0)
        return "--fail-rate works on the embedded cluster only, not with --brokers";
    if (!options.brokers && (options.clean || given.contains("--prefix")))
        return std::string{options.clean ? "--clean" : "--prefix"} + " needs --brokers";
    if (options.outage && options.outage->at_percent && options.input == "-" && !options.generate)
        return "--outage in per cent needs an input whose length is known, not -: give a number of lines";
    if (options.outage && options.outage->at_percent && !options.generate && is_pipe(options.input))
        return "--outage in per cent needs an input that can be read twice, not a pipe: give a number of lines";
    return {};
}

bool is_prefix(std::string_view text) {
    constexpr std::size_t longest = 200;
    return text.size() <= longest &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               std::string_view::npos;
}

struct Bounds {
    std::uint64_t least = 0;
    std::optional<std::uint64_t> most = std::nullopt;
};

CommandOption number_option(std::string name, std::string value, std::string help, Bounds bounds,
                            std::function<void(std::uint64_t)> keep) {
    auto legal =
        "a whole number from " + grouped(bounds.least) + (bounds.most ? " to " + grouped(*bounds.most) : std::string{});
    auto take = [bounds, keep = std::move(keep)](std::string_view text) {
        const auto number = whole_number(text);
        if (!number || *number < bounds.least || (bounds.most && *number > *bounds.most)) return false;
        keep(*number);
        return true;
    };
    return {std::move(name), std::move(value), std::move(help), std::move(legal), std::move(take)};
}

/// Any text that is not empty.
template <class Text>
CommandOption text_option(std::string name, std::string value, std::string help, Text& target) {
    auto take = [&target](std::string_view text) {
        target = std::string{text};
        return true;
    };
    return {std::move(name), std::move(value), std::move(help), {}, std::move(take)};
}

CommandOption flag(std::string name, std::string help, bool& target) {
    return {std::move(name), {}, std::move(help), {}, [&target](std::string_view) { return target = true; }};
}

std::vector<CommandOption> options_into(Options& options) {
    constexpr std::uint64_t most_lines = 1'000'000'000'000;
    constexpr std::uint64_t most_memory_mb = 1'048'576; // a TiB
    constexpr std::uint64_t most_partitions = 1'000;
    constexpr double highest_fail_rate = 0.9;
    auto take_brokers = [&options](std::string_view text) {
        options.brokers = text;
        return text.find_first_not_of(" ,") != std::string_view::npos;
    };
    auto take_prefix = [&options](std::string_view text) {
        options.prefix = text;
        return is_prefix(text);
    };
    auto take_outage = [&options](std::string_view text) {
        options.outage = parse_outage(std::string{text});
        return options.outage.has_value();
    };
    auto take_fail_rate = [&options](std::string_view text) {
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), options.fail_rate);
        return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && options.fail_rate >= 0 &&
               options.fail_rate <= highest_fail_rate;
    };
    return {
        {"--brokers", "HOST:PORT", "a real cluster instead of the embedded one", "HOST:PORT, more after commas",
         take_brokers},
        {"--prefix", "NAME", "of topics and consumer group on a real cluster (default: a run id)",
         "1 to 200 of a-z A-Z 0-9 . _ -", take_prefix},
        flag("--clean", "delete the topics of a real cluster afterwards", options.clean),
        text_option("--input", "FILE|-", "order lines (CSV, also packed by zstd), - for standard input", options.input),
        number_option("--generate", "N", "N synthetic orders instead of a file", {1, most_lines},
                      [&options](std::uint64_t number) { options.generate = number; }),
        number_option("--customers", "N", "how many customers they have (default 4 000), at most as many as lines",
                      {1, most_lines}, [&options](std::uint64_t number) { options.customers = number; }),
        text_option("--write-orders", "FILE", "keep the lines that were used", options.write_orders),
        {"--outage", "AT+LENGTH", "the embedded brokers go down after AT of the lines",
         "AT+LENGTH such as 40%+3s or 200000+500ms: per cent of the lines or how many; up to a day", take_outage},
        {"--fail-rate", "P", "the share of broker requests that fail", "a number from 0 to 0.9", take_fail_rate},
        number_option("--memory-mb", "M", "the memory limit in MiB (default 256)", {1, most_memory_mb},
                      [&options](std::uint64_t number) { options.memory_mb = number; }),
        number_option("--partitions", "N", "of each topic (default 8)", {1, most_partitions},
                      [&options](std::uint64_t number) { options.partitions = static_cast<int>(number); }),
        number_option("--seed", "N", "of synthetic orders and injected failures (default 1)", {},
                      [&options](std::uint64_t number) { options.seed = number; }),
        text_option("--report", "FILE.json", "the summary as JSON", options.report),
        flag("--quiet", "no progress, no summary", options.quiet),
    };
}

constexpr std::string_view ending =
    "  -h, --help              this text\n"
    "\n"
    "SIGINT and SIGTERM end the input: what was read is finished and reported; a second one ends the program at once.\n"
    "Exit code: 0 done, also after a signal; 1 failed; 2 wrong options; 3 unreadable input. Summary and report are "
    "there\n"
    "after 0 and 1, and after 3 if lines were read; those of a run that failed say how far it came, and the report "
    "has\n"
    "\"error\" then.\n";
constexpr std::string_view purpose =
    "Sums up orders per customer through Kafka, under a memory limit, a circuit breaker, retries and a dead letter\n"
    "queue. Without options: 541 909 real orders through an embedded Kafka.\n"
    "\n"
    "usage: orders_pipeline [OPTIONS]\n"
    "\n";

} // namespace

std::optional<Outage> parse_outage(const std::string& text) {
    const auto plus = text.find('+');
    if (plus == std::string::npos) return std::nullopt;
    auto at = std::string_view{text}.substr(0, plus);
    Outage outage;
    outage.at_percent = at.ends_with('%');
    if (outage.at_percent) at.remove_suffix(1);
    const auto number = whole_number(at);
    const auto length = duration(std::string_view{text}.substr(plus + 1));
    constexpr std::uint64_t whole = 100;
    if (!number || !length || (outage.at_percent && *number > whole)) return std::nullopt;
    outage.at = *number;
    outage.length = *length;
    return outage;
}

ParsedOptions parse_options(int argc, const char* const* argv, const std::string& default_input) {
    ParsedOptions parsed;
    auto& options = parsed.options;
    options.input = default_input;
    const auto known = options_into(options);
    const std::span arguments{argv, static_cast<std::size_t>(argc)};
    auto line = read_command_line(arguments.subspan(arguments.empty() ? 0 : 1), known);
    if (line.wants_help) {
        std::fputs((std::string{purpose} + help_for(known) + std::string{ending}).c_str(), stdout);
        parsed.exit_code = 0;
        return parsed;
    }
    if (line.problem.empty()) line.problem = conflict(options, line.given);
    if (!line.problem.empty()) {
        constexpr int wrong_options = 2;
        std::fprintf(stderr, "orders_pipeline: %s (see --help)\n", line.problem.c_str());
        parsed.exit_code = wrong_options;
        return parsed;
    }
    if (options.prefix.empty()) options.prefix = run_id();
    if (options.generate) options.customers = std::min(options.customers, *options.generate);
    return parsed;
}

} // namespace orders
