// SPDX-License-Identifier: Apache-2.0
// Headers of several rounds, headers that are broken, and records that are restored.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dead_letter_fixture.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream {
namespace {

using namespace std::string_view_literals;
using Headers = std::vector<HeaderView>;

RecordView with(const Headers& headers) {
    return {.topic = "dead", .partition = 0, .offset = 9, .headers = std::span<const HeaderView>{headers}};
}

RecordView seen(const DeadLetter& letter) {
    return {.topic = letter.topic(), .key = letter.key(), .value = letter.value(), .headers = letter.headers()};
}

TEST(DeadLetterReader, TakesThePlaceFromWhatStandsFirstAndTheErrorFromWhatStandsLast) {
    const Headers appended{{"__connect.errors.topic", "orders"},     {"__connect.errors.partition", "3"},
                           {"__connect.errors.offset", "41"},        {"__connect.errors.exception.message", "older"},
                           {"__connect.errors.topic", "orders-dlq"}, {"__connect.errors.partition", "0"},
                           {"__connect.errors.offset", "7"},         {"__connect.errors.exception.message", "newer"}};

    const auto facts = read_dead_letter(with(appended));

    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, 41);
    EXPECT_EQ(facts.message, "newer");
}

TEST(DeadLetterReader, DoesSoAcrossFamiliesToo) {
    const Headers headers{{"kafka_dlt-original-topic", "orders"},      {"kafka_dlt-original-partition", "\0\0\0\3"sv},
                          {"kafka_dlt-exception-fqcn", "a.Older"},     {"__connect.errors.topic", "orders-dlt"},
                          {"__connect.errors.partition", "0"},         {"__connect.errors.offset", "7"},
                          {"__connect.errors.exception.message", "no"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.family, HeaderFamily::connect);
    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, 3);
    EXPECT_EQ(facts.offset, -1) << "of one family, as a whole";
    EXPECT_EQ(facts.message, "no");
    EXPECT_EQ(facts.error_class, "") << "the older family's error is another one";
}

TEST(DeadLetterReader, AFamilyThatNamesNoTopicTellsNoPlace) {
    const Headers headers{{"__connect.errors.topic", ""},
                          {"__connect.errors.offset", "1"},
                          {"__streams.errors.topic", "orders"},
                          {"__streams.errors.offset", "41"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.offset, 41);
}

TEST(DeadLetterReader, OfOursBeforeNewerHeadersOnlyWhatStaysOverRoundsCounts) {
    const Headers headers{{"x-dlq-version", "1"},
                          {"x-dlq-id", "orders/3/41//"},
                          {"x-dlq-error-type", "timeout"},
                          {"x-dlq-attempts", "4"},
                          {"x-dlq-first-failure-ms", "1600000000000"},
                          {"x-dlq-last-failure-ms", "1600000000001"},
                          {"x-dlq-original-timestamp", "1500000000000"},
                          {"x-dlq-original-timestamp-type", "LogAppendTime"},
                          {"x-dlq-group", "ours"},
                          {"x-dlq-redrive-count", "2"},
                          {"x-dlq-fingerprint", "00000000000000ff"},
                          {"x-dlq-truncated", "record=5"},
                          {"kafka_dlt-original-topic", "orders"},
                          {"kafka_dlt-original-consumer-group", "theirs"},
                          {"kafka_dlt-original-timestamp", "\0\0\0\0\0\0\0\1"sv},
                          {"kafka_dlt-exception-fqcn", "a.B"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.family, HeaderFamily::spring);
    EXPECT_EQ(facts.id, "orders/3/41//");
    EXPECT_EQ(facts.first_failure, WallTime{1'600'000'000'000ms});
    EXPECT_EQ(facts.timestamp, WallTime{1'500'000'000'000ms});
    EXPECT_EQ(facts.timestamp_type, TimestampType::log_append_time);
    EXPECT_EQ(facts.redrives, 2u);
    EXPECT_EQ(facts.group, "theirs");
    EXPECT_EQ(facts.error_type, std::nullopt);
    EXPECT_EQ(facts.attempts, std::nullopt);
    EXPECT_EQ(facts.last_failure, std::nullopt);
    EXPECT_NE(facts.fingerprint, 0xFFu);
    EXPECT_TRUE(facts.has_record);
}

TEST(DeadLetterReader, ARecordThatWasSentAgainIsNoDeadLetter) {
    const Headers headers{{"x-dlq-id", "orders/3/41//"}, {"x-dlq-redrive-count", "1"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.family, HeaderFamily::none);
    EXPECT_EQ(facts.id, "orders/3/41//");
    EXPECT_EQ(facts.redrives, 1u);
}

TEST(DeadLetterReader, HeadersThatAreNotWhatTheyShouldBeAreAsIfTheyWereNotThere) {
    const std::string huge(2'000'000, '9');
    const Headers headers{{"kafka_dlt-original-topic", "orders"},
                          {"kafka_dlt-original-partition", "\0\0\3"sv},
                          {"kafka_dlt-original-partition", "3"},
                          {"kafka_dlt-original-partition", std::nullopt},
                          {"kafka_dlt-original-offset", "\0\0\0\0\0\0\0\0\1"sv},
                          {"kafka_dlt-original-offset", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"sv},
                          {"kafka_dlt-original-timestamp", "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv},
                          {"kafka_dlt-original-timestamp-type", "createTime"},
                          {"retry_topic-original-timestamp", "\0\0\0\0\0\0\0\0\1"sv},
                          {"retry_topic-original-timestamp", ""},
                          {"retry_topic-original-timestamp", "\xFF"sv},
                          {"kafka_dlt-exception-fqcn", std::nullopt},
                          {"x-dlq-version", "1"},
                          {"x-dlq-id", huge},
                          {"x-dlq-attempts", huge},
                          {"x-dlq-attempts", "-1"},
                          {"x-dlq-attempts", "+1"},
                          {"x-dlq-attempts", "1 "},
                          {"x-dlq-error-type", "Timeout"},
                          {"x-dlq-first-failure-ms", "0x10"},
                          {"x-dlq-last-failure-ms", "253402300800000"},
                          {"x-dlq-redrive-count", "4294967296"},
                          {"x-dlq-fingerprint", "fffffffffffffffg"},
                          {"x-dlq-fingerprint", "ff"}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.topic, "orders");
    EXPECT_EQ(facts.partition, -1);
    EXPECT_EQ(facts.offset, -1);
    EXPECT_EQ(facts.timestamp, std::nullopt);
    EXPECT_EQ(facts.timestamp_type, TimestampType::not_available);
    EXPECT_EQ(facts.error_class, "");
    EXPECT_EQ(facts.id, "");
    EXPECT_EQ(facts.attempts, std::nullopt);
    EXPECT_EQ(facts.error_type, std::nullopt);
    EXPECT_EQ(facts.first_failure, std::nullopt);
    EXPECT_EQ(facts.last_failure, std::nullopt);
    EXPECT_EQ(facts.redrives, 0u);
    EXPECT_NE(facts.fingerprint, 0u) << "computed";
    EXPECT_NE(facts.fingerprint, 0xFFu);
}

TEST(DeadLetterReader, TextsAreTheBytesAsTheyAre) {
    const std::string huge(1'000'000, '\xFF');
    const Headers headers{{"__connect.errors.exception.message", huge}, {"__connect.errors.topic", "\xC3\0"sv}};

    const auto facts = read_dead_letter(with(headers));

    EXPECT_EQ(facts.message, huge);
    EXPECT_EQ(facts.topic, "\xC3\0"sv);
}

// Whatever a list of headers is: for the sanitizers, and that every header is either an original one or an error's.
TEST(DeadLetterReader, ReadsAnyListOfHeaders) {
    constexpr std::array names{"",
                               "tenant",
                               "__connect.errors.",
                               "__connect.errors.topic",
                               "__connect.errors.partition",
                               "__connect.errors.offset",
                               "__connect.errors.stage",
                               "__connect.errors.exception.message",
                               "__connect.errors.exception.stacktrace",
                               "kafka_dlt-original-topic",
                               "kafka_dlt-original-partition",
                               "kafka_dlt-original-offset",
                               "kafka_dlt-original-timestamp",
                               "kafka_dlt-exception-fqcn",
                               "kafka_original-topic",
                               "kafka_exception-message",
                               "kafka_",
                               "retry_topic-attempts",
                               "retry_topic-original-timestamp",
                               "__streams.errors.exception",
                               "__streams.errors.topic",
                               "__streams.errors.offset",
                               "__dlq.errors.topic",
                               "__dlq.errors.delivery.count",
                               "__dlq.errors.group",
                               "x-dlq-version",
                               "x-dlq-id",
                               "x-dlq-attempts",
                               "x-dlq-first-failure-ms",
                               "x-dlq-original-timestamp",
                               "x-dlq-original-timestamp-type",
                               "x-dlq-redrive-count",
                               "x-dlq-fingerprint",
                               "x-dlq-truncated",
                               "x-dlq-error-type",
                               "x-dlq-group"};
    constexpr std::array values{""sv,
                                "0"sv,
                                "-1"sv,
                                "1600000000000"sv,
                                "orders"sv,
                                "\0\0\0\3"sv,
                                "CreateTime"sv,
                                "record=1"sv,
                                "timeout"sv,
                                "\x80"sv,
                                ": "sv,
                                "\xFF\xFE"sv,
                                "4294967295"sv,
                                "TASK_PUT"sv,
                                "\0\0\0\0\0\0\0\1"sv,
                                "00000000000000ff"sv};
    std::mt19937 random{7};
    for (int round = 0; round < 10'000; ++round) {
        std::vector<std::string> bytes(random() % 12);
        Headers headers;
        std::size_t originals = 0;
        for (auto& text : bytes) {
            const auto which = random() % names.size();
            originals += which < 2 || names[which] == "kafka_"sv ? 1U : 0U;
            text = values[random() % values.size()];
            for (auto changes = random() % 3; changes > 0 && !text.empty(); --changes)
                text[random() % text.size()] = static_cast<char>(random());
            text.resize(text.size() + random() % 3 * (random() % 40), static_cast<char>(random()));
            headers.push_back({names[which], random() % 8 == 0 ? NullableBytes{} : NullableBytes{text}});
        }
        const auto record = with(headers);

        const auto facts = read_dead_letter(record);
        const auto again = restored(record);

        ASSERT_EQ(facts.original_headers.size(), originals);
        ASSERT_EQ(again.has_value(), facts.has_record);
        if (!again) continue;
        const auto restored_facts = read_dead_letter(again->record());
        ASSERT_EQ(restored_facts.family, HeaderFamily::none);
        ASSERT_EQ(restored_facts.original_headers, facts.original_headers);
        ASSERT_EQ(restored_facts.timestamp, facts.timestamp);
        ASSERT_EQ(restored_facts.first_failure, facts.first_failure);
        ASSERT_GE(restored_facts.redrives, 1u);
    }
}

class RestoredRecordTest : public DeadLetterFixture {
  protected:
    static Headers headers_of(const RecordView& view) { return {view.headers.begin(), view.headers.end()}; }
    Headers originals_and(const Headers& more) const {
        Headers all{headers.begin(), headers.end()};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

TEST_F(RestoredRecordTest, HasTheBytesOfTheOriginal) {
    for (const NullableBytes& value : {NullableBytes{}, NullableBytes{""}, NullableBytes{"6\0lamps"sv}}) {
        record.value = value;
        const auto made = letter();

        const auto again = restored(seen(made));

        ASSERT_TRUE(again);
        EXPECT_EQ(again->record().topic, "orders");
        EXPECT_EQ(again->record().partition, 3);
        EXPECT_EQ(again->record().offset, -1);
        EXPECT_EQ(again->record().timestamp, std::nullopt) << "the time of the send";
        EXPECT_EQ(again->record().key, record.key);
        EXPECT_EQ(again->record().value, value);
    }
}

TEST_F(RestoredRecordTest, HasTheOriginalHeadersAndWhatStaysOverRounds) {
    const auto made = letter();

    auto again = restored(seen(made));
    const auto moved = std::move(*again);

    EXPECT_EQ(headers_of(moved.record()), originals_and({{"x-dlq-id", "orders/3/41/billing/sum"},
                                                         {"x-dlq-redrive-count", "1"},
                                                         {"x-dlq-first-failure-ms", "1700000000000"},
                                                         {"x-dlq-original-timestamp", "1600000000000"},
                                                         {"x-dlq-original-timestamp-type", "CreateTime"}}));
}

TEST_F(RestoredRecordTest, ThatFailsAgainKeepsItsIdAndItsHistoryAndCountsItsRedrives) {
    const auto first = letter();
    for (int round = 1; round <= 3; ++round) {
        auto failed = first.headers();
        Headers kept{failed.begin(), failed.end()};
        kept.push_back({"x-dlq-redrive-count", round == 1 ? "0"sv : round == 2 ? "1"sv : "2"sv});
        const auto again =
            restored({.key = first.key(), .value = first.value(), .headers = std::span<const HeaderView>{kept}});
        ASSERT_TRUE(again);
        auto view = again->record();
        view.offset = 1000 + round;
        auto later = context;
        later.now = failed_at + std::chrono::hours{round};

        const auto second = make_dead_letter(view, error, config, later);

        const auto facts = read_dead_letter(seen(second));
        EXPECT_EQ(facts.redrives, static_cast<unsigned>(round));
        EXPECT_EQ(facts.id, "orders/3/41/billing/sum");
        EXPECT_EQ(facts.first_failure, failed_at);
        EXPECT_EQ(facts.timestamp, written_at);
        EXPECT_EQ(facts.offset, 1000 + round);
        EXPECT_EQ(second.headers().size(), first.headers().size() + 1) << "it does not grow";
    }
}

TEST_F(RestoredRecordTest, OfOthersGetsAnIdFromItsPlace) {
    const Headers by_spring{{"tenant", "7"},
                            {"kafka_dlt-original-topic", "orders"},
                            {"kafka_dlt-original-partition", "\0\0\0\3"sv},
                            {"kafka_dlt-original-offset", "\0\0\0\0\0\0\0\51"sv},
                            {"kafka_dlt-original-timestamp", "\x00\x00\x01\x74\x87\x6E\x80\x00"sv},
                            {"kafka_dlt-original-timestamp-type", "CreateTime"},
                            {"kafka_dlt-original-consumer-group", "billing"}};

    const auto again = restored(with(by_spring));

    ASSERT_TRUE(again);
    EXPECT_EQ(headers_of(again->record()), (Headers{{"tenant", "7"},
                                                    {"x-dlq-id", "orders/3/41/billing/"},
                                                    {"x-dlq-redrive-count", "1"},
                                                    {"x-dlq-original-timestamp", "1600000000000"},
                                                    {"x-dlq-original-timestamp-type", "CreateTime"}}));
}

TEST_F(RestoredRecordTest, TheFirstRecordOfAPartitionHasAnIdToo) {
    const Headers by_connect{
        {"__connect.errors.topic", "orders"}, {"__connect.errors.partition", "0"}, {"__connect.errors.offset", "0"}};

    EXPECT_EQ(headers_of(restored(with(by_connect))->record()),
              (Headers{{"x-dlq-id", "orders/0/0//"}, {"x-dlq-redrive-count", "1"}}));
}

TEST_F(RestoredRecordTest, WhosePlaceNobodyKnowsHasNeitherTopicNorId) {
    const Headers nothing{};

    const auto again = restored(with(nothing));

    ASSERT_TRUE(again);
    EXPECT_EQ(again->record().topic, "");
    EXPECT_EQ(again->record().partition, -1);
    EXPECT_EQ(headers_of(again->record()), (Headers{{"x-dlq-redrive-count", "1"}}));
}

TEST_F(RestoredRecordTest, TheNumberOfRedrivesEndsAtItsLargest) {
    const Headers many{{"x-dlq-redrive-count", "4294967295"}};

    EXPECT_EQ(headers_of(restored(with(many))->record()), many);
}

TEST_F(RestoredRecordTest, IsNoneWhereTheLetterWasWrittenWithoutIt) {
    config.include_original_record = false;
    const auto made = letter();

    EXPECT_FALSE(restored(seen(made)));
}

} // namespace
} // namespace velostream
