// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/in_memory_dead_letters.hpp"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

namespace velostream::testing {
namespace {

class InMemoryDeadLettersTest : public ::testing::Test {
  protected:
    DeadLetter letter_of(std::int64_t offset) {
        record.offset = offset;
        return make_dead_letter(record, error, config, context);
    }
    std::optional<Result<DeadLetterReceipt>> store(const DeadLetter& letter) {
        std::optional<Result<DeadLetterReceipt>> stored;
        asio::co_spawn(io, sink.store(letter, call), [&](std::exception_ptr, auto result) { stored = result; });
        io.restart();
        io.poll();
        return stored;
    }

    asio::io_context io;
    InMemoryDeadLetters sink;
    CallContext call{TimePoint{std::chrono::seconds{7}}};
    std::array<HeaderView, 2> headers{HeaderView{"a", std::nullopt}, HeaderView{"b", ""}};
    RecordView record{.topic = "orders", .partition = 3, .key = "", .headers = std::span<const HeaderView>{headers}};
    Error error = Errc::group_refused;
    DeadLetterQueueConfig config;
    DeadLetterContext context{.now = WallTime{std::chrono::milliseconds{5}}};
};

TEST_F(InMemoryDeadLettersTest, KeepsACopyOfEverything) {
    {
        const auto letter = letter_of(41);
        ASSERT_TRUE(store(letter)->has_value());
    }

    const auto kept = sink.letters().front();
    EXPECT_EQ(kept.topic, "failed-records");
    EXPECT_EQ(kept.key, "");
    EXPECT_EQ(kept.value, std::nullopt);
    EXPECT_EQ(kept.headers[0], (KeptDeadLetter::Header{"a", std::nullopt}));
    EXPECT_EQ(kept.headers[1], (KeptDeadLetter::Header{"b", ""}));
    EXPECT_EQ(kept.timestamp, WallTime{std::chrono::milliseconds{5}});
    EXPECT_EQ(kept.source_partition, 3);
    EXPECT_EQ(kept.id, "orders/3/41//");
    EXPECT_EQ(kept.header("x-dlq-id"), "orders/3/41//");
    EXPECT_EQ(kept.header("no such header"), std::nullopt);
}

TEST_F(InMemoryDeadLettersTest, FailsAsOftenAsItIsToldAndThenStores) {
    sink.fail_next(Errc::send_timeout, 2);
    const auto letter = letter_of(1);

    EXPECT_EQ(store(letter)->error(), Errc::send_timeout);
    EXPECT_EQ(store(letter)->error(), Errc::send_timeout);
    EXPECT_TRUE(store(letter)->has_value());
    EXPECT_EQ(sink.letters().size(), 1u);
}

TEST_F(InMemoryDeadLettersTest, SaysWhatWasTried) {
    sink.fail_next(Errc::send_timeout);
    call.begin_attempt(2, CallContext::no_deadline);
    const auto letter = letter_of(1);

    store(letter);

    const auto deliveries = sink.deliveries();
    ASSERT_EQ(deliveries.size(), 1u);
    EXPECT_EQ(deliveries[0].id, "orders/3/1//");
    EXPECT_EQ(deliveries[0].attempt, 2u);
    EXPECT_EQ(deliveries[0].deadline, TimePoint{std::chrono::seconds{7}});
}

TEST_F(InMemoryDeadLettersTest, HoldsDeliveriesUntilTheyAreReleased) {
    sink.hold();
    const auto letter = letter_of(1);
    std::optional<Result<DeadLetterReceipt>> stored;
    asio::co_spawn(io, sink.store(letter, call), [&](std::exception_ptr, auto result) { stored = result; });
    io.poll();
    EXPECT_FALSE(stored);
    EXPECT_TRUE(sink.letters().empty());

    sink.release();
    io.poll();

    ASSERT_TRUE(stored);
    EXPECT_EQ(sink.letters().size(), 1u);
}

TEST_F(InMemoryDeadLettersTest, AHeldDeliveryEndsWhenItIsCancelled) {
    sink.hold();
    const auto letter = letter_of(1);
    asio::cancellation_signal cancel;
    std::optional<Result<DeadLetterReceipt>> stored;
    asio::co_spawn(
        io, sink.store(letter, call),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, auto result) { stored = result; }));
    io.poll();

    cancel.emit(asio::cancellation_type::terminal);
    io.poll();

    ASSERT_TRUE(stored && stored->has_error());
    EXPECT_EQ(stored->error(), ErrorType::cancelled);
    EXPECT_TRUE(sink.letters().empty());
}

TEST_F(InMemoryDeadLettersTest, CopiesAreHandlesOfOneStore) {
    auto copy = sink;
    const auto letter = letter_of(1);

    store(letter);

    EXPECT_EQ(copy.letters().size(), 1u);
}

} // namespace
} // namespace velostream::testing
