// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_headers.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dead_letter_field.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::retry_headers_test {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using Headers = std::vector<HeaderView>;

constexpr WallTime failed_at{1'700'000'000'000ms};
constexpr WallTime written_at{1'600'000'000'000ms};

RecordView in_retry_topic(const Headers& headers) {
    return {.topic = "orders-retry-60000",
            .partition = 1,
            .offset = 7,
            .key = "17850",
            .value = std::string_view{"6\0lamps", 7},
            .headers = std::span<const HeaderView>{headers},
            .timestamp = failed_at,
            .timestamp_type = TimestampType::create_time};
}

// Byte for byte what Spring writes to a retry topic for a listener that threw for the first time.
const Headers by_spring{
    {"tenant", "7"},
    {"kafka_original-topic", "orders"},
    {"kafka_original-partition", "\x00\x00\x00\x03"sv},
    {"kafka_original-offset", "\x00\x00\x00\x1C\xBE\x99\x1A\x14"sv},
    {"kafka_original-timestamp", "\x00\x00\x01\x74\x87\x6E\x80\x00"sv},
    {"kafka_original-timestamp-type", "CreateTime"},
    {"kafka_dlt-original-consumer-group", "billing"},
    {"kafka_exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"},
    {"kafka_exception-cause-fqcn", "java.lang.IllegalStateException"},
    {"kafka_exception-message", "Listener failed"},
    {"kafka_exception-stacktrace", "org.springframework.kafka.listener.ListenerExecutionFailedException: …\n"},
    {"retry_topic-attempts", "\x00\x00\x00\x02"sv},
    {"retry_topic-original-timestamp", "\x01\x74\x87\x6E\x80\x00"sv},
    {"retry_topic-backoff-timestamp", "\x01\x8B\xCF\xE5\x68\x00"sv}};

std::string text(const RetryRecord& made, std::string_view name) {
    std::string all;
    for (const auto& header : made.record().headers)
        if (header.name == name) all += (all.empty() ? "" : "|") + std::string{header.value.value_or("<null>")};
    return all;
}

class RetryHeaders : public ::testing::Test {
  protected:
    RetryRecord made(const RecordView& from, const RetryNote& note) const {
        return make_retry_record(from, note, error, context);
    }

    const Error error{make_error_code(Errc::deadline_exceeded), "the database"};
    RetryContext context{.topic = "orders-retry-60000",
                         .now = failed_at,
                         .due = failed_at + 60s,
                         .stack_trace = "totals+0x10\ntotals+0x20"};
    const Headers own{{"trace", "a"}, {"empty", ""}, {"trace", std::nullopt}};
    RecordView record{.topic = "orders",
                      .partition = 3,
                      .offset = 123'456'789'012,
                      .key = "17850",
                      .value = std::string_view{"6\0lamps", 7},
                      .headers = std::span<const HeaderView>{own},
                      .timestamp = written_at,
                      .timestamp_type = TimestampType::create_time};
};

TEST_F(RetryHeaders, WhatSpringWroteIsUnderstood) {
    const auto note = read_retry_headers(in_retry_topic(by_spring));

    EXPECT_EQ(note.attempt, 2U);
    EXPECT_EQ(note.due, failed_at);
    EXPECT_EQ(note.first.topic, "orders");
    EXPECT_EQ(note.first.partition, 3);
    EXPECT_EQ(note.first.offset, 123'456'789'012);
    EXPECT_EQ(note.first.timestamp, written_at);
    EXPECT_EQ(note.first.timestamp_type, TimestampType::create_time);
    EXPECT_EQ(note.first.group, "billing");
}

TEST_F(RetryHeaders, WhatIsWrittenHasSpringsBytes) {
    auto note = first_attempt(record);
    note.first.group = "billing";

    const auto retry = made(record, note);

    EXPECT_EQ(retry.record().topic, "orders-retry-60000");
    EXPECT_EQ(retry.record().partition, -1);
    EXPECT_EQ(retry.record().key, record.key);
    EXPECT_EQ(retry.record().value, record.value);
    EXPECT_EQ(retry.record().timestamp, failed_at);
    ASSERT_GT(retry.record().headers.size(), own.size());
    for (std::size_t i = 0; i < own.size(); ++i) EXPECT_EQ(retry.record().headers[i], own[i]);
    EXPECT_EQ(text(retry, "kafka_original-topic"), "orders");
    EXPECT_EQ(text(retry, "kafka_original-partition"), "\x00\x00\x00\x03"sv);
    EXPECT_EQ(text(retry, "kafka_original-offset"), "\x00\x00\x00\x1C\xBE\x99\x1A\x14"sv);
    EXPECT_EQ(text(retry, "kafka_original-timestamp"), "\x00\x00\x01\x74\x87\x6E\x80\x00"sv);
    EXPECT_EQ(text(retry, "kafka_original-timestamp-type"), "CreateTime");
    EXPECT_EQ(text(retry, "kafka_dlt-original-consumer-group"), "billing");
    EXPECT_EQ(text(retry, "kafka_exception-fqcn"), "velostream:25");
    EXPECT_NE(text(retry, "kafka_exception-message").find("the database"), std::string::npos);
    EXPECT_EQ(text(retry, "kafka_exception-stacktrace"), context.stack_trace);
    EXPECT_EQ(text(retry, "retry_topic-attempts"), "\x00\x00\x00\x02"sv);
    EXPECT_EQ(text(retry, "retry_topic-original-timestamp"), "\x01\x74\x87\x6E\x80\x00"sv);
    EXPECT_EQ(text(retry, "retry_topic-backoff-timestamp"), "\x01\x8B\xCF\xE6\x52\x60"sv);
    EXPECT_EQ(text(retry, "x-dlq-first-failure-ms"), "1700000000000");
}

TEST_F(RetryHeaders, WhoFailsAgainKeepsHisFirstPlaceAndHasTheLastException) {
    const auto again = in_retry_topic(by_spring);

    const auto retry = made(again, read_retry_headers(again));

    EXPECT_EQ(text(retry, "tenant"), "7");
    EXPECT_EQ(text(retry, "kafka_original-topic"), "orders");
    EXPECT_EQ(text(retry, "kafka_original-offset"), "\x00\x00\x00\x1C\xBE\x99\x1A\x14"sv);
    EXPECT_EQ(text(retry, "kafka_original-timestamp"), "\x00\x00\x01\x74\x87\x6E\x80\x00"sv);
    EXPECT_EQ(text(retry, "kafka_dlt-original-consumer-group"), "billing");
    EXPECT_EQ(text(retry, "kafka_exception-fqcn"), "velostream:25");
    EXPECT_EQ(text(retry, "kafka_exception-cause-fqcn"), "");
    EXPECT_EQ(text(retry, "retry_topic-attempts"), "\x00\x00\x00\x03"sv);
    EXPECT_EQ(text(retry, "retry_topic-original-timestamp"), "\x01\x74\x87\x6E\x80\x00"sv);
}

TEST_F(RetryHeaders, HoweverOftenARecordGoesRoundItDoesNotGrow) {
    std::vector<RetryRecord> rounds;
    rounds.push_back(made(record, first_attempt(record)));
    for (std::uint32_t attempt = 2; attempt < 50; ++attempt) {
        const auto& last = rounds.back().record();
        const auto note = read_retry_headers(last);
        EXPECT_EQ(note.attempt, attempt);
        rounds.push_back(made(last, note));
        EXPECT_EQ(rounds.back().record_size(), rounds.front().record_size());
    }
    EXPECT_EQ(text(rounds.back(), "x-dlq-first-failure-ms"), "1700000000000");
}

TEST_F(RetryHeaders, TheFirstRecordIsWhatItWasBeforeItFailed) {
    const auto retry = made(record, first_attempt(record));
    const auto note = read_retry_headers(retry.record());
    const auto headers = headers_without_retries(retry.record().headers);

    const auto first = first_record(retry.record(), note, headers);

    EXPECT_EQ(first.topic, record.topic);
    EXPECT_EQ(first.partition, record.partition);
    EXPECT_EQ(first.offset, record.offset);
    EXPECT_EQ(first.key, record.key);
    EXPECT_EQ(first.value, record.value);
    EXPECT_EQ(first.timestamp, record.timestamp);
    EXPECT_EQ(first.timestamp_type, record.timestamp_type);
    ASSERT_EQ(headers.size(), own.size() + 1); // and when it failed first
    for (std::size_t i = 0; i < own.size(); ++i) EXPECT_EQ(headers[i], own[i]);
}

TEST_F(RetryHeaders, ADeadLettersReaderUnderstandsThem) {
    const auto retry = made(record, first_attempt(record));

    const auto facts = read_dead_letter(retry.record());

    EXPECT_EQ(facts.family, HeaderFamily::spring);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.offset, record.offset);
    EXPECT_EQ(facts.attempts, 2U);
    EXPECT_EQ(facts.timestamp, written_at);
    EXPECT_EQ(facts.first_failure, failed_at);
    EXPECT_EQ(facts.error_class, "velostream:25");
}

TEST_F(RetryHeaders, WithoutThemOrWithOthersItIsTheFirstAttemptAtOnce) {
    const auto long_number = std::string(9, '\1');
    const std::vector<Headers> damaged{
        {},
        {{"tenant", "7"}},
        {{"retry_topic-attempts", ""}, {"retry_topic-backoff-timestamp", ""}, {"kafka_original-topic", ""}},
        {{"retry_topic-attempts", std::nullopt},
         {"retry_topic-backoff-timestamp", std::nullopt},
         {"kafka_original-topic", std::nullopt}},
        {{"retry_topic-attempts", "123"}, {"retry_topic-backoff-timestamp", long_number}},
        {{"retry_topic-attempts", "0002"}, {"retry_topic-backoff-timestamp", "\xFF"sv}}, // text; before 1970
        {{"retry_topic-attempts", "\0"sv}, {"retry_topic-backoff-timestamp", "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv}},
        {{"retry_topic-attempts", "\xFF\xFF\xFF\xFE"sv}, {"kafka_original-offset", "41"}}};
    for (const auto& headers : damaged) {
        const auto note = read_retry_headers(in_retry_topic(headers));
        EXPECT_EQ(note.attempt, 1U);
        EXPECT_EQ(note.due, std::nullopt);
        EXPECT_EQ(note.first.topic, "orders-retry-60000") << "it was here first";
        EXPECT_EQ(note.first.partition, 1);
        EXPECT_EQ(note.first.offset, 7);
        EXPECT_EQ(note.first.timestamp, failed_at);
        EXPECT_EQ(wait_until_due(note, failed_at, 24h), Duration{0});
    }
}

TEST_F(RetryHeaders, AttemptsInOneByteAreRead) {
    const Headers headers{{"retry_topic-attempts", "\xC8"sv}};
    EXPECT_EQ(read_retry_headers(in_retry_topic(headers)).attempt, 200U);
}

TEST_F(RetryHeaders, ADamagedHeaderBesideASoundOneOfItsNameIsAsIfItWereNotThere) {
    const Headers headers{{"kafka_original-topic", ""},
                          {"kafka_original-topic", "orders"},
                          {"kafka_original-topic", "others"},
                          {"kafka_original-partition", "3"},
                          {"retry_topic-attempts", "\x00\x00\x00\x02"sv},
                          {"retry_topic-attempts", "\x00\x00\x00\x05"sv},
                          {"retry_topic-attempts", "x?"},
                          {"retry_topic-original-timestamp", "\x01"sv}};
    const auto note = read_retry_headers(in_retry_topic(headers));

    EXPECT_EQ(note.first.topic, "orders");
    EXPECT_EQ(note.first.partition, -1);
    EXPECT_EQ(note.first.offset, -1);
    EXPECT_EQ(note.first.timestamp, WallTime{1ms});
    EXPECT_EQ(note.attempt, 5U);
}

TEST_F(RetryHeaders, WaitsUntilItIsDueUnlessNobodyCanHaveMeantThat) {
    RetryNote note;
    note.due = failed_at;
    EXPECT_EQ(wait_until_due(note, failed_at - 1ms, 1h), Duration{1ms});
    EXPECT_EQ(wait_until_due(note, failed_at - 1h, 1h), Duration{1h});
    EXPECT_EQ(wait_until_due(note, failed_at - 1h - 1ms, 1h), Duration{0});
    EXPECT_EQ(wait_until_due(note, failed_at, 1h), Duration{0});
    EXPECT_EQ(wait_until_due(note, failed_at + 1h, 1h), Duration{0});
    note.due = WallTime{253'402'300'799'999ms}; // the last one that is read
    EXPECT_EQ(wait_until_due(note, WallTime{0ms}, Duration::max()), Duration{0});
}

TEST_F(RetryHeaders, NothingIsSaidOfWhatNobodyKnows) {
    const RecordView bare{.topic = "orders", .partition = -1, .offset = -1};

    const auto retry = made(bare, first_attempt(bare));

    EXPECT_EQ(retry.record().key, std::nullopt);
    EXPECT_EQ(retry.record().value, std::nullopt);
    for (const auto& header : retry.record().headers) {
        EXPECT_NE(header.name, "kafka_original-partition");
        EXPECT_NE(header.name, "kafka_original-offset");
        EXPECT_NE(header.name, "kafka_original-timestamp");
        EXPECT_NE(header.name, "kafka_dlt-original-consumer-group");
        EXPECT_NE(header.name, "retry_topic-original-timestamp");
    }
}

TEST_F(RetryHeaders, ADeadLetterOfSpringsThatWasSentAgainKeepsItsGroup) {
    const Headers letter{{"kafka_dlt-original-topic", "orders"}, {"kafka_dlt-original-consumer-group", "old"}};
    record.headers = std::span<const HeaderView>{letter};
    auto note = first_attempt(record);
    note.first.group = "billing";

    const auto retry = made(record, note);

    EXPECT_EQ(text(retry, "kafka_dlt-original-consumer-group"), "old");
    EXPECT_EQ(headers_without_retries(retry.record().headers)[1].value, "old");
}

TEST_F(RetryHeaders, TheErrorIsLeftOutWhereItMustNotBeTold) {
    context.with_error = false;
    context.stack_trace = {};

    const auto retry = made(record, first_attempt(record));

    for (const auto& header : retry.record().headers) EXPECT_FALSE(header.name.starts_with("kafka_exception-"));
}

TEST_F(RetryHeaders, WhatWouldBeTooLargeLosesStackAndThenMessageButNothingOfItsOwn) {
    const auto whole = made(record, first_attempt(record)).record_size();

    context.max_record_size = whole - 1;
    const auto without_stack = made(record, first_attempt(record));
    context.max_record_size = without_stack.record_size() - 1;
    const auto least = made(record, first_attempt(record));

    EXPECT_EQ(text(without_stack, "kafka_exception-stacktrace"), "");
    EXPECT_NE(text(without_stack, "kafka_exception-message"), "");
    EXPECT_EQ(text(least, "kafka_exception-message"), "");
    EXPECT_EQ(least.record().value, record.value);
    EXPECT_EQ(text(least, "trace"), "a|<null>");
    EXPECT_EQ(text(least, "kafka_original-topic"), "orders");
}

TEST_F(RetryHeaders, BytesOfAnyKindAreReadAndWrittenAgain) {
    std::mt19937 random{42};
    const auto bytes = [&random] {
        std::string made(random() % 12, '\0');
        for (auto& byte : made) byte = static_cast<char>(random());
        return made;
    };
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::string> values;
        for (std::size_t i = 0; i < by_spring.size(); ++i) values.push_back(bytes());
        Headers headers;
        for (std::size_t i = 0; i < by_spring.size(); ++i) headers.push_back({by_spring[i].name, values[i]});
        const auto garbage = in_retry_topic(headers);

        const auto note = read_retry_headers(garbage);
        const auto again = made(garbage, note);

        EXPECT_GE(note.attempt, 1U);
        EXPECT_LE(note.attempt, most_attempts);
        EXPECT_EQ(read_retry_headers(again.record()).attempt, std::min(note.attempt + 1, most_attempts));
        EXPECT_EQ(text(again, "tenant"), values[0]);
    }
}

TEST(JavaBigInteger, HasJavasBytesAtEveryEdge) {
    const std::vector<std::pair<std::int64_t, std::string_view>> known{
        {0, "\x00"sv},
        {1, "\x01"sv},
        {127, "\x7F"sv},
        {128, "\x00\x80"sv},
        {255, "\x00\xFF"sv},
        {256, "\x01\x00"sv},
        {32'767, "\x7F\xFF"sv},
        {32'768, "\x00\x80\x00"sv},
        {-1, "\xFF"sv},
        {-128, "\x80"sv},
        {-129, "\xFF\x7F"sv},
        {-256, "\xFF\x00"sv},
        {-32'768, "\x80\x00"sv},
        {-32'769, "\xFF\x7F\xFF"sv},
        {1'700'000'000'000, "\x01\x8B\xCF\xE5\x68\x00"sv},
        {std::numeric_limits<std::int64_t>::max(), "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv},
        {std::numeric_limits<std::int64_t>::min(), "\x80\x00\x00\x00\x00\x00\x00\x00"sv}};
    for (const auto& [number, bytes] : known) {
        EXPECT_EQ(detail::java_big_integer_bytes(number), bytes) << number;
        EXPECT_EQ(detail::java_big_integer(bytes), number);
    }
    for (int bits = 0; bits < 63; ++bits)
        for (const auto near : {-1, 0, 1})
            for (const auto sign : {-1, 1}) {
                const auto number = sign * ((std::int64_t{1} << bits) + near);
                EXPECT_EQ(detail::java_big_integer(detail::java_big_integer_bytes(number)), number);
            }
}

} // namespace
} // namespace velostream::retry_headers_test
