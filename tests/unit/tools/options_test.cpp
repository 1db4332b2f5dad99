// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/options.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace velostream::dlq::options_test {
namespace {

using namespace std::chrono_literals;

const WallTime now{std::chrono::milliseconds{1'700'000'000'000}};

struct Read {
    Options options;
    std::optional<int> exit_code;
    std::string output, error;
};

Read read(const std::vector<std::string>& words) {
    std::vector<const char*> arguments{"velostream-dlq"};
    for (const auto& word : words) arguments.push_back(word.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    auto parsed = parse_options(static_cast<int>(arguments.size()), arguments.data(), now);
    Read result{std::move(parsed.options), parsed.exit_code, {}, {}};
    result.output = testing::internal::GetCapturedStdout();
    result.error = testing::internal::GetCapturedStderr();
    return result;
}

Options legal(const std::vector<std::string>& words) {
    auto result = read(words);
    EXPECT_FALSE(result.exit_code) << result.error;
    return result.options;
}

void expect_refused(const std::vector<std::string>& words, const std::string& why) {
    const auto result = read(words);
    EXPECT_EQ(result.exit_code, 2) << why;
    EXPECT_EQ(result.error, "velostream-dlq: " + why + " (see --help)\n");
    EXPECT_EQ(result.output, "");
}

TEST(OptionsTest, EachCommandReadsATopicOrASpool) {
    const std::vector<std::string> topic{"--topic", "dead", "--brokers", "a:1"}, spool{"--spool", "/s"};
    const std::vector<std::pair<Command, std::vector<std::string>>> commands{
        {Command::list, {"list"}},
        {Command::show, {"show", "0:1"}},
        {Command::export_letters, {"export", "-"}},
        {Command::import_letters, {"import", "-"}},
        {Command::purge, {"purge", "--all"}},
    };
    for (const auto& [command, words] : commands)
        for (const auto& source : {topic, spool}) {
            auto all = words;
            all.insert(all.end(), source.begin(), source.end());
            const auto options = legal(all);
            EXPECT_EQ(options.command, command) << words.front();
            EXPECT_EQ(options.source.is_topic(), source == topic);
            EXPECT_EQ(options.source.spool, source == topic ? "" : "/s");
        }
}

TEST(OptionsTest, ShowKnowsProgramsThatCanBeRead) {
    EXPECT_EQ(legal({"show", "0:1", "--spool", "s", "--program", "/proc/self/exe", "--program", "/dev/null"}).programs,
              (std::vector<std::string>{"/proc/self/exe", "/dev/null"}));
    expect_refused({"show", "0:1", "--spool", "s", "--program", "/nonexistent/billing"},
                   "show: --program /nonexistent/billing: must be a file that can be read");
}

TEST(OptionsTest, TheClusterHasItsPropertiesAndATimeout) {
    const auto options = legal({"list", "--topic", "dead", "--brokers", "a:1,b:2", "-X", "sasl.password=a=b", "-X",
                                "security.protocol=SASL_SSL", "--timeout", "5s"});

    EXPECT_EQ(options.source.cluster.brokers, "a:1,b:2");
    EXPECT_EQ(options.source.cluster.properties,
              (kafka::Properties{{"sasl.password", "a=b"}, {"security.protocol", "SASL_SSL"}}));
    EXPECT_EQ(options.source.cluster.timeout, 5s);
    EXPECT_EQ(legal({"list", "--topic", "t", "--brokers", "a:1"}).source.cluster.timeout, 30s);
}

TEST(OptionsTest, AFilterIsMadeOfEverythingThatIsGiven) {
    const auto filter =
        legal({"list",   "--spool",      "s", "--since",  "1h",      "--until",       "2026-01-01", "--range",
               "3:1-2",  "--range",      "4", "--type",   "timeout", "--fingerprint", "ff",         "--original-topic",
               "orders", "--key-prefix", "a", "--header", "b",       "--header",      "c=d"})
            .filter;

    EXPECT_EQ(filter.since, now - 1h);
    EXPECT_TRUE(filter.until);
    EXPECT_EQ(filter.spans.size(), 2U);
    EXPECT_EQ(filter.types, std::vector<std::string>{"timeout"});
    EXPECT_EQ(filter.fingerprints, std::vector<std::uint64_t>{255});
    EXPECT_EQ(filter.original_topics, std::vector<std::string>{"orders"});
    EXPECT_EQ(filter.key_prefix, "a");
    EXPECT_EQ(filter.headers, (std::vector<HeaderMatch>{{"b", std::nullopt}, {"c", "d"}}));
}

TEST(OptionsTest, ListSaysByWhat) {
    EXPECT_EQ(legal({"list", "--spool", "s"}).by, GroupBy::fingerprint);
    EXPECT_EQ(legal({"list", "--spool", "s", "--by", "hour"}).by, GroupBy::hour);
    EXPECT_TRUE(legal({"list", "--spool", "s", "--json"}).json);
}

TEST(OptionsTest, ShowTakesAnyNumberOfLetters) {
    const auto options = legal({"show", "0:1", "orders/3/42/shop/", "--spool", "s", "--full"});

    EXPECT_EQ(options.letters, (std::vector<std::string>{"0:1", "orders/3/42/shop/"}));
    EXPECT_TRUE(options.full);
}

TEST(OptionsTest, RedriveHasItsOptionsAndDefaults) {
    const std::vector<std::string> words{"redrive", "--topic", "dead", "--brokers", "a:1"};
    const auto usual = legal(words);
    auto more = words;
    for (const auto* word : {"--to", "again", "--rate", "50", "--canary", "3", "--max", "9", "--max-redrives", "1",
                             "--dry-run", "--group", "g"})
        more.emplace_back(word);
    const auto options = legal(more);

    EXPECT_EQ(usual.to, std::nullopt);
    EXPECT_EQ(usual.rate, std::nullopt);
    EXPECT_EQ(usual.canary, 10U);
    EXPECT_EQ(usual.most, std::nullopt);
    EXPECT_EQ(usual.max_redrives, 3U);
    EXPECT_FALSE(usual.dry_run);
    EXPECT_TRUE(usual.group.starts_with("velostream-dlq.dead.")) << usual.group;
    EXPECT_EQ(options.to, "again");
    EXPECT_EQ(options.rate, 50U);
    EXPECT_EQ(options.canary, 3U);
    EXPECT_EQ(options.most, 9U);
    EXPECT_EQ(options.max_redrives, 1U);
    EXPECT_TRUE(options.dry_run);
    EXPECT_EQ(options.group, "g");
}

TEST(OptionsTest, TheDefaultGroupDependsOnWhatIsSentWhereNotOnTheDayOrThePace) {
    const auto group = [](std::vector<std::string> more) {
        std::vector<std::string> words{"redrive", "--topic", "dead", "--brokers", "a:1"};
        words.insert(words.end(), more.begin(), more.end());
        return legal(words).group;
    };

    EXPECT_EQ(group({}), group({"--rate", "5", "--max", "3"}));
    EXPECT_NE(group({}), group({"--to", "again"}));
    EXPECT_NE(group({}), group({"--type", "timeout"}));
    EXPECT_EQ(group({"--since", "1h"}), group({"--since", "1h"}));
}

TEST(OptionsTest, FromASpoolRecordsNeedBrokersToGoTo) {
    const auto options = legal({"redrive", "--spool", "s", "--brokers", "a:1"});

    EXPECT_EQ(options.source.cluster.brokers, "a:1");
    EXPECT_EQ(options.group, "");
}

TEST(OptionsTest, PurgeSaysHowFar) {
    EXPECT_TRUE(legal({"purge", "--spool", "s", "--all", "--yes"}).yes);
    EXPECT_EQ(legal({"purge", "--spool", "s", "--until", "1h"}).filter.until, now - 1h);
    EXPECT_EQ(legal({"purge", "--topic", "t", "--brokers", "a:1", "--before", "0:5", "--before", "1:6"}).before,
              (std::vector<Place>{{0, 5}, {1, 6}}));
}

TEST(OptionsTest, WhatIsWrongIsOneLine) {
    expect_refused({}, "needs a command");
    expect_refused({"fly"}, "fly: no such command");
    expect_refused({"list"}, "list: needs --topic with --brokers, or --spool");
    expect_refused({"list", "--topic", "t"}, "list: --topic needs --brokers");
    expect_refused({"list", "--topic", "t", "--spool", "s"}, "list: --topic and --spool exclude each other");
    expect_refused({"list", "--spool", "s", "--brokers", "a:1"}, "list: --spool needs no --brokers");
    expect_refused({"list", "--spool", "s", "--quick"}, "list: --quick: no such option");
    expect_refused({"list", "--spool", "s", "--full"}, "list: --full: no such option");
    expect_refused({"list", "--spool"}, "list: --spool: needs a value, FOLDER");
    expect_refused({"list", "--spool", "s", "--spool", "s"}, "list: --spool: given more than once");
    expect_refused({"list", "--spool", "s", "--json=no"}, "list: --json=no: --json takes no value");
    expect_refused({"list", "--spool", "s", "--by", "colour"},
                   "list: --by colour: must be fingerprint, type, topic or hour");
    expect_refused({"list", "--spool", "s", "--range", "3:9-8"},
                   "list: --range 3:9-8: must be P, P:OFFSET, P:FROM-TO or P:FROM-");
    expect_refused({"list", "--topic", "a b", "--brokers", "a:1"},
                   "list: --topic a b: must be 1 to 249 of a-z A-Z 0-9 . _ -");
    expect_refused({"show", "--spool", "s"}, "show: show needs a letter, P:OFFSET or its id");
    expect_refused({"export", "--spool", "s"}, "export: needs a FILE, - for a standard stream");
    expect_refused({"redrive", "--spool", "s"}, "redrive: redrive from a spool needs --brokers, where the records go");
    expect_refused({"redrive", "--topic", "t", "--brokers", "a:1", "--to", "t"},
                   "redrive: --to t: letters would go back to where they lie");
    expect_refused({"redrive", "--topic", "t", "--brokers", "a:1", "--rate", "0"},
                   "redrive: --rate 0: must be a whole number from 1 to 1 000 000 000");
    expect_refused({"redrive", "--spool", "s", "--brokers", "a:1", "--group", "g"},
                   "redrive: --group needs --topic: a spool remembers by itself");
    expect_refused({"purge", "--spool", "s"}, "purge: needs one of --all, --until and --before");
    expect_refused({"purge", "--spool", "s", "--all", "--until", "1h"},
                   "purge: needs one of --all, --until and --before");
    expect_refused({"purge", "--spool", "s", "--before", "1:5"}, "purge: --before 1:5: a spool has partition 0 only");
}

TEST(OptionsTest, WhatMayBeASecretIsNotQuoted) {
    for (const auto* malformed : {"sasl.password hunter2", "=hunter2"})
        expect_refused({"list", "--topic", "t", "--brokers", "a:1", "-X", malformed}, "list: -X: must be NAME=VALUE");
    expect_refused({"list", "--topic", "t", "--brokers", "a:1", "--sasl.password=hunter2"},
                   "list: --sasl.password: no such option");
    expect_refused({"list", "--topic", "t", "--brokers", "a:1", "sasl.password=hunter2"},
                   "list: sasl.password: no such option");
    expect_refused({"sasl.password=hunter2"}, "sasl.password: no such command");
}

TEST(OptionsTest, HelpIsThereForTheProgramAndForEachCommand) {
    const auto program = read({"--help"});
    EXPECT_EQ(program.exit_code, 0);
    for (const auto* command : {"list", "show", "redrive", "export", "import", "purge"}) {
        EXPECT_NE(program.output.find(command), std::string::npos);
        const auto help = read({command, "--help"});
        EXPECT_EQ(help.exit_code, 0);
        EXPECT_EQ(help.error, "");
        EXPECT_NE(help.output.find("--spool FOLDER"), std::string::npos) << help.output;
    }
    EXPECT_NE(read({"redrive", "--help"}).output.find("--canary N"), std::string::npos);
}

} // namespace
} // namespace velostream::dlq::options_test
