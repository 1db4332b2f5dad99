// SPDX-License-Identifier: Apache-2.0
// The program velostream-dlq, run as a user runs it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "integration/failing_brokers.hpp"
#include "integration/kafka_support.hpp"
#include "spool_files.hpp"
#include "support/dead_letters_in_topic.hpp"
#include "support/run_program.hpp"
#include "velostream/base/stack_trace.hpp"

namespace velostream::kafka {
namespace {

using Json = nlohmann::json;

class DlqToolTest : public testing::Test {
  protected:
    DlqToolTest() {
        for (const auto* topic : {"dead", "orders", "copies"}) cluster.create_topic(topic, 2).value();
    }

    ProgramRun tool(std::vector<std::string> words, int expected_exit_code = 0, const std::string& input = {}) const {
        auto run = run_program(VELOSTREAM_DLQ, words, input);
        EXPECT_EQ(run.exit_code, expected_exit_code) << words.front() << "\n" << run.output << run.error;
        return run;
    }
    /// The command on the topic `dead`.
    ProgramRun on_topic(std::vector<std::string> words, int expected_exit_code = 0) const {
        for (const auto& word :
             {"--topic", "dead", "--brokers", cluster.bootstrap_servers().c_str(), "--timeout", "20s"})
            words.emplace_back(word);
        return tool(words, expected_exit_code);
    }
    /// The command on a spool.
    ProgramRun on_spool(std::vector<std::string> words, int expected_exit_code = 0) const {
        words.insert(words.end(), {"--spool", folder / "spool"});
        return tool(words, expected_exit_code);
    }

    void write(const std::vector<Record>& records) {
        run(io, [&]() -> asio::awaitable<void> {
            co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
        });
    }
    static Record letter(ByteString key, ByteString value) {
        return dead_letter("dead", "orders", std::move(key), std::move(value));
    }
    std::vector<Logged> log(const std::string& topic, std::int32_t partition) const {
        return read_log(cluster.bootstrap_servers(), topic, partition);
    }
    /// The values in the partition that the letters came from.
    std::string redriven() const {
        std::string values;
        for (const auto& each : log("orders", 1)) values += each.record.value.value_or("null") + " ";
        return values;
    }

    asio::io_context io{1};
    MockCluster cluster{1};
    const TemporaryFolder folder;
};

TEST_F(DlqToolTest, ListCountsTheLettersOfATopic) {
    write({letter("a", "1"), letter("b", "2")});

    const auto text = on_topic({"list"});
    const auto json = Json::parse(on_topic({"list", "--by", "type", "--json"}).output);

    EXPECT_NE(text.output.find("      2  00000000000000ff  bad_request  orders"), std::string::npos) << text.output;
    EXPECT_NE(text.output.find("\n2 letters in 1 group\n"), std::string::npos) << text.output;
    EXPECT_EQ(text.error, ""); // no progress where there is no terminal
    EXPECT_EQ(json["letters"], 2);
    EXPECT_EQ(json["groups"][0]["type"], "bad_request");
    EXPECT_EQ(json["groups"][0]["sample"], "0:1");
}

TEST_F(DlqToolTest, ListOfATopicWithoutLettersSaysSo) {
    EXPECT_EQ(on_topic({"list"}).output, "0 letters in 0 groups\n");
    EXPECT_EQ(on_topic({"redrive"}).output.find("failed"), std::string::npos);
}

TEST_F(DlqToolTest, ShowShowsLettersByPlaceOrId) {
    write({letter("a", "1"), letter("b", "2")});

    const auto by_place = on_topic({"show", "0:1"});
    const auto by_id = Json::parse(on_topic({"show", "orders/1/42/1/", "--json"}).output);
    const auto missing = on_topic({"show", "0:1", "1:7"}, 1);

    EXPECT_NE(by_place.output.find("letter 0:1\n"), std::string::npos) << by_place.output;
    EXPECT_NE(by_place.output.find("  value             2\n"), std::string::npos) << by_place.output;
    ASSERT_EQ(by_id.size(), 1U);
    EXPECT_EQ(by_id[0]["offset"], 0);
    EXPECT_EQ(missing.error, "velostream-dlq: topic dead has no letter 1:7\n");
}

TEST_F(DlqToolTest, ShowNamesTheFramesOfAProgram) {
    auto traced = letter("a", "1");
    const std::string trace{StackTrace::capture().text()};
    traced.headers.push_back({"__connect.errors.exception.stacktrace", trace});
    write({traced});
    const auto this_program = std::filesystem::read_symlink("/proc/self/exe").string();

    const auto named = on_topic({"show", "0:0", "--program", this_program, "--full"});
    const auto unnamed = on_topic({"show", "0:0", "--full"});

    const auto first = trace.substr(0, trace.find('\n'));
    EXPECT_NE(named.output.find(first + "  velostream::kafka::"), std::string::npos) << named.output;
    EXPECT_NE(named.output.find("ShowNamesTheFramesOfAProgram"), std::string::npos) << named.output;
    EXPECT_NE(unnamed.output.find(first + "\n"), std::string::npos) << unnamed.output;
}

TEST_F(DlqToolTest, RedriveSendsTheRecordsBackAsTheyWere) {
    write({letter("a", ""), letter(std::nullopt, std::nullopt)});

    on_topic({"redrive"});

    const auto back = log("orders", 1); // the partition that they came from
    ASSERT_EQ(back.size(), 2U);
    EXPECT_EQ(back[0].record.key, "a");
    EXPECT_EQ(back[0].record.value, "");
    EXPECT_EQ(back[1].record.key, std::nullopt);
    EXPECT_EQ(back[1].record.value, std::nullopt);
    ASSERT_GE(back[0].record.headers.size(), 2U);
    EXPECT_EQ(back[0].record.headers[0], (Header{"trace", "a"}));
    EXPECT_EQ(back[0].record.headers[1], (Header{"trace", std::nullopt}));
    const auto names = names_of(back[0].record.headers);
    EXPECT_NE(std::ranges::find(names, "x-dlq-redrive-count"), names.end());
    EXPECT_EQ(std::ranges::find(names, "x-dlq-error-type"), names.end());
}

TEST_F(DlqToolTest, ASecondRedriveGoesOnBehindTheFirst) {
    write({letter("a", "1"), letter("b", "2")});
    on_topic({"redrive", "--max", "1"});
    EXPECT_EQ(redriven(), "1 ");
    on_topic({"redrive"});
    EXPECT_EQ(redriven(), "1 2 ");
    write({letter("c", "3")});

    const auto json = Json::parse(on_topic({"redrive", "--json"}).output);

    EXPECT_EQ(redriven(), "1 2 3 ");
    EXPECT_EQ(json["read"], 1);
    EXPECT_EQ(json["sent"], 1);
}

TEST_F(DlqToolTest, AnotherFilterBeginsAtTheBeginning) {
    write({letter("a", "1"), letter("b", "2")});
    on_topic({"redrive", "--key-prefix", "b"});
    EXPECT_EQ(redriven(), "2 ");

    on_topic({"redrive", "--key-prefix", "a"});

    EXPECT_EQ(redriven(), "2 1 ");
}

TEST_F(DlqToolTest, ADryRunSendsNothingAndNextTimeEverythingIsThere) {
    write({letter("a", "1")});

    const auto dry = on_topic({"redrive", "--dry-run"});

    EXPECT_NE(dry.output.find("would be sent"), std::string::npos) << dry.output;
    EXPECT_EQ(redriven(), "");
    on_topic({"redrive"});
    EXPECT_EQ(redriven(), "1 ");
}

TEST_F(DlqToolTest, AFailedCanaryEndsTheRunAndTheNextOneBeginsWithIt) {
    write({letter("a", "1"), letter("b", "2")});
    cluster.fail_next_produce_requests({KafkaErrc::message_too_large});

    const auto failed = on_topic({"redrive", "--canary", "1"}, 1);

    EXPECT_NE(failed.error.find("letter 0:0"), std::string::npos) << failed.error;
    EXPECT_NE(failed.output.find("held back"), std::string::npos) << failed.output;
    EXPECT_EQ(redriven(), "");
    on_topic({"redrive", "--rate", "1000"});
    EXPECT_EQ(redriven(), "1 2 ");
}

TEST_F(DlqToolTest, RecordsMayGoToAnotherTopic) {
    write({letter("a", "1")});

    on_topic({"redrive", "--to", "copies"});

    EXPECT_EQ(redriven(), "");
    EXPECT_EQ(log("copies", 0).size() + log("copies", 1).size(), 1U);
}

TEST_F(DlqToolTest, LettersGoThroughAFileIntoAnotherTopicByteForByte) {
    write({letter("a", "1"), letter(std::nullopt, std::nullopt), letter("", "")});

    EXPECT_EQ(on_topic({"export", folder / "letters"}).output, "exported 3 letters\n");
    const auto imported =
        tool({"import", folder / "letters", "--topic", "copies", "--brokers", cluster.bootstrap_servers()});

    EXPECT_EQ(imported.output, "imported 3 letters into topic copies\n");
    const auto before = log("dead", 0), after = log("copies", 0);
    ASSERT_EQ(after.size(), 3U);
    for (std::size_t at = 0; at < after.size(); ++at) {
        EXPECT_EQ(after[at].record.key, before[at].record.key);
        EXPECT_EQ(after[at].record.value, before[at].record.value);
        EXPECT_EQ(after[at].record.headers, before[at].record.headers);
        EXPECT_EQ(after[at].record.timestamp, before[at].record.timestamp);
    }
}

TEST_F(DlqToolTest, LettersGoThroughPipes) {
    write({letter("a", "1")});

    const auto exported = on_topic({"export", "-"});
    const auto imported = tool({"import", "-", "--spool", folder / "spool"}, 0, exported.output);
    const auto again = on_spool({"export", "-"});

    EXPECT_EQ(exported.error, "exported 1 letter\n");
    EXPECT_EQ(imported.output, "imported 1 letter into spool " + folder / "spool" + "\n");
    EXPECT_EQ(again.output, exported.output);
}

TEST_F(DlqToolTest, ADamagedFileIsNotImported) {
    write({letter("a", "1"), letter("b", "2")});
    on_topic({"export", folder / "letters"});
    auto bytes = content_of(folder / "letters");
    auto& byte = bytes[bytes.size() - 30];
    byte = static_cast<char>(byte ^ 1);
    std::ofstream{folder / "letters", std::ios::binary} << bytes;

    const auto refused = tool({"import", folder / "letters", "--spool", folder / "spool"}, 3);

    EXPECT_NE(refused.error.find("is damaged"), std::string::npos) << refused.error;
    EXPECT_FALSE(std::filesystem::exists(folder / "spool"));
}

class DlqSpoolTest : public DlqToolTest {
  protected:
    DlqSpoolTest() {
        write({letter("a", "1"), letter("b", "2"), letter("c", "3")});
        on_topic({"export", folder / "letters"});
        on_spool({"import", folder / "letters"});
    }
    std::int64_t left() const { return Json::parse(on_spool({"list", "--json"}).output)["letters"]; }
};

TEST_F(DlqSpoolTest, TheLettersOfASpoolAreListedAndShown) {
    EXPECT_EQ(left(), 3);
    const auto shown = on_spool({"show", "0:2"});
    EXPECT_NE(shown.output.find("  value             2\n"), std::string::npos) << shown.output;
}

TEST_F(DlqSpoolTest, WhatIsRedrivenIsTakenAwayAndTheRestStays) {
    on_spool({"redrive", "--brokers", cluster.bootstrap_servers(), "--key-prefix", "b"});

    EXPECT_EQ(redriven(), "2 ");
    EXPECT_EQ(left(), 2);
    on_spool({"redrive", "--brokers", cluster.bootstrap_servers()});
    EXPECT_EQ(redriven(), "2 1 3 ");
    EXPECT_EQ(left(), 0);
}

TEST_F(DlqSpoolTest, ARecordThatFailsStaysInTheSpool) {
    cluster.fail_next_produce_requests({KafkaErrc::message_too_large});

    on_spool({"redrive", "--brokers", cluster.bootstrap_servers(), "--canary", "1"}, 1);

    EXPECT_EQ(redriven(), "");
    EXPECT_EQ(left(), 3);
}

TEST_F(DlqSpoolTest, PurgeDeletesHowFarItWasAskedTo) {
    EXPECT_EQ(on_spool({"purge", "--before", "0:3", "--yes"}).output,
              "deleted 2 letters of spool " + folder / "spool" + "\n");
    EXPECT_EQ(left(), 1);
    EXPECT_EQ(on_spool({"purge", "--until", "2023-11-14", "--yes"}).output,
              "deleted 0 letters of spool " + folder / "spool" + "\n");
    EXPECT_EQ(left(), 1);
    on_spool({"purge", "--until", "2023-11-15", "--yes"});
    EXPECT_EQ(left(), 0);
}

TEST_F(DlqSpoolTest, WithoutATerminalPurgeNeedsAYes) {
    const auto refused = on_spool({"purge", "--all"}, 2);

    EXPECT_NE(refused.error.find("--yes"), std::string::npos) << refused.error;
    EXPECT_EQ(left(), 3);
    on_spool({"purge", "--all", "--yes"});
    EXPECT_EQ(left(), 0);
}

TEST_F(DlqSpoolTest, ASpoolThatSomebodyHasIsReadButNothingIsTakenAway) {
    const auto owner = open_spool_folder(folder / "spool").value();

    EXPECT_EQ(left(), 3);
    const auto busy = on_spool({"purge", "--all", "--yes"}, 3);
    EXPECT_NE(busy.error.find("belongs to process " + std::to_string(::getpid())), std::string::npos) << busy.error;
    EXPECT_EQ(left(), 3);
}

TEST_F(DlqToolTest, WhatCannotBeReadIsOneLineAndItsOwnExitCode) {
    const auto nobody = tool({"list", "--topic", "dead", "--brokers", "localhost:9", "--timeout", "1s"}, 3);
    const auto no_spool = on_spool({"list"}, 3);
    const auto no_file = on_spool({"import", folder / "none"}, 3);

    for (const auto* run : {&nobody, &no_spool, &no_file}) {
        EXPECT_EQ(run->output, "");
        EXPECT_TRUE(run->error.starts_with("velostream-dlq: ")) << run->error;
        EXPECT_EQ(std::ranges::count(run->error, '\n'), 1) << run->error;
    }
}

TEST_F(DlqToolTest, OutputThatCannotBeWrittenIsAFailure) {
    std::filesystem::create_directories(folder / "spool");
    const auto exit_code = [&](const std::string& arguments) {
        const auto command = std::string{VELOSTREAM_DLQ} + ' ' + arguments + " 2>/dev/null";
        return WEXITSTATUS(std::system(command.c_str()));
    };
    const auto spool = " --spool '" + folder / "spool" + "'";

    EXPECT_EQ(exit_code("list" + spool + " >/dev/full"), 1);
    EXPECT_EQ(exit_code("list" + spool + " >&-"), 1);
    EXPECT_EQ(exit_code("export -" + spool + " >/dev/full"), 1);
    EXPECT_EQ(exit_code("export -" + spool + " >&-"), 1);
    EXPECT_EQ(exit_code("export /dev/full" + spool + " >/dev/null"), 1);
    EXPECT_EQ(exit_code("--help >/dev/full"), 1);
    EXPECT_EQ(exit_code("import -" + spool + " <&-"), 3);
}

TEST_F(DlqToolTest, ARedriveWhoseLastCommitFailsSaysSo) {
    const FailingBrokers brokers{1};
    rd_kafka_mock_topic_create(brokers.cluster(), "dead", 2, 1);
    rd_kafka_mock_topic_create(brokers.cluster(), "orders", 2, 1);
    const std::vector<Record> letters{letter("a", "1"), letter("b", "2")};
    run(io, [&]() -> asio::awaitable<void> {
        co_await write_all(io.get_executor(), brokers.bootstrap_servers(), letters);
    });
    constexpr std::int16_t offset_commit = 8;
    for (int commits = 0; commits < 20; ++commits)
        rd_kafka_mock_push_request_errors(brokers.cluster(), offset_commit, 1,
                                          RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);

    const auto redrive =
        tool({"redrive", "--topic", "dead", "--brokers", brokers.bootstrap_servers(), "--timeout", "20s"}, 1);

    EXPECT_NE(redrive.error.find("could not remember"), std::string::npos) << redrive.error;
    EXPECT_NE(redrive.output.find("sent"), std::string::npos) << redrive.output;
}

TEST_F(DlqToolTest, APropertyThatTheClientDoesNotTakeIsWrongUsageAndASecretStaysOne) {
    const auto refused = on_topic({"list", "-X", "no.such.property=1", "-X", "sasl.password=hunter2"}, 2);

    EXPECT_NE(refused.error.find("no.such.property"), std::string::npos) << refused.error;
    EXPECT_EQ(refused.error.find("hunter2"), std::string::npos) << refused.error;
}

} // namespace
} // namespace velostream::kafka
