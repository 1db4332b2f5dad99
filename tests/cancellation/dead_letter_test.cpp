// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <vector>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::InMemoryDeadLetters;
using testing::ManualTime;
using Receipt = Result<DeadLetterReceipt>;
using Queue = DeadLetterQueue<InMemoryDeadLetters, ManualTime>;

// co_spawn lets a coroutine hear of terminal cancellation only, unless it asks for more.
asio::awaitable<Receipt> with_every_kind_of_cancellation(Queue& queue, const RecordView& record) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    const Error error = Errc::operation_failed;
    co_return co_await queue.send_to_dlq(record, error);
}

class CancelledDeadLetter : public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    void start() {
        asio::co_spawn(io, with_every_kind_of_cancellation(queue, record),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr thrown, Receipt receipt) {
                           failed = thrown;
                           result = std::move(receipt);
                       }));
        io.poll();
    }
    void expect_cancelled_and_nothing_left() {
        EXPECT_FALSE(failed);
        ASSERT_TRUE(result && result->has_error());
        EXPECT_EQ(result->error(), Errc::cancelled);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(account.used(), 0u);
        const auto stats = queue.get_stats();
        EXPECT_EQ(stats.in_flight, 0u);
        EXPECT_EQ(stats.cancelled, 1u);
        EXPECT_EQ(stats.sent, 0u);
        EXPECT_EQ(stats.lost, 0u);
        EXPECT_EQ(io.poll(), 0u);
        EXPECT_TRUE(io.stopped()) << "nothing waits any more";
    }

    ManualTime time;
    InMemoryDeadLetters sink;
    MemoryAccount account;
    Queue queue{{}, sink, {.account = account}, time};
    RecordView record{.topic = "orders", .partition = 0, .offset = 1, .value = "x"};
    asio::cancellation_signal cancel;
    std::exception_ptr failed;
    std::optional<Receipt> result;
    asio::io_context io; // goes first: the queue outlives its calls
};

TEST_P(CancelledDeadLetter, DuringADeliveryLeavesNothingBehind) {
    sink.hold();
    start();

    cancel.emit(GetParam());
    io.poll();

    expect_cancelled_and_nothing_left();
    EXPECT_EQ(queue.get_stats().failed_deliveries, 0u);
}

TEST_P(CancelledDeadLetter, BetweenTwoDeliveriesLeavesNothingBehind) {
    sink.fail_next(Errc::send_timeout);
    start();
    ASSERT_EQ(time.sleepers(), 1u);

    cancel.emit(GetParam());
    io.poll();

    expect_cancelled_and_nothing_left();
    EXPECT_EQ(sink.deliveries().size(), 1u);
}

// In the two tests that follow both things have happened when the coroutine runs again, cancellation first.
TEST_P(CancelledDeadLetter, WhenTheDelayHasJustPassedMakesNoFurtherDelivery) {
    sink.fail_next(Errc::send_timeout);
    start();

    cancel.emit(GetParam());
    time.advance(60s);
    io.poll();

    expect_cancelled_and_nothing_left();
    EXPECT_EQ(sink.deliveries().size(), 1u);
}

TEST_P(CancelledDeadLetter, IsStoredAllTheSameIfTheSinkWasFaster) {
    sink.hold();
    start();

    cancel.emit(GetParam());
    sink.release();
    io.poll();

    ASSERT_TRUE(result && result->has_value());
    EXPECT_EQ(queue.get_stats().sent, 1u);
}

INSTANTIATE_TEST_SUITE_P(EveryKind, CancelledDeadLetter,
                         ::testing::Values(asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                           asio::cancellation_type::total));

struct SlotSink {
    asio::awaitable<Receipt> store(const DeadLetter&, CallContext& call) {
        can_be_cancelled->push_back(call.cancellation_slot().is_connected());
        co_return DeadLetterReceipt{};
    }
    std::vector<bool>* can_be_cancelled;
};

TEST(DeadLetterQueue, TheCallOfADeliveryIsConnectedToWhoeverCancels) {
    std::vector<bool> can_be_cancelled;
    DeadLetterQueue queue{DeadLetterQueueConfig{}, SlotSink{&can_be_cancelled}};
    const RecordView record{.topic = "orders", .value = "x"};
    const Error error = Errc::operation_failed;
    const auto ignore = [](std::exception_ptr, Receipt) {};
    asio::cancellation_signal cancel;
    asio::io_context io;

    asio::co_spawn(io, queue.send_to_dlq(record, error), asio::bind_cancellation_slot(cancel.slot(), ignore));
    asio::co_spawn(io, queue.send_to_dlq(record, error), ignore);
    io.run();

    EXPECT_EQ(can_be_cancelled, (std::vector<bool>{true, false}));
}

TEST(DeadLetterQueue, AContextThatEndsTakesItsDeadLettersWithIt) {
    ManualTime time;
    InMemoryDeadLetters sink;
    const MemoryAccount account;
    Queue queue{{}, sink, {.account = account}, time};
    const RecordView record{.topic = "orders", .value = "x"};
    sink.fail_next(Errc::send_timeout);
    {
        asio::io_context io;
        const Error error = Errc::operation_failed;
        asio::co_spawn(io, queue.send_to_dlq(record, error), [](std::exception_ptr, Receipt) {});
        io.poll();
        ASSERT_EQ(queue.get_stats().in_flight, 1u);
        ASSERT_GT(account.used(), 0u);
    }

    EXPECT_EQ(queue.get_stats().in_flight, 0u);
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

} // namespace
} // namespace velostream
