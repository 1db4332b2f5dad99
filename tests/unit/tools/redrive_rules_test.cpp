// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/redrive_rules.hpp"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "made_letter.hpp"

namespace velostream::dlq {
namespace {

Fate fate_of(const RedriveRules& rules, const MadeLetter& made) {
    return rules.fate_of(made.letter(), made.facts());
}

TEST(RedriveRulesTest, ALetterThatWasAskedForGoesBack) {
    EXPECT_EQ(fate_of({}, MadeLetter{}), Fate::sent);
    EXPECT_EQ(fate_of({.filter = {.types = {"bad_request"}}}, MadeLetter{}), Fate::sent);
    EXPECT_EQ(fate_of({.filter = {.types = {"timeout"}}}, MadeLetter{}), Fate::filtered);
}

TEST(RedriveRulesTest, ALetterThatCameBackAsOftenAsItMayStays) {
    EXPECT_EQ(fate_of({.max_redrives = 2}, MadeLetter{}.with("x-dlq-redrive-count", "1")), Fate::sent);
    EXPECT_EQ(fate_of({.max_redrives = 2}, MadeLetter{}.with("x-dlq-redrive-count", "2")), Fate::over_limit);
    EXPECT_EQ(fate_of({.max_redrives = 2}, MadeLetter{}.with("x-dlq-redrive-count", "9")), Fate::over_limit);
}

TEST(RedriveRulesTest, ALetterWithoutItsTopicNeedsAnother) {
    auto made = MadeLetter{}.without("__connect.errors.topic");

    EXPECT_EQ(fate_of({}, made), Fate::without_topic);
    EXPECT_EQ(fate_of({.to = "again"}, made), Fate::sent);
}

TEST(RedriveRulesTest, WhatCannotBeTheNameOfATopicIsNone) {
    for (const auto& name :
         {std::string{"orders\0shadow", 13}, std::string{"\x1b[2J"}, std::string(250, 'o'), std::string{".."}}) {
        const auto made = MadeLetter{}.with("__connect.errors.topic", name);
        EXPECT_EQ(fate_of({}, made), Fate::without_topic);
        EXPECT_EQ(fate_of({.to = "again"}, made), Fate::sent);
    }
}

TEST(RedriveRulesTest, ALetterOfTheTopicThatItLiesInWouldGoRoundForEver) {
    EXPECT_EQ(fate_of({.dead_letter_topic = "orders"}, MadeLetter{}), Fate::without_topic);
}

TEST(RedriveRulesTest, ALetterThatWasWrittenWithoutItsRecordStays) {
    auto made = MadeLetter{}.with("x-dlq-truncated", "record=12");
    made.record.key.reset();
    made.record.value.reset();

    EXPECT_EQ(fate_of({}, made), Fate::without_record);
    EXPECT_FALSE(record_to_send(made.letter(), std::nullopt));
}

TEST(RecordToSendTest, IsTheOriginalByteForByteWithOneMoreRedriveAndTheSameId) {
    MadeLetter made;
    made.record.key.reset();
    made.record.value = "";
    made.record.headers.insert(made.record.headers.begin(), {"trace", std::nullopt});

    const auto record = record_to_send(made.letter(), std::nullopt);

    ASSERT_TRUE(record);
    EXPECT_EQ(record->topic, "orders");
    EXPECT_EQ(record->partition, 3);
    EXPECT_EQ(record->key, std::nullopt);
    EXPECT_EQ(record->value, "");
    EXPECT_EQ(record->timestamp, std::nullopt) << "that of the send";
    ASSERT_GE(record->headers.size(), 2U);
    EXPECT_EQ(record->headers[0], (kafka::Header{"trace", std::nullopt}));
    EXPECT_EQ(record->headers[1], (kafka::Header{"trace", "abc"}));
    const auto value_of = [&record](const std::string& name) {
        for (const auto& header : record->headers)
            if (header.name == name) return header.value.value_or("null");
        return std::string{"none"};
    };
    EXPECT_EQ(value_of("x-dlq-redrive-count"), "1");
    EXPECT_EQ(value_of("x-dlq-id"), "orders/3/42/shop/");
    EXPECT_EQ(value_of("x-dlq-error-type"), "none");
    EXPECT_EQ(value_of("__connect.errors.topic"), "none");
}

// Byte for byte what the recoverer of Spring, and the reporter of Kafka Connect, write behind a record's own header.
std::vector<kafka::Header> by_spring() {
    using namespace std::string_literals;
    return {{"tenant", "7"},
            {"kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"},
            {"kafka_dlt-exception-message", "Listener failed"},
            {"kafka_dlt-original-topic", "orders"},
            {"kafka_dlt-original-partition", "\x00\x00\x00\x03"s},
            {"kafka_dlt-original-offset", "\x00\x00\x00\x1C\xBE\x99\x1A\x14"s},
            {"kafka_dlt-original-timestamp", "\x00\x00\x01\x74\x87\x6E\x80\x00"s},
            {"kafka_dlt-original-timestamp-type", "CreateTime"},
            {"kafka_dlt-original-consumer-group", "billing"}};
}
std::vector<kafka::Header> by_connect() {
    return {{"tenant", "7"},
            {"__connect.errors.topic", "orders"},
            {"__connect.errors.partition", "3"},
            {"__connect.errors.offset", "123456789012"},
            {"__connect.errors.stage", "VALUE_CONVERTER"},
            {"__connect.errors.exception.class.name", "org.apache.kafka.connect.errors.DataException"},
            {"__connect.errors.exception.message", std::nullopt}};
}

TEST(RecordToSendTest, OfALetterThatSpringOrConnectWroteIsTheirOriginalToo) {
    for (const auto& headers : {by_spring(), by_connect()}) {
        MadeLetter made;
        made.record.headers = headers;
        EXPECT_EQ(fate_of({}, made), Fate::sent);

        const auto record = record_to_send(made.letter(), std::nullopt);

        ASSERT_TRUE(record);
        EXPECT_EQ(record->topic, "orders");
        EXPECT_EQ(record->partition, 3);
        EXPECT_EQ(record->key, "customer-7");
        EXPECT_EQ(record->value, "quantity: none");
        ASSERT_FALSE(record->headers.empty());
        EXPECT_EQ(record->headers[0], (kafka::Header{"tenant", "7"}));
        for (const auto& header : std::span{record->headers}.subspan(1))
            EXPECT_TRUE(header.name.starts_with("x-dlq-")) << header.name;
        EXPECT_EQ(made.facts().offset, 123456789012);
    }
}

TEST(RecordToSendTest, InAnotherTopicTheKeyChoosesThePartition) {
    const auto record = record_to_send(MadeLetter{}.letter(), "again");

    ASSERT_TRUE(record);
    EXPECT_EQ(record->topic, "again");
    EXPECT_EQ(record->partition, std::nullopt);
    EXPECT_EQ(record->key, "customer-7");
}

std::string rounds(const std::vector<std::optional<OrderKey>>& keys) {
    std::string text;
    for (const auto& round : rounds_of(keys)) {
        for (const auto index : round) text += std::to_string(index);
        text += ' ';
    }
    return text;
}

TEST(RoundsTest, RecordsOfOneKeyAreInRoundsOfTheirOwnInTheirOrder) {
    const std::optional<OrderKey> a{{"t", "a"}}, b{{"t", "b"}};

    EXPECT_EQ(rounds({}), "");
    EXPECT_EQ(rounds({a, b}), "01 ");
    EXPECT_EQ(rounds({a, a, b, a, b}), "02 14 3 ");
}

TEST(RoundsTest, TheSameKeyInAnotherTopicIsAnotherOne) {
    EXPECT_EQ(rounds({{{"t", "a"}}, {{"u", "a"}}}), "01 ");
}

TEST(RoundsTest, RecordsWithoutAKeyHaveNoOrderButAnEmptyKeyIsOne) {
    kafka::Record keyless{"t", std::nullopt, "v"}, empty{"t", "", "v"};

    EXPECT_EQ(rounds({order_key_of(keyless), order_key_of(keyless)}), "01 ");
    EXPECT_EQ(rounds({order_key_of(empty), order_key_of(empty)}), "0 1 ");
}

TEST(DefaultGroupTest, IsTheSameForTheSameTopicFilterAndTargetOnly) {
    const Filter any, some{.text = "--type=timeout\n"};
    const auto group = default_group("dead", any, std::nullopt);

    EXPECT_EQ(group, "velostream-dlq.dead.cbf29ce484222325"); // in every version, else letters would come again
    EXPECT_EQ(default_group("dead", any, std::nullopt), group);
    EXPECT_NE(default_group("other", any, std::nullopt), group);
    EXPECT_NE(default_group("dead", some, std::nullopt), group);
    EXPECT_NE(default_group("dead", any, "again"), group);
}

} // namespace
} // namespace velostream::dlq
