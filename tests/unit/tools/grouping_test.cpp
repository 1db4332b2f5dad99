// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/grouping.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "made_letter.hpp"
#include "tools/dlq/commands.hpp"

namespace velostream::dlq {
namespace {

using namespace std::chrono_literals;

const MadeLetter usual;

MadeLetter timeout_at(WallTime time) {
    MadeLetter made;
    made.with("x-dlq-error-type", "timeout").with("x-dlq-fingerprint", "0000000000000001");
    made.record.timestamp = time;
    return made;
}

void add(Grouping& grouping, const MadeLetter& made) {
    grouping.add(made.letter(), made.facts());
}

TEST(GroupingTest, LettersOfOneFingerprintTypeAndTopicAreOneGroup) {
    const auto time = *usual.record.timestamp;
    MadeLetter later;
    later.at({2, 9}).with("__connect.errors.exception.message", "no quantity in \"two\"");
    later.record.timestamp = time + 5s;
    MadeLetter elsewhere;
    elsewhere.with("__connect.errors.topic", "returns");
    Grouping grouping{GroupBy::fingerprint};

    add(grouping, elsewhere);
    add(grouping, usual);
    add(grouping, later);

    const auto groups = grouping.groups();
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(grouping.total(), 3U);
    EXPECT_EQ(groups[0].count, 2U);
    EXPECT_EQ(groups[0].fingerprint, 255U);
    EXPECT_EQ(groups[0].type, "bad_request");
    EXPECT_EQ(groups[0].original_topic, "orders");
    EXPECT_EQ(groups[0].first, time);
    EXPECT_EQ(groups[0].last, time + 5s);
    EXPECT_EQ(groups[0].sample, (Place{2, 9}));
    EXPECT_EQ(groups[0].message, "no quantity in \"two\"");
    EXPECT_EQ(groups[1].original_topic, "returns");
}

TEST(GroupingTest, ByTypeOrTopicNothingElseCounts) {
    MadeLetter without;
    without.record.headers.clear();
    Grouping by_type{GroupBy::type}, by_topic{GroupBy::topic};
    for (const auto& made : {usual, timeout_at(*usual.record.timestamp), usual, without}) {
        add(by_type, made);
        add(by_topic, made);
    }

    ASSERT_EQ(by_type.groups().size(), 3U);
    EXPECT_EQ(by_type.groups()[0].type, "bad_request");
    EXPECT_EQ(by_type.groups()[1].type, "");
    EXPECT_FALSE(by_type.groups()[1].message);
    EXPECT_FALSE(by_type.groups()[0].original_topic);
    ASSERT_EQ(by_topic.groups().size(), 2U);
    EXPECT_EQ(by_topic.groups()[0].original_topic, "orders");
    EXPECT_EQ(by_topic.groups()[0].count, 3U);
}

TEST(GroupingTest, HoursComeInTheirOrder) {
    const WallTime hour{std::chrono::hours{400'000}};
    MadeLetter timeless;
    timeless.record.timestamp.reset();
    Grouping grouping{GroupBy::hour};

    add(grouping, timeout_at(hour + 1h));
    add(grouping, timeout_at(hour + 1h + 59min));
    add(grouping, timeout_at(hour + 59min));
    add(grouping, timeless);

    const auto groups = grouping.groups();
    ASSERT_EQ(groups.size(), 3U);
    EXPECT_FALSE(groups[0].hour);
    EXPECT_FALSE(groups[0].first);
    EXPECT_EQ(groups[1].hour, hour);
    EXPECT_EQ(groups[2].hour, hour + 1h);
    EXPECT_EQ(groups[2].count, 2U);
}

TEST(GroupingTest, TheWordsOfTheCommandLineAreThoseOfTheGroupings) {
    for (const auto by : {GroupBy::fingerprint, GroupBy::type, GroupBy::topic, GroupBy::hour})
        EXPECT_EQ(group_by(to_string(by)), by);
    EXPECT_FALSE(group_by("colour"));
}

TEST(GroupsTableTest, HasALineForEachGroupAndShowsItsMessageSafely) {
    MadeLetter odd;
    odd.with("__connect.errors.exception.message", "two\nlines");
    Grouping grouping{GroupBy::fingerprint};
    add(grouping, odd);

    EXPECT_EQ(
        groups_table(grouping.groups(), GroupBy::fingerprint, std::nullopt),
        "LETTERS  FINGERPRINT       TYPE         ORIGINAL TOPIC  FIRST                LAST                 SAMPLE  "
        "MESSAGE\n"
        "      1  00000000000000ff  bad_request  orders          2023-11-14T22:13:20  2023-11-14T22:13:20  0:5     "
        "two\\nlines\n");
}

TEST(GroupsTableTest, AMessageThatIsTooLongToBeKeptIsNotCutInsideACharacter) {
    std::string message(1023, 'a');
    for (const auto* character : {"é", "世", "😀"}) {
        Grouping grouping{GroupBy::fingerprint};
        add(grouping, MadeLetter{}.with("__connect.errors.exception.message", message + character + "and more"));

        EXPECT_EQ(grouping.groups()[0].message, message) << character;
        const auto text = groups_table(grouping.groups(), GroupBy::fingerprint, std::nullopt);
        EXPECT_NE(text.find("  aaaa"), std::string::npos) << text;
    }
}

TEST(GroupsTableTest, ShowsWhatLettersOfAGroupHaveInCommonOnly) {
    const auto heading = [](GroupBy by) {
        Grouping grouping{by};
        add(grouping, usual);
        const auto text = groups_table(grouping.groups(), by, std::nullopt);
        return text.substr(0, text.find("FIRST"));
    };

    EXPECT_EQ(heading(GroupBy::type), "LETTERS  TYPE         ");
    EXPECT_EQ(heading(GroupBy::topic), "LETTERS  ORIGINAL TOPIC  ");
    EXPECT_EQ(heading(GroupBy::hour), "LETTERS  HOUR              ");
}

TEST(GroupsJsonTest, SaysTheSameForPrograms) {
    Grouping grouping{GroupBy::fingerprint};
    add(grouping, usual);

    const auto json = nlohmann::json::parse(groups_json(grouping.groups(), GroupBy::fingerprint, grouping.total()));

    EXPECT_EQ(json["by"], "fingerprint");
    EXPECT_EQ(json["letters"], 1);
    const auto& group = json["groups"][0];
    EXPECT_EQ(group["fingerprint"], "00000000000000ff");
    EXPECT_EQ(group["type"], "bad_request");
    EXPECT_EQ(group["original_topic"], "orders");
    EXPECT_EQ(group["count"], 1);
    EXPECT_EQ(group["first"], "2023-11-14T22:13:20.000Z");
    EXPECT_EQ(group["sample"], "0:5");
    EXPECT_EQ(group["message"], "no quantity in \"none\"");
}

TEST(LetterTextTest, ShowsAllThatIsKnownAndTheRecordAsItIs) {
    MadeLetter made;
    made.record.value = "\xff\x01";
    made.with("x-dlq-attempts", "4").with("x-dlq-redrive-count", "2");

    const auto text = letter_text(made.letter(), made.facts(), false);

    for (const auto* line :
         {"letter 0:5\n", "  time              2023-11-14T22:13:20.000Z (CreateTime)\n",
          "  id                orders/3/42/shop/\n", "  fingerprint       00000000000000ff\n",
          "  from              orders, partition 3, offset 42\n", "  error type        bad_request\n",
          "  error class       shop::NoQuantity\n", "  message           no quantity in \"none\"\n",
          "  attempts          4\n", "  redriven          2\n", "  key               customer-7\n",
          "  value             0xff01\n", "  header            trace = abc\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << " is not in\n" << text;
    EXPECT_EQ(text.find("application"), std::string::npos); // nobody says it
}

TEST(LetterTextTest, LongValuesAreCutUnlessAllIsAskedFor) {
    MadeLetter made;
    made.record.value = std::string(1000, 'v');

    EXPECT_NE(letter_text(made.letter(), made.facts(), false).find("v… (1 000 bytes)"), std::string::npos);
    EXPECT_NE(letter_text(made.letter(), made.facts(), true).find(std::string(1000, 'v') + "\n"), std::string::npos);
}

TEST(LetterJsonTest, KeepsNullEmptyAndBinaryApart) {
    MadeLetter made;
    made.record.key.reset();
    made.record.value = "";
    made.record.headers.emplace_back("binary", "\xff\x01");
    made.record.headers.emplace_back("null", std::nullopt);

    const auto json = nlohmann::json::parse(letter_json(made.letter(), made.facts()));

    EXPECT_EQ(json["partition"], 0);
    EXPECT_EQ(json["offset"], 5);
    EXPECT_EQ(json["origin"]["topic"], "orders");
    EXPECT_EQ(json["origin"]["offset"], 42);
    EXPECT_EQ(json["error"]["type"], "bad_request");
    EXPECT_TRUE(json["key"].is_null());
    EXPECT_EQ(json["value"], "");
    const auto& headers = json["headers"];
    ASSERT_EQ(headers.size(), made.record.headers.size());
    EXPECT_EQ(headers[0]["name"], "trace");
    EXPECT_EQ(headers[0]["value"], "abc");
    EXPECT_EQ(headers[headers.size() - 2]["value_hex"], "ff01");
    EXPECT_TRUE(headers.back()["value"].is_null());
}

} // namespace
} // namespace velostream::dlq
