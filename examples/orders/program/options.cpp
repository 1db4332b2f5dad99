// SPDX-License-Identifier: Apache-2.0
#include "program/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <ranges>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "order_line.hpp"
#include "program/report.hpp"
#include "velostream/postgres/connection_config.hpp"

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

/// A name, an IPv4 address, or an IPv6 address in brackets: an open one could not be told from its port.
bool is_host(std::string_view text) {
    if (text.starts_with('[') && text.ends_with(']'))
        text = text.substr(1, text.size() - 2);
    else if (text.find(':') != std::string_view::npos)
        return false;
    return !text.empty() && text.find_first_of(" /[]") == std::string_view::npos;
}

/// `host`, `host:9092`, `[::1]:9092`, or several of them after commas.
bool is_broker_list(std::string_view text) {
    constexpr std::uint64_t largest_port = 65'535;
    for (const auto part : std::views::split(text, ',')) {
        const std::string_view broker{part.begin(), part.end()};
        const bool has_port = broker.find(':') != std::string_view::npos && !broker.ends_with(']');
        const auto host = has_port ? broker.substr(0, broker.rfind(':')) : broker; // without: Kafka's usual port
        if (!is_host(host)) return false;
        if (!has_port) continue;
        const auto port = whole_number(broker.substr(host.size() + 1));
        if (!port || *port == 0 || *port > largest_port) return false;
    }
    return !text.empty();
}

bool is_pipe(const std::string& path) {
    std::error_code problem;
    const auto status = std::filesystem::status(path, problem);
    return std::filesystem::is_fifo(status) || std::filesystem::is_character_file(status);
}

/// Options that exclude or need each other.
std::string conflict(const Options& options, const CLI::App& app) {
    const auto is_given = [&app](const char* name) { return app.count(name) > 0; };
    if (is_given("--input") && options.generate) return "--input and --generate exclude each other";
    if (is_given("--customers") && !options.generate) return "--customers needs --generate";
    if (is_given("--customers") && options.customers > *options.generate)
        return "--customers " + std::to_string(options.customers) + ": must be at most --generate " +
               std::to_string(*options.generate) + ", every customer has an order";
    if (options.brokers && options.outage) return "--outage works on the embedded cluster only, not with --brokers";
    if (options.brokers && options.fail_rate > 0)
        return "--fail-rate works on the embedded cluster only, not with --brokers";
    if (!options.brokers && (options.clean || is_given("--prefix")))
        return std::string{options.clean ? "--clean" : "--prefix"} + " needs --brokers";
    if (options.lookup && options.lookup->postgres)
        for (const auto& problem : velostream::postgres::validate({.dsn = *options.lookup->postgres}))
            return "--lookup postgres: " + problem.message();
    for (const auto* const name : {"--db-outage", "--db-fail-rate"})
        if (is_given(name) && !options.lookup) return std::string{name} + " needs --lookup";
    for (const auto& [name, outage] : {std::pair{"--outage", options.outage}, {"--db-outage", options.db_outage}}) {
        if (!outage || !outage->at_percent || options.generate) continue;
        if (options.input == "-")
            return std::string{name} +
                   " in per cent needs an input whose length is known, not -: give a number of lines";
        if (is_pipe(options.input))
            return std::string{name} +
                   " in per cent needs an input that can be read twice, not a pipe: give a number of lines";
    }
    return {};
}

bool is_prefix(std::string_view text) {
    constexpr std::size_t longest = 200;
    return text.size() <= longest &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               std::string_view::npos;
}

/// What the help says of an option, and the errors too.
struct Words {
    std::string name;
    std::string value = {}; ///< what stands for its value: `N`; empty if it takes none
    std::string help;
    std::string legal = {}; ///< `a whole number from 1 to 9`; empty if any text is
};

// Values come as text: CLI11's conversions read 010 as eight and take the next option for a missing value, and its
// texts do not name the value.
void add(CLI::App& app, const Words& words, const std::function<bool(const std::string&)>& keep) {
    CLI::callback_t take = [words, keep](const CLI::results_t& given) {
        const auto& [name, value, help, legal] = words;
        const auto& rule = legal.empty() ? value : legal;
        const auto& text = given.front();
        if (given.size() > 1) throw CLI::ValidationError(name, "given more than once");
        if (value.empty() && text != "true") throw CLI::ValidationError(name + '=' + text, name + " takes no value");
        if (!value.empty() && (text.empty() || text.starts_with("--")))
            throw CLI::ValidationError(name, "needs a value, " + rule);
        if (!keep(text)) throw CLI::ValidationError(name + ' ' + text, "must be " + rule);
        return true;
    };
    app.add_option(words.name, take, words.legal.empty() ? words.help : words.help + '\n' + words.legal)
        ->type_name(words.value)
        ->expected(words.value.empty() ? 0 : 1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

template <class Number>
void add_number(CLI::App& app, Words words, std::uint64_t least, std::uint64_t most, Number& target) {
    words.legal = "a whole number from " + grouped(least) + " to " + grouped(most);
    add(app, words, [least, most, &target](const std::string& text) {
        const auto number = whole_number(text);
        if (!number || *number < least || *number > most) return false;
        target = static_cast<Number>(*number);
        return true;
    });
}

template <class Text>
void add_text(CLI::App& app, const Words& words, Text& target) {
    add(app, words, [&target](const std::string& text) {
        target = text;
        return true;
    });
}

void add_outage(CLI::App& app, Words words, std::optional<Outage>& target) {
    words.value = "AT+LENGTH";
    words.legal = "AT+LENGTH such as 40%+3s or 200000+500ms: per cent of the lines or how many; up to a day";
    add(app, words, [&target](const std::string& text) { return (target = parse_outage(text)).has_value(); });
}

void add_fail_rate(CLI::App& app, Words words, double& target) {
    words.value = "P";
    words.legal = "a number from 0 to 0.9";
    add(app, words, [&target](const std::string& text) {
        constexpr double highest = 0.9;
        const auto* const end = text.data() + text.size();
        const auto parsed = std::from_chars(text.data(), end, target);
        return parsed.ec == std::errc{} && parsed.ptr == end && target >= 0 && target <= highest;
    });
}

void add_flag(CLI::App& app, const Words& words, bool& target) {
    add(app, words, [&target](const std::string&) { return target = true; });
}

void add_options(CLI::App& app, Options& options) {
    constexpr std::uint64_t most_lines = 1'000'000'000'000;
    constexpr std::uint64_t most_memory_mb = 1'048'576; // a TiB
    constexpr std::uint64_t most_partitions = 1'000;
    add(app, {"--brokers", "HOST:PORT", "a real cluster instead of the embedded one", "HOST:PORT, more after commas"},
        [&options](const std::string& text) {
            options.brokers = text;
            return is_broker_list(text);
        });
    add(app,
        {"--prefix", "NAME", "of topics and consumer group on a real cluster (default: a run id)",
         "1 to 200 of a-z A-Z 0-9 . _ -"},
        [&options](const std::string& text) { return is_prefix(options.prefix = text); });
    add_flag(app, {.name = "--clean", .help = "delete the topics of a real cluster afterwards"}, options.clean);
    add_text(app, {"--input", "FILE|-", "order lines, also packed by zstd, - for standard input"}, options.input);
    add_number(app, {"--generate", "N", "N synthetic orders instead of a file"}, 1, most_lines, options.generate);
    add_number(app, {"--customers", "N", "how many customers they have (default 4 000, or a fifth of N), at most N"}, 1,
               most_lines, options.customers);
    add_text(app, {"--write-orders", "FILE", "keep the lines that were used"}, options.write_orders);
    add_outage(app, {.name = "--outage", .help = "the embedded brokers go down after AT of the lines"}, options.outage);
    add_fail_rate(app, {.name = "--fail-rate", .help = "the share of writing requests to a broker that fail"},
                  options.fail_rate);
    add(app,
        {"--lookup", "DATABASE", "look up the segment of each order's customer",
         "sqlite, within the program, or postgres:DSN such as postgres:host=db dbname=shop"},
        [&options](const std::string& text) { return (options.lookup = parse_lookup(text)).has_value(); });
    add_outage(app, {.name = "--db-outage", .help = "that database is gone after AT of the lines"}, options.db_outage);
    add_fail_rate(app, {.name = "--db-fail-rate", .help = "the share of look-ups that fail"}, options.db_fail_rate);
    add_number(app, {"--memory-mb", "M", "the memory limit in MiB (default 256)"}, 1, most_memory_mb,
               options.memory_mb);
    add_number(app, {"--partitions", "N", "of each topic (default 8)"}, 1, most_partitions, options.partitions);
    add_number(app, {"--seed", "N", "of synthetic orders and injected failures (default 1)"}, 0,
               std::numeric_limits<std::uint64_t>::max(), options.seed);
    add_text(app, {"--report", "FILE.json", "the summary as JSON"}, options.report);
    add_flag(app, {.name = "--quiet", .help = "no progress, no summary"}, options.quiet);
}

// By default: dirt gives way where every line must bring a new customer.
constexpr std::uint64_t lines_a_customer = 5;

constexpr auto purpose =
    "Sums up orders per customer through Kafka, under a memory limit, a circuit breaker, retries and a dead letter\n"
    "queue. Without options: 541 909 real orders through an embedded Kafka.";
constexpr auto ending =
    "SIGINT and SIGTERM end the input: what was read is finished and reported; a second one ends the program at once.\n"
    "Exit code: 0 done, also after a signal; 1 failed; 2 wrong options; 3 unreadable input. Summary and report are\n"
    "there after 0 and 1, and after 3 if lines were read; those of a run that failed say how far it came, and the\n"
    "report has \"error\" then.";

std::string order_lines() {
    return "Order lines are CSV (RFC 4180) with the header\n" + std::string{header_line} + "\n\n";
}

} // namespace

std::optional<Lookup> parse_lookup(const std::string& text) {
    constexpr std::string_view server = "postgres:";
    if (text == "sqlite") return Lookup{};
    if (!text.starts_with(server)) return std::nullopt;
    auto dsn = text.substr(server.size());
    // A URL is a connection string as it stands.
    if (dsn.starts_with("//")) dsn = text;
    return Lookup{std::move(dsn)};
}

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

    CLI::App app{purpose, "orders_pipeline"};
    constexpr std::size_t column = 28;
    app.get_formatter()->column_width(column);
    app.set_help_flag("-h,--help", "this text");
    app.footer(order_lines() + ending);
    app.allow_extras();
    add_options(app, options);

    std::vector<std::string> backwards{""}; // the value of a last option that has none
    backwards.insert(backwards.end(), std::make_reverse_iterator(argv + argc), std::make_reverse_iterator(argv + 1));
    std::string problem;
    try {
        app.parse(std::move(backwards));
        const auto others = app.remaining();
        problem = others.size() > 1 ? others.front() + ": no such option" : conflict(options, app);
    } catch (const CLI::ParseError& error) {
        problem = error.what();
    }
    if (app.get_help_ptr()->count() > 0) {
        std::fputs(app.help().c_str(), stdout);
        parsed.exit_code = 0;
        return parsed;
    }
    if (!problem.empty()) {
        constexpr int wrong_options = 2;
        std::fprintf(stderr, "orders_pipeline: %s (see --help)\n", problem.c_str());
        parsed.exit_code = wrong_options;
        return parsed;
    }
    if (options.prefix.empty()) options.prefix = run_id();
    if (options.generate && app.count("--customers") == 0)
        options.customers =
            std::min(options.customers, std::max<std::uint64_t>(*options.generate / lines_a_customer, 1));
    return parsed;
}

} // namespace orders
