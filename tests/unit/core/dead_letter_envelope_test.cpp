// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_envelope.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "dead_letter_fixture.hpp"

namespace velostream {
namespace {

using DeadLetterEnvelope = DeadLetterFixture;

TEST_F(DeadLetterEnvelope, KeepsKeyAndValueByteForByte) {
    const auto made = letter();

    EXPECT_EQ(made.key(), "17850");
    EXPECT_EQ(made.value(), (std::string_view{"6\0lamps", 7}));
}

TEST_F(DeadLetterEnvelope, KeepsNullAndEmptyApart) {
    record.key = "";
    record.value = std::nullopt;

    const auto made = letter();

    EXPECT_EQ(made.key(), "");
    EXPECT_FALSE(made.value().has_value());
}

TEST_F(DeadLetterEnvelope, PutsTheOriginalHeadersFirstAndUnchanged) {
    const auto made = letter();

    ASSERT_GT(made.headers().size(), 3u);
    EXPECT_TRUE(std::ranges::equal(made.headers().first(3), headers));
}

TEST_F(DeadLetterEnvelope, WritesTheHeadersOfBothFamilies) {
    const auto made = letter();

    EXPECT_EQ(text(made, "__connect.errors.topic"), "orders");
    EXPECT_EQ(text(made, "__connect.errors.partition"), "3");
    EXPECT_EQ(text(made, "__connect.errors.offset"), "41");
    EXPECT_EQ(text(made, "__connect.errors.connector.name"), "totals");
    EXPECT_EQ(text(made, "__connect.errors.task.id"), "2");
    EXPECT_EQ(text(made, "__connect.errors.stage"), "TRANSFORMATION");
    EXPECT_EQ(text(made, "__connect.errors.class.name"), "sum");
    EXPECT_EQ(text(made, "__connect.errors.exception.class.name"), "generic:22");
    EXPECT_EQ(text(made, "__connect.errors.exception.message"), "Invalid argument: Quantity: \"0\"");
    EXPECT_EQ(text(made, "__connect.errors.exception.stacktrace"), "totals+0x10\ntotals+0x20");
    EXPECT_EQ(text(made, "x-dlq-version"), "1");
    EXPECT_EQ(text(made, "x-dlq-id"), "orders/3/41/billing/sum");
    EXPECT_EQ(text(made, "x-dlq-error-type"), "bad_request");
    EXPECT_EQ(text(made, "x-dlq-attempts"), "1");
    EXPECT_EQ(text(made, "x-dlq-first-failure-ms"), "1700000000000");
    EXPECT_EQ(text(made, "x-dlq-last-failure-ms"), "1700000000000");
    EXPECT_EQ(text(made, "x-dlq-original-timestamp"), "1600000000000");
    EXPECT_EQ(text(made, "x-dlq-original-timestamp-type"), "CreateTime");
    EXPECT_EQ(text(made, "x-dlq-group"), "billing");
    EXPECT_EQ(text(made, "x-dlq-fingerprint").size(), 16u);
}

TEST_F(DeadLetterEnvelope, GoesToTheTopicOfTheConfigWithTheTimeOfDeadLettering) {
    config.topic = "bad-orders";

    const auto made = letter();

    EXPECT_EQ(made.topic(), "bad-orders");
    EXPECT_EQ(made.timestamp(), failed_at);
    EXPECT_EQ(made.source_partition(), 3);
    EXPECT_EQ(made.id(), "orders/3/41/billing/sum");
}

TEST_F(DeadLetterEnvelope, TheSerialNumberStandsInTheIdForAnOffsetThatNobodyKnows) {
    context.serial = "a1-7";
    EXPECT_EQ(letter().id(), "orders/3/41/billing/sum");

    record.partition = -1;
    record.offset = -1;

    EXPECT_EQ(letter().id(), "orders/-/a1-7/billing/sum");
}

TEST_F(DeadLetterEnvelope, PartitionAndOffsetMayBeKnownEachWithoutTheOther) {
    context.serial = "a1-7";
    auto no_offset = record, no_partition = record;
    no_offset.offset = -1;
    no_partition.partition = -1;

    const auto first = make_dead_letter(no_offset, error, config, context);
    const auto second = make_dead_letter(no_partition, error, config, context);

    EXPECT_EQ(first.id(), "orders/3/a1-7/billing/sum");
    EXPECT_EQ(text(first, "__connect.errors.partition"), "3");
    EXPECT_EQ(text(first, "__connect.errors.offset"), "<absent>");
    EXPECT_EQ(second.id(), "orders/-/41/billing/sum");
    EXPECT_EQ(text(second, "__connect.errors.partition"), "<absent>");
    EXPECT_EQ(text(second, "__connect.errors.offset"), "41");
}

TEST_F(DeadLetterEnvelope, LeavesOutWhatNobodyKnows) {
    record = RecordView{.topic = ""};
    context = DeadLetterContext{.now = failed_at};

    const auto made = letter();

    EXPECT_EQ(names(made),
              (Names{"__connect.errors.stage", "__connect.errors.exception.class.name",
                     "__connect.errors.exception.message", "x-dlq-version", "x-dlq-id", "x-dlq-error-type",
                     "x-dlq-attempts", "x-dlq-first-failure-ms", "x-dlq-last-failure-ms", "x-dlq-fingerprint"}));
}

Names missing_without(const DeadLetter& all, const DeadLetter& fewer) {
    auto left = names(all);
    for (const auto& name : names(fewer))
        if (const auto found = std::ranges::find(left, name); found != left.end()) left.erase(found);
    return left;
}

TEST_F(DeadLetterEnvelope, WithoutTheOriginalRecordOnlyItsBytesAndHeadersAreMissing) {
    const auto all = letter();
    config.include_original_record = false;

    const auto made = letter();

    EXPECT_EQ(missing_without(all, made), (Names{"trace", "empty", "trace"}));
    EXPECT_EQ(text(made, "x-dlq-truncated"), "record=28") << "so that nobody takes it for a tombstone";
    EXPECT_FALSE(made.key().has_value());
    EXPECT_FALSE(made.value().has_value());
}

TEST_F(DeadLetterEnvelope, WithoutErrorDetailsOnlyWhatTheErrorSaysIsMissing) {
    error = error.with_inner(Errc::broker_unreachable);
    const auto all = letter();
    config.include_error_details = false;

    const auto made = letter();

    EXPECT_EQ(missing_without(all, made),
              (Names{"__connect.errors.stage", "__connect.errors.exception.class.name",
                     "__connect.errors.exception.message", "x-dlq-error-type", "x-dlq-attempts",
                     "x-dlq-first-failure-ms", "x-dlq-last-failure-ms", "x-dlq-fingerprint", "x-dlq-chain"}));
    EXPECT_EQ(made.value(), record.value);
}

TEST_F(DeadLetterEnvelope, WithoutStackTraceOnlyTheStackTraceIsMissing) {
    const auto all = letter();
    config.include_stack_trace = false;

    const auto made = letter();

    EXPECT_EQ(missing_without(all, made), (Names{"__connect.errors.exception.stacktrace"}));
    EXPECT_EQ(text(made, "x-dlq-fingerprint"), text(all, "x-dlq-fingerprint"));
}

TEST_F(DeadLetterEnvelope, ReplacesOwnHeadersWhenARecordComesRoundAgain) {
    const auto first = letter();
    record.headers = HeadersView{first.headers()};
    record.topic = "orders-again";
    record.offset = 7;
    record.timestamp = failed_at;
    context.now = failed_at + 1h;
    error = Errc::group_refused;

    const auto second = letter();

    EXPECT_EQ(names(second), names(first));
    EXPECT_TRUE(std::ranges::equal(second.headers().first(3), headers));
    EXPECT_EQ(text(second, "__connect.errors.topic"), "orders-again");
    EXPECT_EQ(text(second, "x-dlq-error-type"), "resource_exhausted");
    EXPECT_EQ(text(second, "x-dlq-last-failure-ms"), "1700003600000");
    EXPECT_EQ(text(second, "x-dlq-id"), "orders/3/41/billing/sum") << "the id stays";
    EXPECT_EQ(text(second, "x-dlq-first-failure-ms"), "1700000000000") << "the first failure stays";
    EXPECT_EQ(text(second, "x-dlq-original-timestamp"), "1600000000000") << "the original timestamp stays";
}

TEST_F(DeadLetterEnvelope, RemovesOwnHeadersOfAnEarlierRoundEvenWhereItWritesNone) {
    const auto first = letter();
    record.headers = HeadersView{first.headers()};
    config.include_error_details = false;
    config.include_stack_trace = false;

    const auto second = letter();

    EXPECT_EQ(text(second, "__connect.errors.exception.message"), "<absent>");
    EXPECT_EQ(text(second, "__connect.errors.exception.stacktrace"), "<absent>");
    EXPECT_EQ(text(second, "x-dlq-error-type"), "<absent>");
}

TEST_F(DeadLetterEnvelope, SaysNoFirstFailureWhenSeveralAttemptsWereMadeAndNobodyKnowsTheFirst) {
    error = error.with_attempts(4);

    const auto made = letter();

    EXPECT_EQ(text(made, "x-dlq-attempts"), "4");
    EXPECT_EQ(text(made, "x-dlq-first-failure-ms"), "<absent>");
    EXPECT_EQ(text(made, "x-dlq-last-failure-ms"), "1700000000000");
}

TEST_F(DeadLetterEnvelope, SaysTheFailureTimesAndTheStageItIsGiven) {
    error = error.with_attempts(4);
    context.failure = {.stage = FailedStage::send, .first_failure = failed_at - 9s, .last_failure = failed_at - 1s};

    const auto made = letter();

    EXPECT_EQ(text(made, "x-dlq-first-failure-ms"), "1699999991000");
    EXPECT_EQ(text(made, "x-dlq-last-failure-ms"), "1699999999000");
    EXPECT_EQ(text(made, "__connect.errors.stage"), "KAFKA_PRODUCE");
}

TEST(FailedStage, HasKafkaConnectsWords) {
    EXPECT_EQ(to_string(FailedStage::consume), "KAFKA_CONSUME");
    EXPECT_EQ(to_string(FailedStage::decode), "VALUE_CONVERTER");
    EXPECT_EQ(to_string(FailedStage::process), "TRANSFORMATION");
    EXPECT_EQ(to_string(FailedStage::store), "TASK_PUT");
    EXPECT_EQ(to_string(FailedStage::send), "KAFKA_PRODUCE");
}

TEST_F(DeadLetterEnvelope, WritesANullMessageForAnExceptionWithoutOne) {
    error = Error{Errc::operation_failed}.with_cause(std::make_exception_ptr(42));

    EXPECT_EQ(text(letter(), "__connect.errors.exception.class.name"), "int");
    EXPECT_EQ(text(letter(), "__connect.errors.exception.message"), "<null>");
}

TEST_F(DeadLetterEnvelope, FindsTheLastHeaderOfAName) {
    const auto made = letter();

    EXPECT_EQ(made.header("trace"), &made.headers()[2]);
    EXPECT_EQ(made.header("no such header"), nullptr);
}

TEST_F(DeadLetterEnvelope, CountsItsBytes) {
    std::size_t bytes = 5 + 7;
    const auto made = letter();
    for (const auto& [name, value] : made.headers()) bytes += name.size() + value.value_or("").size();

    EXPECT_EQ(made.size_bytes(), bytes);
}

TEST_F(DeadLetterEnvelope, StaysWholeWhenItIsMoved) {
    auto made = letter();
    const auto before = names(made);

    const auto moved = std::move(made);

    EXPECT_EQ(names(moved), before);
    EXPECT_EQ(text(moved, "__connect.errors.offset"), "41");
    EXPECT_EQ(moved.id(), "orders/3/41/billing/sum");
}

TEST_F(DeadLetterEnvelope, CutsTextsThatAreTooLong) {
    error = Error{Errc::operation_failed, std::string(100'000, 'x')}.with_inner(
        Error{Errc::broker_unreachable, std::string(100'000, 'y')});
    std::string frames;
    for (int i = 0; i < 2000; ++i) frames += "module+0x1234\n";
    context.stack_trace = frames;
    const std::string long_group(5000, 'g');
    context.group = long_group;

    const auto made = letter();

    EXPECT_EQ(text(made, "__connect.errors.exception.message").size(), dead_letter_limits::message);
    EXPECT_TRUE(text(made, "__connect.errors.exception.message").ends_with("..."));
    EXPECT_LE(text(made, "x-dlq-chain").size(), dead_letter_limits::chain);
    EXPECT_LE(text(made, "__connect.errors.exception.stacktrace").size(), dead_letter_limits::stack_trace);
    EXPECT_TRUE(text(made, "__connect.errors.exception.stacktrace").ends_with("module+0x1234"));
    EXPECT_EQ(made.id().size(), dead_letter_limits::id);
    EXPECT_TRUE(text(made, "x-dlq-truncated").starts_with("stacktrace=28000,")) << text(made, "x-dlq-truncated");
    EXPECT_NE(text(made, "x-dlq-truncated").find(",message=200"), std::string::npos);
}

TEST_F(DeadLetterEnvelope, CutsAStackTraceWithoutLinesInTheMiddle) {
    const std::string one_line(dead_letter_limits::stack_trace + 1, 'f');
    context.stack_trace = one_line;

    EXPECT_EQ(text(letter(), "__connect.errors.exception.stacktrace"),
              one_line.substr(0, dead_letter_limits::stack_trace));
}

TEST_F(DeadLetterEnvelope, TakesAnEarlierIdOverUnlessItIsTooLongToBeOne) {
    const std::string longest(dead_letter_limits::id, 'i');
    const std::string too_long(dead_letter_limits::id + 1, 'i');

    const std::array<HeaderView, 1> kept{HeaderView{"x-dlq-id", longest}};
    record.headers = std::span<const HeaderView>{kept};
    EXPECT_EQ(letter().id(), longest);

    const std::array<HeaderView, 1> replaced{HeaderView{"x-dlq-id", too_long}};
    record.headers = std::span<const HeaderView>{replaced};
    EXPECT_EQ(letter().id(), "orders/3/41/billing/sum");
}

} // namespace
} // namespace velostream
