// SPDX-License-Identifier: Apache-2.0
// What the mock cluster cannot show of velostream-dlq: deleting, times, and groups as brokers keep them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/kafka/broker_test.hpp"
#include "support/dead_letters_in_topic.hpp"
#include "support/run_program.hpp"

namespace velostream::kafka {
namespace {

using Json = nlohmann::json;

class DlqOnBrokerTest : public BrokerTest {
  protected:
    void SetUp() override {
        BrokerTest::SetUp();
        if (IsSkipped()) return;
        run(io, [&]() -> asio::awaitable<void> {
            co_await create_topic(unique("dead"), 2);
            co_await create_topic(unique("orders"), 2);
        });
    }

    ProgramRun tool(std::vector<std::string> words, int expected_exit_code = 0) const {
        words.insert(words.end(), {"--topic", unique("dead"), "--brokers", address});
        auto run = run_program(VELOSTREAM_DLQ, words);
        EXPECT_EQ(run.exit_code, expected_exit_code) << words.front() << "\n" << run.output << run.error;
        return run;
    }
    void write(const std::vector<Record>& records) {
        io.restart(); // it has made the topics
        run(io, [&]() -> asio::awaitable<void> { co_await write_all(io.get_executor(), address, records); });
    }
    /// A letter of so many seconds after a moment.
    Record letter(const std::string& value, int seconds = 0) const {
        auto record = dead_letter(unique("dead"), unique("orders"), "key-" + value, value);
        *record.timestamp += std::chrono::seconds{seconds};
        return record;
    }
    std::string left() const {
        std::string values;
        for (const auto& each : read_log(address, unique("dead"), 0)) values += each.record.value.value() + " ";
        return values;
    }
    std::string redriven() const {
        std::string values;
        for (const auto& each : read_log(address, unique("orders"), 1)) values += each.record.value.value() + " ";
        return values;
    }
};

TEST_F(DlqOnBrokerTest, PurgeDeletesBeforeAPlaceBeforeATimeOrEverything) {
    write({letter("1", 0), letter("2", 10), letter("3", 20), letter("4", 30)});

    EXPECT_EQ(tool({"purge", "--before", "0:1", "--yes"}).output, "deleted 1 letter of topic " + unique("dead") + "\n");
    EXPECT_EQ(left(), "2 3 4 ");
    tool({"purge", "--until", "2023-11-14T22:13:40", "--yes"}); // when the third was written
    EXPECT_EQ(left(), "3 4 ");
    tool({"purge", "--until", "2023-11-14T22:13:40", "--yes"});
    EXPECT_EQ(left(), "3 4 ");
    tool({"purge", "--all", "--yes"});
    EXPECT_EQ(left(), "");
    EXPECT_EQ(tool({"list"}).output, "0 letters in 0 groups\n");
}

TEST_F(DlqOnBrokerTest, LettersAreFoundByTheirTime) {
    write({letter("1", 0), letter("2", 10), letter("3", 20)});

    const auto json = Json::parse(
        tool({"list", "--json", "--since", "2023-11-14T22:13:30", "--until", "2023-11-14T22:13:40"}).output);

    EXPECT_EQ(json["letters"], 1);
    EXPECT_EQ(json["groups"][0]["sample"], "0:1");
    EXPECT_EQ(Json::parse(tool({"list", "--json", "--since", "1h"}).output)["letters"], 0);
}

TEST_F(DlqOnBrokerTest, RedriveGoesOnWhereItsGroupCameTo) {
    write({letter("1"), letter("2"), letter("3")});
    tool({"redrive", "--max", "2"});
    EXPECT_EQ(redriven(), "1 2 ");

    tool({"redrive"});

    EXPECT_EQ(redriven(), "1 2 3 ");
    const auto log = read_log(address, unique("orders"), 1);
    EXPECT_EQ(log.front().record.key, "key-1");
    EXPECT_EQ(log.front().record.headers.front(), (Header{"trace", "a"}));
    EXPECT_EQ(Json::parse(tool({"redrive", "--json"}).output)["read"], 0);
}

TEST_F(DlqOnBrokerTest, ATopicThatIsNotThereIsSaidSo) {
    const auto refused = run_program(VELOSTREAM_DLQ, {"list", "--topic", unique("none"), "--brokers", address, "-X",
                                                      "allow.auto.create.topics=false"});

    EXPECT_EQ(refused.exit_code, 3);
    EXPECT_NE(refused.error.find(unique("none")), std::string::npos) << refused.error;
}

} // namespace
} // namespace velostream::kafka
