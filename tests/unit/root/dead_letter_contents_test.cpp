// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dead_letter_queue_fixture.hpp"

namespace velostream {
namespace {

TEST_F(DeadLetterQueueTest, StampsTheTimeOfDeadLettering) {
    const auto before = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());

    send(bad_record);

    const auto after = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    EXPECT_GE(sink.letters().front().timestamp, before);
    EXPECT_LE(sink.letters().front().timestamp, after);
}

TEST_F(DeadLetterQueueTest, RecordsWithoutAnOffsetHaveIdsOfTheirOwn) {
    Queue other{config, sink, {}, time};
    record.offset = -1;
    send(queue, bad_record);
    send(queue, bad_record);
    send(other, bad_record);

    const auto letters = sink.letters();
    EXPECT_NE(letters[0].id, letters[1].id);
    EXPECT_NE(letters[0].id, letters[2].id);
    EXPECT_NE(letters[1].id, letters[2].id);
}

TEST_F(DeadLetterQueueTest, DuplicatesOfOneRecordHaveTheSameId) {
    send(bad_record);
    send(bad_record);

    const auto letters = sink.letters();
    EXPECT_EQ(letters[0].id, letters[1].id);
}

[[gnu::noinline]] asio::awaitable<Receipt> send_from_here(Queue& queue, const RecordView& record, const Error& error) {
    auto sending = queue.send_to_dlq(record, error);
    asm volatile(""); // no tail call
    return sending;
}
[[gnu::noinline]] asio::awaitable<Receipt> send_from_there(Queue& queue, const RecordView& record, const Error& error) {
    auto sending = queue.send_to_dlq(record, error);
    asm volatile("nop");
    return sending;
}

TEST_F(DeadLetterQueueTest, TheStackTraceIsThatOfTheCaller) {
    for (auto* const place : {send_from_here, send_from_there, send_from_here})
        asio::co_spawn(io, place(queue, record, bad_record), [](std::exception_ptr, Receipt) {});
    run();

    std::vector<std::optional<std::string>> traces;
    for (const auto& letter : sink.letters()) traces.push_back(letter.header("__connect.errors.exception.stacktrace"));
    ASSERT_EQ(traces.size(), 3u);
    ASSERT_TRUE(traces[0]);
    EXPECT_EQ(traces[0], traces[2]);
    EXPECT_NE(traces[0], traces[1]);
}

TEST_F(DeadLetterQueueTest, TheStackTraceCanBeLeftOut) {
    Queue without{{.include_stack_trace = false}, sink, {}, time};

    send(without, bad_record);

    EXPECT_FALSE(sink.letters().front().header("__connect.errors.exception.stacktrace").has_value());
}

TEST_F(DeadLetterQueueTest, SaysWhatTheCallerKnowsAboutTheFailure) {
    std::optional<Receipt> sent;
    const FailureDetails failure{.stage = FailedStage::decode, .first_failure = WallTime{5ms}};
    asio::co_spawn(io, queue.send_to_dlq(record, bad_record, failure),
                   [&](std::exception_ptr, Receipt receipt) { sent = std::move(receipt); });
    run();

    const auto letter = sink.letters().front();
    EXPECT_EQ(letter.header("__connect.errors.stage"), "VALUE_CONVERTER");
    EXPECT_EQ(letter.header("x-dlq-first-failure-ms"), "5");
}

TEST_F(DeadLetterQueueTest, TheFirstRecordOfAPartitionHasAnOffset) {
    record.offset = 0;
    send(bad_record);
    send(bad_record);

    const auto letters = sink.letters();
    EXPECT_EQ(letters[0].id, letters[1].id);
}

TEST_F(DeadLetterQueueTest, QueuesThatAreAlikeGiveDifferentIdsToo) {
    Queue one{config, sink, {}, time}, twin{config, sink, {}, time};
    record.offset = -1;
    send(one, bad_record);
    send(twin, bad_record);

    const auto letters = sink.letters();
    EXPECT_NE(letters[0].id, letters[1].id);
}

TEST_F(DeadLetterQueueTest, SaysWhoDeadLettered) {
    Queue named{
        config, sink, {.application = "totals", .instance = "2", .group = "billing", .handler = "Parser"}, time};

    send(named, bad_record);

    const auto letter = sink.letters().front();
    EXPECT_EQ(letter.header("__connect.errors.connector.name"), "totals");
    EXPECT_EQ(letter.header("__connect.errors.task.id"), "2");
    EXPECT_EQ(letter.header("__connect.errors.class.name"), "Parser");
    EXPECT_EQ(letter.header("x-dlq-group"), "billing");
}

} // namespace
} // namespace velostream
