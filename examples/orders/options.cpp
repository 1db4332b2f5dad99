// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string_view>
#include <system_error>

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

/// What CLI11 cannot know: options that exclude each other.
std::string conflict(const Options& options, const CLI::App& app) {
    if (app.count("--input") > 0 && options.generate) return "--input and --generate exclude each other";
    if (app.count("--customers") > 0 && !options.generate) return "--customers needs --generate";
    if (app.count("--customers") > 0 && options.customers > *options.generate)
        return "--customers " + std::to_string(options.customers) + ": must be at most --generate " +
               std::to_string(*options.generate);
    if (options.brokers && options.brokers->find_first_not_of(" ,") == std::string::npos)
        return "--brokers: must be HOST:PORT, not empty";
    if (!(options.fail_rate >= 0)) return "--fail-rate: must be a number from 0 to 0.9";
    if (options.brokers && options.outage) return "--outage works on the embedded cluster only, not with --brokers";
    if (options.brokers && options.fail_rate > 0)
        return "--fail-rate works on the embedded cluster only, not with --brokers";
    if (!options.brokers && (options.clean || app.count("--prefix") > 0))
        return std::string{options.clean ? "--clean" : "--prefix"} + " needs --brokers";
    if (options.outage && options.outage->at_percent && options.input == "-" && !options.generate)
        return "--outage in per cent needs an input whose length is known, not -: give a number of lines";
    if (options.outage && options.outage->at_percent && !options.generate && is_pipe(options.input))
        return "--outage in per cent needs an input that can be read twice, not a pipe: give a number of lines";
    return {};
}

bool is_prefix(const std::string& text) {
    constexpr std::size_t longest = 200;
    return !text.empty() && text.size() <= longest &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               std::string::npos;
}

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
    std::string outage;
    constexpr std::uint64_t most_memory_mb = 1'048'576; // a TiB
    constexpr std::uint64_t most_lines = 1'000'000'000'000;

    CLI::App app{
        "Sums up orders per customer through Kafka, under a memory limit, a circuit breaker, retries and a dead "
        "letter\n"
        "queue. Without options: 541 909 real orders through an embedded Kafka.",
        "orders_pipeline"};
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
    app.add_option("--brokers", options.brokers, "a real cluster instead of the embedded one")->type_name("HOST:PORT");
    app.add_option("--prefix", options.prefix, "of topics and consumer group on a real cluster (default: a run id)")
        ->type_name("NAME");
    app.add_flag("--clean", options.clean, "delete the topics afterwards");
    app.add_option("--input", options.input, "order lines (CSV, .zst too), - for standard input")->type_name("FILE|-");
    app.add_option("--generate", options.generate, "N synthetic orders instead of a file")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t{1}, most_lines));
    app.add_option("--customers", options.customers, "how many customers they have (default 4000, at most N lines)")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t{1}, most_lines));
    app.add_option("--write-orders", options.write_orders, "keep the lines that were used")->type_name("FILE");
    app.add_option("--outage", outage, "embedded brokers go down, e.g. 40%+3s or 200000+500ms")->type_name("AT+LENGTH");
    app.add_option("--fail-rate", options.fail_rate, "the share of broker requests that fail, 0 to 0.9")
        ->type_name("P")
        ->check(CLI::Range(0.0, 0.9));
    app.add_option("--memory-mb", options.memory_mb, "the memory limit in MiB (default 256)")
        ->type_name("M")
        ->check(CLI::Range(std::uint64_t{1}, most_memory_mb));
    app.add_option("--partitions", options.partitions, "of each topic (default 8)")
        ->type_name("N")
        ->check(CLI::Range(1, 1'000));
    app.add_option("--seed", options.seed, "of synthetic orders and injected failures (default 1)")
        ->type_name("N")
        ->check([](const std::string& text) {
            return whole_number(text) ? "" : "must be a whole number >= 0, not " + text;
        });
    app.add_option("--report", options.report, "the summary as JSON")->type_name("FILE.json");
    app.add_flag("--quiet", options.quiet, "no progress, no summary");

    std::string problem;
    try {
        app.parse(argc, argv);
        if (app.count("--outage") > 0) {
            options.outage = parse_outage(outage);
            if (!options.outage) problem = "--outage " + outage + ": must be AT+LENGTH such as 40%+3s or 200000+500ms";
        }
        if (problem.empty()) problem = conflict(options, app);
        if (problem.empty() && app.count("--prefix") > 0 && !is_prefix(options.prefix))
            problem = "--prefix " + options.prefix + ": must be 1 to 200 of a-z A-Z 0-9 . _ -";
    } catch (const CLI::CallForHelp&) {
        std::fputs(app.help().c_str(), stdout);
        parsed.exit_code = 0;
        return parsed;
    } catch (const CLI::ParseError& error) {
        problem = error.what();
    }
    if (!problem.empty()) {
        constexpr int wrong_options = 2;
        std::fprintf(stderr, "orders_pipeline: %s (see --help)\n", problem.c_str());
        parsed.exit_code = wrong_options;
        return parsed;
    }
    if (options.prefix.empty()) options.prefix = run_id();
    if (options.generate) options.customers = std::min(options.customers, *options.generate);
    return parsed;
}

} // namespace orders
