// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/options.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <iterator>
#include <limits>
#include <string_view>

#include "tools/dlq/ended.hpp"
#include "tools/dlq/option_values.hpp"
#include "tools/dlq/redrive_rules.hpp"
#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

namespace {

/// What the help says of an option, and the errors too.
struct Words {
    std::string name;
    std::string value = {}; ///< what stands for its value: `N`; empty if it takes none
    std::string help;
    std::string legal = {}; ///< `a whole number from 1 to 9`; empty if any text is
    bool is_repeatable = false;
    bool is_secret = false; ///< no error quotes a value
};

// Values come as text: CLI11's conversions read 010 as eight and take the next option for a missing value, and its
// texts do not name the value.
void add(CLI::App& app, const Words& words, const std::function<bool(const std::string&)>& keep) {
    CLI::callback_t take = [words, keep](const CLI::results_t& given) {
        const auto& [name, value, help, legal, is_repeatable, is_secret] = words;
        const auto& rule = legal.empty() ? value : legal;
        if (given.size() > 1 && !is_repeatable) throw CLI::ValidationError(name, "given more than once");
        for (const auto& text : given) {
            if (value.empty() && text != "true")
                throw CLI::ValidationError(name + '=' + text, name + " takes no value");
            if (!value.empty() && (text.empty() || text.starts_with("--")))
                throw CLI::ValidationError(name, "needs a value, " + rule);
            if (!keep(text)) throw CLI::ValidationError(is_secret ? name : name + ' ' + text, "must be " + rule);
        }
        return true;
    };
    auto help = words.legal.empty() ? words.help : words.help + '\n' + words.legal;
    if (words.is_repeatable) help += "; may be repeated";
    app.add_option(words.name, take, help)
        ->type_name(words.value)
        ->expected(words.value.empty() ? 0 : 1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

template <class Text>
void add_text(CLI::App& app, const Words& words, Text& target) {
    add(app, words, [&target](const std::string& text) {
        target = text;
        return true;
    });
}

void add_flag(CLI::App& app, const Words& words, bool& target) {
    add(app, words, [&target](const std::string&) { return target = true; });
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

/// A value that is read by `read`, which answers nothing where the text is no such value.
template <class Read, class Keep>
void add_read(CLI::App& app, const Words& words, Read read, Keep keep) {
    add(app, words, [read, keep](const std::string& text) {
        auto value = read(text);
        if (value) keep(std::move(*value));
        return value.has_value();
    });
}

void add_topic(CLI::App& app, const Words& words, const std::function<void(const std::string&)>& keep) {
    auto all = words;
    all.legal = "1 to 249 of a-z A-Z 0-9 . _ -";
    add(app, all, [keep](const std::string& text) {
        keep(text);
        return is_topic(text);
    });
}

void add_source(CLI::App& app, Options& options) {
    auto& source = options.source;
    add_topic(app, {.name = "--topic", .value = "TOPIC", .help = "the topic of the dead letters"},
              [&source](const std::string& text) { source.topic = text; });
    add_text(app, {.name = "--brokers", .value = "HOST:PORT", .help = "of its cluster, more after commas"},
             source.cluster.brokers);
    add_read(app,
             {.name = "-X",
              .value = "NAME=VALUE",
              .help = "a property of the Kafka client, such as security.protocol=SASL_SSL",
              .legal = "NAME=VALUE",
              .is_repeatable = true,
              .is_secret = true},
             property, [&properties = source.cluster.properties](std::pair<std::string, std::string> one) {
                 properties.insert_or_assign(std::move(one.first), std::move(one.second));
             });
    add_text(app, {.name = "--spool", .value = "FOLDER", .help = "the folder of a spool instead of a topic"},
             source.spool);
    add_read(app,
             {.name = "--timeout",
              .value = "TIME",
              .help = "give up when the brokers say nothing for so long (default 30s)",
              .legal = "a span of time, such as 500ms, 30s, 5m"},
             time_span, [&timeout = source.cluster.timeout](std::chrono::milliseconds span) { timeout = span; });
}

constexpr auto time_rule = "a time in UTC, such as 2026-11-29 or 2026-11-29T10:00:30, or so long ago, such as 90m, 2d";

void add_filter(CLI::App& app, Options& options, WallTime now) {
    auto& filter = options.filter;
    const auto note = [&filter](const std::string& name, const std::string& text) {
        filter.text += name + '=' + text + '\n';
    };
    const auto add_noted = [&app, note](const Words& words, auto read, auto keep) {
        add(app, words, [name = words.name, note, read, keep](const std::string& text) {
            auto value = read(text);
            if (value) keep(std::move(*value));
            note(name, text);
            return value.has_value();
        });
    };
    const auto any = [](const std::string& text) { return std::optional{text}; };
    const auto time = [now](const std::string& text) { return point_in_time(text, now); };
    add_noted({.name = "--since", .value = "TIME", .help = "letters of this time or later", .legal = time_rule}, time,
              [&filter](WallTime value) { filter.since = value; });
    add_noted({.name = "--until", .value = "TIME", .help = "letters before this time", .legal = time_rule}, time,
              [&filter](WallTime value) { filter.until = value; });
    add_noted({.name = "--range",
               .value = "P[:FROM[-TO]]",
               .help = "letters of a partition, or of these offsets in it",
               .legal = "P, P:OFFSET, P:FROM-TO or P:FROM-",
               .is_repeatable = true},
              partition_span, [&filter](const PartitionSpan& value) { filter.spans.push_back(value); });
    add_noted({.name = "--type", .value = "TYPE", .help = "the error's type, or its class", .is_repeatable = true}, any,
              [&filter](std::string value) { filter.types.push_back(std::move(value)); });
    add_noted({.name = "--fingerprint",
               .value = "HEX",
               .help = "as list shows it",
               .legal = "up to 16 hexadecimal digits",
               .is_repeatable = true},
              fingerprint, [&filter](std::uint64_t value) { filter.fingerprints.push_back(value); });
    add_noted(
        {.name = "--original-topic", .value = "TOPIC", .help = "where the record came from", .is_repeatable = true},
        any, [&filter](std::string value) { filter.original_topics.push_back(std::move(value)); });
    add_noted({.name = "--key-prefix", .value = "TEXT", .help = "what the key begins with"}, any,
              [&filter](std::string value) { filter.key_prefix = std::move(value); });
    add_noted({.name = "--header",
               .value = "NAME[=VALUE]",
               .help = "letters with this header; of several, all are needed",
               .legal = "NAME or NAME=VALUE",
               .is_repeatable = true},
              header_match, [&filter](HeaderMatch value) { filter.headers.push_back(std::move(value)); });
}

void add_json(CLI::App& app, Options& options) {
    add_flag(app, {.name = "--json", .help = "for programs"}, options.json);
}

std::optional<std::string> readable_file(const std::string& text) {
    return ::access(text.c_str(), R_OK) == 0 ? std::optional{text} : std::nullopt;
}

void add_show(CLI::App& app, Options& options) {
    add_flag(app, {.name = "--full", .help = "cut nothing"}, options.full);
    add_read(app,
             {.name = "--program",
              .value = "FILE",
              .help = "name functions and source lines of this program or library in\n"
                      "stack traces, by addr2line",
              .legal = "a file that can be read",
              .is_repeatable = true},
             readable_file, [&options](std::string value) { options.programs.push_back(std::move(value)); });
}

void add_redrive(CLI::App& app, Options& options) {
    constexpr std::uint64_t most = 1'000'000'000;
    add_topic(app, {.name = "--to", .value = "TOPIC", .help = "instead of the topic that each record came from"},
              [&options](const std::string& text) { options.to = text; });
    add_number(app, {.name = "--rate", .value = "N", .help = "records a second at most"}, 1, most, options.rate);
    add_number(app,
               {.name = "--canary",
                .value = "N",
                .help = "the first N must be acknowledged before others are sent (default 10)"},
               0, most, options.canary);
    add_number(app, {.name = "--max", .value = "N", .help = "send N records at most"}, 1, most, options.most);
    add_number(app,
               {.name = "--max-redrives", .value = "N", .help = "records that were redriven N times stay (default 3)"},
               1, std::numeric_limits<std::uint32_t>::max(), options.max_redrives);
    add_text(app,
             {.name = "--group",
              .value = "GROUP",
              .help = "the consumer group that remembers how far it came\n"
                      "(default: one for this topic, filter and target)"},
             options.group);
    add_flag(app, {.name = "--dry-run", .help = "only say what would be sent"}, options.dry_run);
}

void add_purge(CLI::App& app, Options& options, WallTime now) {
    add_flag(app, {.name = "--all", .help = "delete every letter"}, options.all);
    add_read(
        app, {.name = "--until", .value = "TIME", .help = "delete letters before this time", .legal = time_rule},
        [now](const std::string& text) { return point_in_time(text, now); },
        [&options](WallTime value) { options.filter.until = value; });
    add_read(app,
             {.name = "--before",
              .value = "P:OFFSET",
              .help = "delete what lies before this offset in partition P",
              .legal = "P:OFFSET",
              .is_repeatable = true},
             place, [&options](const Place& value) { options.before.push_back(value); });
    add_flag(app, {.name = "--yes", .help = "do not ask"}, options.yes);
}

/// A value without a name.
void add_positional(CLI::App& app, const std::string& name, const std::string& help, std::vector<std::string>& values,
                    int most) {
    app.add_option(name, values, help)->type_name("")->expected(1, most + 1); // one more: the empty word at the end
}

struct Usage {
    Command command;
    const char* name;
    const char* help;
};
constexpr Usage usages[] = {
    {Command::list, "list", "Counts letters by what they have in common, with a sample of each group."},
    {Command::show, "show", "Shows letters with all that is known of them."},
    {Command::redrive, "redrive", "Sends the records of letters back to where they came from."},
    {Command::export_letters, "export", "Copies letters into a file, byte for byte."},
    {Command::import_letters, "import", "Writes the letters of such a file into a topic or a spool."},
    {Command::purge, "purge", "Deletes letters."},
};

/// Without a value, which may be a secret: `--sasl.password=…`.
std::string name_in(const std::string& word) {
    return word.substr(0, word.find('='));
}

/// Options that exclude or need each other; empty if all is well.
std::string conflict(const Options& options) {
    const auto& [topic, cluster, spool] = options.source;
    const bool has_target = options.command == Command::redrive && !spool.empty();
    if (!topic.empty() && !spool.empty()) return "--topic and --spool exclude each other";
    if (topic.empty() && spool.empty()) return "needs --topic with --brokers, or --spool";
    if (!topic.empty() && cluster.brokers.empty()) return "--topic needs --brokers";
    if (has_target && cluster.brokers.empty()) return "redrive from a spool needs --brokers, where the records go";
    if (!spool.empty() && !has_target && !cluster.brokers.empty()) return "--spool needs no --brokers";
    if (options.command == Command::redrive && options.to && *options.to == topic)
        return "--to " + topic + ": letters would go back to where they lie";
    if (has_target && !options.group.empty()) return "--group needs --topic: a spool remembers by itself";
    if (options.command != Command::purge) return {};
    const int ways = (options.all ? 1 : 0) + (options.filter.until ? 1 : 0) + (options.before.empty() ? 0 : 1);
    if (ways != 1) return "needs one of --all, --until and --before";
    for (const auto& each : options.before)
        if (!spool.empty() && each.partition != 0)
            return "--before " + to_string(each) + ": a spool has partition 0 only";
    return {};
}

constexpr auto purpose = "Looks after dead letters: in a Kafka topic, or in the folder of a spool.";
constexpr auto ending =
    "velostream-dlq COMMAND --help says more of each.\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 3 what was to be read cannot be read.";

/// The names and what they fill.
class CommandLine {
  public:
    CommandLine(Options& options, WallTime now) : options_(options) {
        constexpr std::size_t column = 28;
        app_.get_formatter()->column_width(column);
        app_.set_help_flag("-h,--help", "this text");
        app_.footer(ending);
        app_.allow_extras();
        for (const auto& usage : usages) add_command(usage, now);
    }

    /// What is wrong; empty if nothing is.
    std::string parse(int argc, const char* const* argv) {
        std::vector<std::string> backwards{""}; // the value of a last option that has none
        backwards.insert(backwards.end(), std::make_reverse_iterator(argv + argc),
                         std::make_reverse_iterator(argv + 1));
        try {
            app_.parse(std::move(backwards));
        } catch (const CLI::ParseError& error) {
            return in_command(error.what());
        }
        if (help_of()) return {};
        const auto& chosen = app_.get_subcommands();
        auto others = app_.remaining(true);
        std::erase(others, "");
        if (chosen.empty()) return others.empty() ? "needs a command" : name_in(others.front()) + ": no such command";
        return in_command(problem_of(others));
    }

    const CLI::App* help_of() const {
        for (const auto* app : app_.get_subcommands())
            if (app->get_help_ptr()->count() > 0) return app;
        return app_.get_help_ptr()->count() > 0 ? &app_ : nullptr;
    }

  private:
    void add_command(const Usage& usage, WallTime now) {
        auto& app = *app_.add_subcommand(usage.name, usage.help);
        app.set_help_flag("-h,--help", "this text");
        app.allow_extras();
        app.callback([this, command = usage.command] { options_.command = command; });
        const auto is = [&usage](Command command) { return usage.command == command; };
        if (is(Command::show)) add_positional(app, "LETTER", "P:OFFSET or ids", letters_, most_letters);
        if (is(Command::export_letters)) add_positional(app, "FILE", "where to, - for standard output", letters_, 1);
        if (is(Command::import_letters)) add_positional(app, "FILE", "where from, - for standard input", letters_, 1);
        add_source(app, options_);
        if (is(Command::list))
            add_read(app,
                     {.name = "--by",
                      .value = "WHAT",
                      .help = "what letters of a group have in common (default fingerprint)",
                      .legal = "fingerprint, type, topic or hour"},
                     group_by, [this](GroupBy by) { options_.by = by; });
        if (is(Command::show)) add_show(app, options_);
        if (is(Command::redrive)) add_redrive(app, options_);
        if (is(Command::purge)) add_purge(app, options_, now);
        if (is(Command::list) || is(Command::redrive) || is(Command::export_letters)) add_filter(app, options_, now);
        if (is(Command::list) || is(Command::show) || is(Command::redrive)) add_json(app, options_);
    }

    std::string problem_of(const std::vector<std::string>& others) {
        if (!others.empty()) return name_in(others.front()) + ": no such option";
        std::erase(letters_, "");
        const auto command = options_.command;
        const bool has_file = command == Command::export_letters || command == Command::import_letters;
        if (command == Command::show && letters_.empty()) return "show needs a letter, P:OFFSET or its id";
        if (has_file && letters_.empty()) return "needs a FILE, - for a standard stream";
        if (has_file && letters_.size() > 1) return letters_[1] + ": one FILE is enough";
        if (has_file)
            options_.file = letters_.front();
        else
            options_.letters = letters_;
        return conflict(options_);
    }
    std::string in_command(const std::string& problem) const {
        const auto& chosen = app_.get_subcommands();
        return problem.empty() || chosen.empty() ? problem : chosen.front()->get_name() + ": " + problem;
    }

    static constexpr int most_letters = 1000;
    CLI::App app_{purpose, "velostream-dlq"};
    Options& options_;
    std::vector<std::string> letters_;
};

} // namespace

ParsedOptions parse_options(int argc, const char* const* argv, WallTime now) {
    ParsedOptions parsed;
    auto& options = parsed.options;
    CommandLine line{options, now};
    const auto problem = line.parse(argc, argv);
    if (const auto* const app = line.help_of()) {
        std::fputs(app->help().c_str(), stdout);
        parsed.exit_code = success;
    } else if (!problem.empty()) {
        std::fprintf(stderr, "velostream-dlq: %s (see --help)\n", problem.c_str());
        parsed.exit_code = wrong_usage;
    } else if (options.command == Command::redrive && options.source.is_topic() && options.group.empty()) {
        options.group = default_group(options.source.topic, options.filter, options.to);
    }
    return parsed;
}

} // namespace velostream::dlq
