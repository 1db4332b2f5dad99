// SPDX-License-Identifier: Apache-2.0
// Batches that the brokers refuse because of one of their records.
#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

class RefusedBatchTest : public ProducerTest {
  protected:
    static constexpr KafkaErrc invalid_record{RD_KAFKA_RESP_ERR_INVALID_RECORD};
    static constexpr KafkaErrc invalid_message{RD_KAFKA_RESP_ERR_INVALID_MSG};

    ProducerConfig config() const {
        auto config = ProducerTest::config();
        config.linger = 200ms; // so that what is sent together is one batch
        return config;
    }
};

TEST_F(RefusedBatchTest, ItsRecordsAreSentAgainOneByOne) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_record});
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const auto records = numbered("t", 5);
        Outcomes outcomes;
        outcomes.send(producer, records);

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));

        expect_written_in_order(outcomes);
        EXPECT_EQ(producer.get_stats().sent_alone, 5U);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, OneThatIsRefusedByItselfTooFailsAndBlamesTheRecord) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_record, invalid_record});
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", std::nullopt, "value"};

        const auto sent = co_await producer.send(record);

        EXPECT_EQ(sent.error(), invalid_record) << sent.error();
        EXPECT_TRUE(sent.error().blames_record());
        EXPECT_EQ(producer.get_stats().sent_alone, 1U);
        const auto next = co_await producer.send(record);
        EXPECT_TRUE(next) << next.error();
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, OneThatWasDamagedOnItsWayIsSentAgain) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_message});
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const auto records = numbered("t", 5);
        Outcomes outcomes;
        outcomes.send(producer, records);

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));

        expect_written_in_order(outcomes);
        EXPECT_EQ(producer.get_stats().sent_again, 5U);
        EXPECT_EQ(producer.get_stats().sent_alone, 0U);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, OneThatIsDamagedTwiceFailsAndBlamesItsRecords) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_message, invalid_message});
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", std::nullopt, "value"};

        const auto sent = co_await producer.send(record);

        EXPECT_EQ(sent.error(), invalid_message) << sent.error();
        EXPECT_TRUE(sent.error().blames_record());
        EXPECT_EQ(producer.get_stats().sent_again, 1U) << "once, and not more";
        const auto next = co_await producer.send(record);
        EXPECT_TRUE(next) << next.error();
        EXPECT_EQ(producer.get_stats().sent_again, 1U);
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, ADamageUsesUpNoTryOfARecordByItselfNorTheOtherWayRound) {
    cluster.create_topic("t", 1).value();
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", std::nullopt, "value"};

        cluster.fail_next_produce_requests({invalid_message, invalid_record});
        const auto damaged_first = co_await producer.send(record);
        cluster.fail_next_produce_requests({invalid_record, invalid_message});
        const auto damaged_alone = co_await producer.send(record);

        EXPECT_TRUE(damaged_first) << damaged_first.error();
        EXPECT_TRUE(damaged_alone) << damaged_alone.error();
        EXPECT_EQ(producer.get_stats().sent_again, 2U);
        EXPECT_EQ(producer.get_stats().sent_alone, 2U);
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, ASecondTryThatFindsTheClientFullWaitsForItsTurn) {
    cluster.create_topic("t", 1).value();
    run(io, [&]() -> asio::awaitable<void> {
        auto narrow = config();
        narrow.linger = 0ms;
        narrow.properties = {{"queue.buffering.max.messages", "1"}};
        Producer producer{io.get_executor(), narrow};
        for (const auto refusal : {invalid_message, invalid_record}) {
            cluster.fail_next_produce_requests({refusal});
            const auto records = numbered("t", 3);
            Outcomes outcomes;
            outcomes.send(producer, records);

            EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));

            EXPECT_EQ(outcomes.failures(), 0U);
        }
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        co_await producer.close(5s);
    });
}

TEST_F(RefusedBatchTest, ACallThatIsCancelledMeanwhileEndsAtOnce) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_record, KafkaErrc{RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION}});
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", std::nullopt, "value"};
        asio::cancellation_signal signal;
        std::optional<Result<Delivery>> sent;
        producer.async_send(record, asio::bind_cancellation_slot(
                                        signal.slot(), [&](Result<Delivery> result) { sent = std::move(result); }));
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().sent_alone == 1; }));

        signal.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));
        EXPECT_TRUE(*sent || sent->error() == Errc::cancelled);
        const auto next = co_await producer.send(record);
        EXPECT_TRUE(next) << next.error();
        co_await producer.close(5s);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
    });
}

TEST_F(RefusedBatchTest, AProducerMayEndWhileARecordIsOnItsWayAlone) {
    cluster.create_topic("t", 1).value();
    cluster.fail_next_produce_requests({invalid_record});
    run(io, [&]() -> asio::awaitable<void> {
        std::optional<Result<Delivery>> sent;
        {
            Producer producer{io.get_executor(), config()};
            const Record record{"t", std::nullopt, "value"};
            producer.async_send(record, [&](Result<Delivery> result) { sent = std::move(result); });
            EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().sent_alone == 1; }));
        }
        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));
    });
}

} // namespace
} // namespace velostream::kafka
