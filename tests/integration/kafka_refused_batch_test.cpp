// SPDX-License-Identifier: Apache-2.0
// Batches that the brokers refuse because of one of their records.
#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

class RefusedBatchTest : public ProducerTest {
  protected:
    static constexpr KafkaErrc invalid_record{RD_KAFKA_RESP_ERR_INVALID_RECORD};

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
