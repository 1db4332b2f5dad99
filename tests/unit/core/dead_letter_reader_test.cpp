// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dead_letter_fixture.hpp"

namespace velostream::dead_letter_reader_test {
namespace {

using namespace std::string_view_literals;
using Headers = std::vector<HeaderView>;

RecordView with(const Headers& headers) {
    return {.topic = "dead", .partition = 0, .offset = 9, .headers = std::span<const HeaderView>{headers}};
}

// Byte for byte what Kafka Connect's reporter writes for a sink whose converter failed.
const Headers by_connect{
    {"tenant", "7"},
    {"__connect.errors.topic", "orders"},
    {"__connect.errors.partition", "3"},
    {"__connect.errors.offset", "123456789012"},
    {"__connect.errors.connector.name", "jdbc-sink"},
    {"__connect.errors.task.id", "0"},
    {"__connect.errors.stage", "VALUE_CONVERTER"},
    {"__connect.errors.class.name", "org.apache.kafka.connect.json.JsonConverter"},
    {"__connect.errors.exception.class.name", "org.apache.kafka.connect.errors.DataException"},
    {"__connect.errors.exception.message", "Converting byte[] to Kafka Connect data failed"},
    {"__connect.errors.exception.stacktrace",
     "org.apache.kafka.connect.errors.DataException: Converting byte[] to Kafka Connect data failed\n"
     "\tat org.apache.kafka.connect.json.JsonConverter.toConnectData(JsonConverter.java:324)\n"}};

// Byte for byte what Spring's DeadLetterPublishingRecoverer writes for a listener that threw.
const Headers by_spring{
    {"tenant", "7"},
    {"kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"},
    {"kafka_dlt-exception-cause-fqcn", "java.lang.IllegalStateException"},
    {"kafka_dlt-exception-message", "Listener failed; nested exception is java.lang.IllegalStateException: no stock"},
    {"kafka_dlt-exception-stacktrace", "org.springframework.kafka.listener.ListenerExecutionFailedException: …\n"},
    {"kafka_dlt-original-topic", "orders"},
    {"kafka_dlt-original-partition", "\x00\x00\x00\x03"sv},
    {"kafka_dlt-original-offset", "\x00\x00\x00\x1C\xBE\x99\x1A\x14"sv},
    {"kafka_dlt-original-timestamp", "\x00\x00\x01\x74\x87\x6E\x80\x00"sv},
    {"kafka_dlt-original-timestamp-type", "CreateTime"},
    {"kafka_dlt-original-consumer-group", "billing"}};

const Headers by_streams{{"tenant", "7"},
                         {"__streams.errors.exception", "java.lang.NumberFormatException"},
                         {"__streams.errors.message", "For input string: \"x\""},
                         {"__streams.errors.stacktrace", "java.lang.NumberFormatException: For input string: \"x\"\n"},
                         {"__streams.errors.topic", "orders"},
                         {"__streams.errors.partition", "3"},
                         {"__streams.errors.offset", "123456789012"}};

const Headers by_share_group{
    {"__dlq.errors.topic", "orders"},        {"__dlq.errors.partition", "3"},
    {"__dlq.errors.offset", "123456789012"}, {"__dlq.errors.group", "billing"},
    {"__dlq.errors.delivery.count", "5"},    {"__dlq.errors.message", "Offset delivery count exceeded the threshold."}};

TEST(DeadLetterReader, ReadsWhatKafkaConnectWrites) {
    auto record = with(by_connect);
    record.timestamp = written_at;
    record.timestamp_type = TimestampType::create_time;

    const auto facts = read_dead_letter(record);

    EXPECT_EQ(facts.family, HeaderFamily::connect);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 123'456'789'012);
    EXPECT_EQ(facts.timestamp, written_at) << "Connect leaves it where it was";
    EXPECT_EQ(facts.timestamp_type, TimestampType::create_time);
    EXPECT_EQ(facts.application, "jdbc-sink");
    EXPECT_EQ(facts.instance, "0");
    EXPECT_EQ(facts.handler, "org.apache.kafka.connect.json.JsonConverter");
    EXPECT_EQ(facts.stage, FailedStage::decode);
    EXPECT_EQ(facts.error_class, "org.apache.kafka.connect.errors.DataException");
    EXPECT_EQ(facts.message, "Converting byte[] to Kafka Connect data failed");
    EXPECT_TRUE(facts.stack_trace.ends_with("(JsonConverter.java:324)\n"));
    EXPECT_EQ(facts.error_type, std::nullopt);
    EXPECT_EQ(facts.attempts, std::nullopt);
    EXPECT_EQ(facts.id, "");
    EXPECT_EQ(facts.original_headers, (Headers{{"tenant", "7"}}));
}

TEST(DeadLetterReader, ReadsWhatSpringWrites) {
    auto record = with(by_spring);
    record.timestamp = failed_at;

    const auto facts = read_dead_letter(record);

    EXPECT_EQ(facts.family, HeaderFamily::spring);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 123'456'789'012);
    EXPECT_EQ(facts.timestamp, written_at);
    EXPECT_EQ(facts.timestamp_type, TimestampType::create_time);
    EXPECT_EQ(facts.group, "billing");
    EXPECT_EQ(facts.error_class, "org.springframework.kafka.listener.ListenerExecutionFailedException");
    EXPECT_EQ(facts.cause_class, "java.lang.IllegalStateException");
    EXPECT_TRUE(facts.message.value().ends_with("no stock"));
    EXPECT_TRUE(facts.stack_trace.ends_with("…\n"));
    EXPECT_EQ(facts.original_headers, (Headers{{"tenant", "7"}}));
}

TEST(DeadLetterReader, ReadsWhatSpringsRetryTopicsWrite) {
    const Headers headers{{"kafka_original-topic", "orders"},
                          {"kafka_original-partition", "\0\0\0\3"sv},
                          {"kafka_original-offset", "\0\0\0\0\0\0\0\7"sv},
                          {"kafka_dlt-original-consumer-group", "billing"},
                          {"kafka_exception-fqcn", "a.B"},
                          {"kafka_exception-message", "no"},
                          {"retry_topic-attempts", "\0\0\0\4"sv},
                          {"retry_topic-original-timestamp", "\x01\x74\x87\x6E\x80\x00"sv},
                          {"retry_topic-backoff-timestamp", "\x01\x74\x87\x6E\x80\x01"sv}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.family, HeaderFamily::spring);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 7);
    EXPECT_EQ(facts.group, "billing");
    EXPECT_EQ(facts.error_class, "a.B");
    EXPECT_EQ(facts.attempts, 4u);
    EXPECT_EQ(facts.timestamp, written_at);
    EXPECT_TRUE(facts.original_headers.empty());
}

TEST(DeadLetterReader, ReadsSpringsAttemptsInEveryWidthThatSpringDoes) {
    const auto attempts = [](std::string_view bytes) {
        const Headers headers{{"retry_topic-attempts", bytes}};
        return read_dead_letter(with(headers)).attempts;
    };

    EXPECT_EQ(attempts("\x03"sv), 3u);
    EXPECT_EQ(attempts("\xFF"sv), 255u);
    EXPECT_EQ(attempts("\x00\x00\x01\x00"sv), 256u);
    EXPECT_EQ(attempts("\x00"sv), 1u);
    EXPECT_EQ(attempts("\xFF\xFF\xFF\xFF"sv), 1u);
    EXPECT_EQ(attempts(""), std::nullopt);
    EXPECT_EQ(attempts("\x00\x01"sv), std::nullopt);
}

TEST(DeadLetterReader, ReadsTheExceptionOfAKeyThatSpringCouldNotDecode) {
    const Headers headers{{"kafka_dlt-key-exception-fqcn", "a.KeyError"},
                          {"kafka_dlt-key-exception-message", "bad key"},
                          {"kafka_dlt-key-exception-stacktrace", "a.KeyError: bad key"},
                          {"kafka_dlt-original-topic", "orders"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.error_class, "a.KeyError");
    EXPECT_EQ(facts.message, "bad key");
    EXPECT_EQ(facts.stack_trace, "a.KeyError: bad key");
}

TEST(DeadLetterReader, ReadsWhatKafkaStreamsWrites) {
    auto record = with(by_streams);
    record.timestamp = written_at;

    const auto facts = read_dead_letter(record);

    EXPECT_EQ(facts.family, HeaderFamily::streams);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 123'456'789'012);
    EXPECT_EQ(facts.timestamp, written_at) << "Streams leaves it where it was";
    EXPECT_EQ(facts.error_class, "java.lang.NumberFormatException");
    EXPECT_EQ(facts.message, "For input string: \"x\"");
    EXPECT_TRUE(facts.stack_trace.starts_with("java.lang.NumberFormatException: "));
    EXPECT_EQ(facts.original_headers, (Headers{{"tenant", "7"}}));
}

TEST(DeadLetterReader, ReadsTheClassOfAStreamsExceptionThatStandsWithItsMessage) {
    const Headers headers{{"__streams.errors.exception", "java.lang.NumberFormatException: For input: string"}};

    EXPECT_EQ(read_dead_letter(with(headers)).error_class, "java.lang.NumberFormatException");
}

TEST(DeadLetterReader, ReadsWhatShareGroupsWrite) {
    auto record = with(by_share_group);
    record.timestamp = failed_at;

    const auto facts = read_dead_letter(record);

    EXPECT_EQ(facts.family, HeaderFamily::share_group);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 123'456'789'012);
    EXPECT_EQ(facts.group, "billing");
    EXPECT_EQ(facts.attempts, 5u);
    EXPECT_EQ(facts.message, "Offset delivery count exceeded the threshold.");
    EXPECT_EQ(facts.timestamp, std::nullopt) << "the record's is the time of dead-lettering";
}

TEST(DeadLetterReader, SaysNothingAboutARecordThatIsNoDeadLetter) {
    const Headers headers{{"tenant", "7"}, {"kafka_correlationId", "5"}, {"x-dlq", ""}, {"__connect.errors", "x"}};
    auto record = with(headers);
    record.timestamp = written_at;

    const auto facts = read_dead_letter(record);

    EXPECT_EQ(facts.family, HeaderFamily::none);
    EXPECT_EQ(facts.topic, "");
    EXPECT_EQ(facts.timestamp, std::nullopt);
    EXPECT_EQ(facts.original_headers, headers);
}

TEST(DeadLetterReader, FamiliesHaveNames) {
    EXPECT_EQ(to_string(HeaderFamily::none), "none");
    EXPECT_EQ(to_string(HeaderFamily::own), "own");
    EXPECT_EQ(to_string(HeaderFamily::connect), "connect");
    EXPECT_EQ(to_string(HeaderFamily::spring), "spring");
    EXPECT_EQ(to_string(HeaderFamily::streams), "streams");
    EXPECT_EQ(to_string(HeaderFamily::share_group), "share_group");
}

class DeadLetterRoundTrip : public DeadLetterFixture {
  protected:
    static RecordView seen(const DeadLetter& letter) {
        return {.topic = letter.topic(),
                .partition = 0,
                .offset = 1,
                .key = letter.key(),
                .value = letter.value(),
                .headers = letter.headers(),
                .timestamp = letter.timestamp(),
                .timestamp_type = TimestampType::create_time};
    }
};

TEST_F(DeadLetterRoundTrip, WhatIsWrittenIsReadWhicheverFamiliesItIsWrittenIn) {
    error = Error{Errc::connect_failed, "broker 1"}.with_inner(Errc::broker_unreachable).with_attempts(3);
    context.failure = {.stage = FailedStage::store, .first_failure = failed_at - 9s, .last_failure = failed_at - 1s};
    for (unsigned set = 1; set < 8; ++set) {
        config.header_families = {.connect = (set & 1) != 0, .spring = (set & 2) != 0, .streams = (set & 4) != 0};
        const auto made = letter();

        const auto facts = read_dead_letter(seen(made));

        EXPECT_EQ(facts.family, HeaderFamily::own);
        EXPECT_EQ(facts.topic, "orders");
        EXPECT_EQ(facts.partition, 3);
        EXPECT_EQ(facts.offset, 41);
        EXPECT_EQ(facts.timestamp, written_at);
        EXPECT_EQ(facts.timestamp_type, TimestampType::create_time);
        EXPECT_EQ(facts.group, "billing");
        EXPECT_EQ(facts.error_type, ErrorType::network);
        EXPECT_EQ(facts.error_class, "velostream:43");
        EXPECT_EQ(facts.message, error.message());
        EXPECT_EQ(facts.stack_trace, context.stack_trace);
        EXPECT_EQ(facts.chain, text(made, "x-dlq-chain"));
        EXPECT_EQ(facts.attempts, 3u);
        EXPECT_EQ(facts.first_failure, failed_at - 9s);
        EXPECT_EQ(facts.last_failure, failed_at - 1s);
        EXPECT_EQ(facts.id, made.id());
        EXPECT_EQ(facts.redrives, 0u);
        EXPECT_TRUE(facts.has_record);
        EXPECT_EQ(facts.original_headers, (Headers{headers.begin(), headers.end()}));
        if (!config.header_families.connect) continue;
        EXPECT_EQ(facts.stage, FailedStage::store);
        EXPECT_EQ(facts.application, "totals");
        EXPECT_EQ(facts.instance, "2");
        EXPECT_EQ(facts.handler, "sum");
    }
}

TEST_F(DeadLetterRoundTrip, EveryTypeOfErrorIsReadAgain) {
    for (const auto& made : {Error{Errc::send_timeout}, Error{Errc::operation_failed}, Error{Errc::group_refused},
                             Error{Errc::cancelled}, Error{Errc::send_outcome_unknown}}) {
        error = made;
        const auto written = letter();
        EXPECT_EQ(read_dead_letter(seen(written)).error_type, made.type());
    }
}

TEST_F(DeadLetterRoundTrip, TheFingerprintIsTheSameWhetherItIsReadOrComputed) {
    const auto made = letter();
    auto without = Headers{made.headers().begin(), made.headers().end()};
    std::erase_if(without, [](const HeaderView& header) { return header.name == "x-dlq-fingerprint"; });

    const auto read = read_dead_letter(seen(made)).fingerprint;

    EXPECT_NE(read, 0u);
    EXPECT_EQ(read_dead_letter(with(without)).fingerprint, read);
}

TEST_F(DeadLetterRoundTrip, SaysWhatWasCutAndWhetherTheRecordIsThere) {
    config.include_original_record = false;
    const auto made = letter();

    const auto facts = read_dead_letter(seen(made));

    EXPECT_EQ(facts.left_out, "record=28");
    EXPECT_FALSE(facts.has_record);
}

TEST(DeadLetterFingerprint, OfOthersIsEqualForEqualCauses) {
    const auto of = [](std::string_view error_class, std::string_view message) {
        const Headers headers{{"__connect.errors.exception.class.name", error_class},
                              {"__connect.errors.exception.message", message}};
        return read_dead_letter(with(headers)).fingerprint;
    };

    EXPECT_EQ(of("a.B", "line 7: \"x\""), of("a.B", "line 12: \"other\""));
    EXPECT_NE(of("a.B", "line 7"), of("a.C", "line 7"));
    EXPECT_NE(of("a.B", "line 7"), of("a.B", "column 7"));
}

TEST(DeadLetterFingerprint, IsThatOfTheCauseWhereSpringNamesOne) {
    auto other = by_spring;
    other[2].value = "java.lang.NullPointerException";

    EXPECT_NE(read_dead_letter(with(other)).fingerprint, read_dead_letter(with(by_spring)).fingerprint);
}

} // namespace
} // namespace velostream::dead_letter_reader_test
