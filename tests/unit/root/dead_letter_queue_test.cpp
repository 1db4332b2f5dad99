// SPDX-License-Identifier: Apache-2.0
#include "velostream/dead_letter_queue.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "dead_letter_queue_fixture.hpp"

namespace velostream {
namespace {

TEST_F(DeadLetterQueueTest, StoresTheRecordWithWhatIsKnownAboutTheFailure) {
    const auto& sent = send(bad_record);

    ASSERT_TRUE(sent && sent->has_value());
    EXPECT_EQ((*sent)->offset, 0);
    EXPECT_EQ((*sent)->deliveries, 1u);
    ASSERT_EQ(sink.letters().size(), 1u);
    const auto letter = sink.letters().front();
    EXPECT_EQ(letter.topic, "bad-orders");
    EXPECT_EQ(letter.key, "17850");
    EXPECT_EQ(letter.value, "6 lamps");
    EXPECT_EQ(letter.header("__connect.errors.connector.name"), "totals");
    EXPECT_EQ(letter.header("x-dlq-group"), "billing");
    EXPECT_EQ(letter.header("x-dlq-error-type"), "bad_request");
}

TEST_F(DeadLetterQueueTest, CompletesOnlyWhenTheSinkHasAcknowledged) {
    sink.hold();
    const auto& sent = send(bad_record);
    ASSERT_FALSE(sent);
    EXPECT_EQ(queue.get_stats().in_flight, 1u);

    sink.release();
    run();

    ASSERT_TRUE(sent && sent->has_value());
    EXPECT_EQ(queue.get_stats().in_flight, 0u);
}

TEST_F(DeadLetterQueueTest, TriesTheDeliveryAgainAfterTheDelayUntilItSucceeds) {
    sink.fail_next(Errc::send_timeout, 2);
    const auto& sent = send(bad_record);
    EXPECT_EQ(sink.deliveries().size(), 1u);

    time.advance(60s - 1ns);
    run();
    EXPECT_EQ(sink.deliveries().size(), 1u) << "not before the delay has passed";
    time.advance(1ns);
    run();
    EXPECT_EQ(sink.deliveries().size(), 2u);
    time.run_for(io, 60s);

    ASSERT_TRUE(sent && sent->has_value());
    EXPECT_EQ((*sent)->deliveries, 3u);
    EXPECT_EQ(queue.get_stats().failed_deliveries, 2u);
    EXPECT_EQ(queue.get_stats().sent, 1u);
}

TEST_F(DeadLetterQueueTest, EndsWithTheLastErrorAfterOneAndMaxRetriesDeliveries) {
    sink.fail_next(Errc::broker_unreachable, 3);
    sink.fail_next(Errc::send_timeout);
    const auto& sent = send(bad_record);

    time.run_for(io, 180s);

    ASSERT_TRUE(sent && sent->has_error());
    const auto error = sent->error();
    EXPECT_EQ(error, Errc::dead_letter_lost);
    EXPECT_EQ(error.attempts(), 4u);
    ASSERT_TRUE(error.inner());
    EXPECT_EQ(*error.inner(), Errc::send_timeout);
    EXPECT_EQ(sink.deliveries().size(), 4u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(DeadLetterQueueTest, WithoutRetriesTheFirstFailedDeliveryIsTheLast) {
    Queue strict{{.max_retries = 0}, sink, {}, time};
    sink.fail_next(Errc::send_timeout);

    const auto& sent = send(strict, bad_record);

    ASSERT_TRUE(sent && sent->has_error());
    EXPECT_EQ(sent->error(), Errc::dead_letter_lost);
}

TEST_F(DeadLetterQueueTest, EveryDeliveryHasItsNumberAndItsOwnDeadline) {
    sink.fail_next(Errc::send_timeout);
    const auto start = time.now();
    send(bad_record);

    time.run_for(io, 60s);

    const auto deliveries = sink.deliveries();
    ASSERT_EQ(deliveries.size(), 2u);
    EXPECT_EQ(deliveries[0].attempt, 1u);
    EXPECT_EQ(deliveries[0].deadline, start + 5s);
    EXPECT_EQ(deliveries[1].attempt, 2u);
    EXPECT_EQ(deliveries[1].deadline, start + 60s + 5s);
    EXPECT_EQ(deliveries[0].id, deliveries[1].id);
}

TEST_F(DeadLetterQueueTest, RefusesWhatIsNotTheRecordsFault) {
    const auto& sent = send(Error{Errc::circuit_open});

    ASSERT_TRUE(sent && sent->has_error());
    const auto error = sent->error();
    EXPECT_EQ(error, Errc::record_not_to_blame);
    EXPECT_FALSE(error.blames_record());
    ASSERT_TRUE(error.inner());
    EXPECT_EQ(*error.inner(), Errc::circuit_open);
    EXPECT_TRUE(sink.deliveries().empty());
    EXPECT_EQ(queue.get_stats().refused, 1u);
}

TEST_F(DeadLetterQueueTest, ThePolicyDecidesWhatIsTaken) {
    Queue faults{{.accept = DeadLetterPolicy::record_faults_only}, sink, {}, time};
    Queue everything{{.accept = DeadLetterPolicy::everything}, sink, {}, time};

    EXPECT_TRUE(send(queue, Errc::send_timeout)->has_value());
    EXPECT_TRUE(send(faults, Errc::send_timeout)->has_error());
    EXPECT_TRUE(send(everything, Errc::circuit_open)->has_value());
}

TEST_F(DeadLetterQueueTest, RefusesARecordThatCameFromTheDeadLetterTopic) {
    record.topic = "bad-orders";

    const auto& sent = send(bad_record);

    ASSERT_TRUE(sent && sent->has_error());
    EXPECT_EQ(sent->error(), Errc::invalid_configuration);
    EXPECT_TRUE(sink.deliveries().empty());
    EXPECT_EQ(queue.get_stats().lost, 1u);
}

TEST_F(DeadLetterQueueTest, ADeadLetterIsChargedAsLongAsItIsOnItsWay) {
    const MemoryAccount account{"dead letters"};
    Queue charged{config, sink, {.account = account}, time};
    record.value = std::string_view{large};
    sink.hold();

    send(charged, bad_record);
    EXPECT_GE(account.used(), large.size());
    sink.release();
    run();

    EXPECT_EQ(account.used(), 0u);
}

TEST_F(DeadLetterQueueTest, RefusesWhatTheAccountHasNoRoomFor) {
    const MemoryAccount account{"dead letters", large.size()};
    Queue charged{config, sink, {.account = account}, time};
    record.value = std::string_view{large}; // the headers are too much

    const auto& sent = send(charged, bad_record);

    ASSERT_TRUE(sent && sent->has_error());
    EXPECT_EQ(sent->error(), Errc::memory_limit_exceeded);
    EXPECT_FALSE(sent->error().blames_record());
    EXPECT_TRUE(sink.deliveries().empty());
    EXPECT_EQ(charged.get_stats().refused, 1u);
    EXPECT_EQ(charged.get_stats().in_flight, 0u);
}

TEST_F(DeadLetterQueueTest, TellsTheObserverWhatWasStoredAndWhatWasDelayed) {
    sink.fail_next(Errc::send_timeout);
    send(bad_record);

    time.run_for(io, 60s);

    EXPECT_EQ(observer->events, (std::vector<std::string>{"delayed in bad-orders after 1: send timed out",
                                                          "stored in bad-orders: Invalid argument: Quantity"}));
}

TEST_F(DeadLetterQueueTest, CountsEveryRecordInExactlyOnePlace) {
    send(bad_record);
    send(Errc::group_refused);
    send(Errc::circuit_open);
    sink.fail_next(Errc::send_timeout, 4);
    send(Errc::operation_failed);
    time.run_for(io, 180s);
    sink.hold();
    send(bad_record);

    const auto stats = queue.get_stats();

    EXPECT_EQ(stats.sent, 2u);
    EXPECT_EQ(stats.sent_by_type(ErrorType::bad_request), 1u);
    EXPECT_EQ(stats.sent_by_type(ErrorType::resource_exhausted), 1u);
    EXPECT_EQ(stats.sent_by_type(ErrorType::unknown), 0u);
    EXPECT_EQ(stats.refused, 1u);
    EXPECT_EQ(stats.lost, 1u);
    EXPECT_EQ(stats.failed_deliveries, 4u);
    EXPECT_EQ(stats.in_flight, 1u);
    EXPECT_EQ(stats.cancelled, 0u);
}

struct OwnedRecord {
    explicit OwnedRecord(std::string bytes) : value(std::move(bytes)) {}
    std::string value;
};

RecordView record_view(const OwnedRecord& record) {
    return {.topic = "orders", .value = record.value};
}

TEST_F(DeadLetterQueueTest, ARecordGivenAsAnRvalueIsMovedIn) {
    static_assert(ViewableRecord<OwnedRecord>);
    sink.hold();
    std::optional<Receipt> sent;
    {
        OwnedRecord mine{std::string(1000, 'x')};
        asio::co_spawn(io, queue.send_to_dlq(std::move(mine), bad_record),
                       [&](std::exception_ptr, Receipt receipt) { sent = std::move(receipt); });
    }
    run();

    sink.release();
    run();

    ASSERT_TRUE(sent && sent->has_value());
    EXPECT_EQ(sink.letters().front().value, std::string(1000, 'x'));
}

struct AskingSink {
    asio::awaitable<Receipt> store(const DeadLetter&, CallContext& call) {
        *may_be_repeated = call.is_idempotent();
        co_return DeadLetterReceipt{};
    }
    bool* may_be_repeated;
};

TEST_F(DeadLetterQueueTest, ADeliveryMayBeRepeatedByItsSink) {
    bool may_be_repeated = false;
    DeadLetterQueue asking{DeadLetterQueueConfig{}, AskingSink{&may_be_repeated}, {}, time};
    asio::co_spawn(io, asking.send_to_dlq(record, bad_record), [](std::exception_ptr, Receipt) {});

    run();

    EXPECT_TRUE(may_be_repeated);
}

struct ThrowingSink {
    asio::awaitable<Receipt> store(const DeadLetter&, CallContext&) {
        throw std::runtime_error("disk on fire");
        co_return DeadLetterReceipt{};
    }
};

TEST_F(DeadLetterQueueTest, ASinkThatThrowsHasFailed) {
    DeadLetterQueue throwing{DeadLetterQueueConfig{.max_retries = 0}, ThrowingSink{}, {}, time};
    std::optional<Receipt> sent;
    asio::co_spawn(io, throwing.send_to_dlq(record, bad_record),
                   [&](std::exception_ptr, Receipt receipt) { sent = std::move(receipt); });

    run();

    ASSERT_TRUE(sent && sent->has_error());
    const auto error = sent->error();
    EXPECT_EQ(error, Errc::dead_letter_lost);
    ASSERT_TRUE(error.inner());
    EXPECT_EQ(error.inner()->detail(), "disk on fire");
}

TEST(DeadLetterQueue, AnInvalidConfigIsRefusedWithEveryProblem) {
    try {
        DeadLetterQueue queue{DeadLetterQueueConfig{.topic = "no topic", .retry_delay = 0s}, InMemoryDeadLetters{}};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text = problem.what();
        EXPECT_NE(text.find("topic"), std::string::npos);
        EXPECT_NE(text.find("retry_delay"), std::string::npos);
    }
}

TEST(DeadLetterQueue, DeducesSinkAndTime) {
    const DeadLetterQueueConfig config;
    DeadLetterQueue queue{config, InMemoryDeadLetters{}};
    static_assert(std::same_as<decltype(queue), DeadLetterQueue<InMemoryDeadLetters, SteadyTime>>);
    EXPECT_EQ(queue.config().topic, "failed-records");
}

TEST_F(DeadLetterQueueTest, TimesThatMeanNeverDoNotWrapAround) {
    config.retry_delay = config.delivery_timeout = Duration::max();
    auto& patient = never_in_time.emplace(config, sink, DeadLetterQueueOptions{}, time);
    sink.fail_next(Errc::broker_unreachable);

    const auto& receipt = send(patient, bad_record);
    time.advance(24h * 365);
    run();

    EXPECT_FALSE(receipt) << "waits for ever";
    EXPECT_EQ(patient.get_stats().in_flight, 1u);
    ASSERT_EQ(sink.deliveries().size(), 1u);
    EXPECT_EQ(sink.deliveries().front().deadline, TimePoint::max());
}

TEST_F(DeadLetterQueueTest, ACallerThatIsNotThrownOutOfItsAwaitsMakesNoFurtherDeliveryEither) {
    std::optional<Receipt> result;
    asio::cancellation_signal cancel;
    const auto patient = [&]() -> asio::awaitable<void> {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto sending = queue.send_to_dlq(record, bad_record);
        result = co_await std::move(sending);
    };
    sink.fail_next(Errc::send_timeout);
    asio::co_spawn(io, patient(), asio::bind_cancellation_slot(cancel.slot(), asio::detached));
    run();

    cancel.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(result);
    EXPECT_EQ(result->error(), Errc::cancelled);
    EXPECT_EQ(sink.deliveries().size(), 1u);
}

} // namespace
} // namespace velostream
