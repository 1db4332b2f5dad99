// SPDX-License-Identifier: Apache-2.0
// What the fields of a ConsumerConfig change about what is read.
#include <boost/asio/detached.hpp>

#include "kafka_topic_fixture.hpp"

namespace velostream::kafka {
namespace {

class ConsumerConfigTest : public TopicTest {
  protected:
    // Keeps what the first call of `next_batch` ends with.
    void start_reading(Consumer& consumer) {
        asio::co_spawn(io, consumer.next_batch(),
                       [this](const std::exception_ptr&, Result<RecordBatch> result) { batch = std::move(result); });
    }

    // Lets records go, as fast as they come, until the consumer is stopped.
    void read_on(Consumer& consumer) {
        auto reading = [](Consumer& from) -> asio::awaitable<void> {
            for (bool is_open = true; is_open;) {
                const auto read = co_await from.next_batch();
                is_open = read.has_value();
            }
        };
        asio::co_spawn(io, reading(consumer), asio::detached);
    }

    std::optional<Result<RecordBatch>> batch;
};

TEST_F(ConsumerConfigTest, LatestReadsOnlyWhatIsWrittenAfterwards) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(partitions);
        auto settings = config();
        settings.offset_reset = OffsetReset::latest;
        settings.report_ends = true;
        Consumer consumer{io.get_executor(), settings};
        start_reading(consumer);
        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));

        co_await write(1);

        EXPECT_TRUE(co_await eventually([&] { return batch.has_value(); }));
        EXPECT_EQ(batch->value().front().value(), std::to_string(partitions));
        EXPECT_EQ(consumer.get_stats().records, 1U);
        batch.reset();
        co_await consumer.close();
    });
}

TEST_F(ConsumerConfigTest, FailEndsTheReadingOfAGroupThatHasCommittedNothing) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(partitions);
        auto settings = config();
        settings.offset_reset = OffsetReset::fail;
        Consumer consumer{io.get_executor(), settings};

        const auto read = co_await consumer.next_batch();

        EXPECT_EQ(read.error().code(), make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET}));
        EXPECT_EQ(consumer.get_stats().records, 0U);
        co_await consumer.close();
    });
}

// With the brokers down only what was fetched ahead can be read.
TEST_F(ConsumerConfigTest, NoMoreIsFetchedAheadThanTheQueueTakes) {
    run(io, [&]() -> asio::awaitable<void> {
        constexpr std::uint64_t count = 100;
        std::vector<Record> records(count, Record{"t", std::nullopt, std::string(10'000, 'x')});
        for (auto& record : records) record.partition = 0;
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 0ms}};
        for (const auto& record : records) co_await producer.send(record); // one by one: a batch each
        auto settings = config();
        settings.fetch_queue_bytes = 64 * 1024;
        settings.properties = {{"fetch.message.max.bytes", "10000"}};
        Consumer consumer{io.get_executor(), settings};
        EXPECT_TRUE(co_await eventually([&] { return consumer.assignment().size() == partitions; }));
        co_await pause_for(300ms); // it fetches ahead
        cluster.all_brokers_down();
        co_await pause_for(50ms);

        read_on(consumer);
        EXPECT_TRUE(co_await eventually([&] { return consumer.get_stats().records > 0; }));
        co_await pause_for(100ms);
        EXPECT_LE(consumer.get_stats().records, 10U);

        cluster.all_brokers_up();
        EXPECT_TRUE(co_await eventually([&] { return consumer.get_stats().records == count; }));
        consumer.stop();
        co_await consumer.close();
        co_await producer.close();
    });
}

TEST_F(ConsumerConfigTest, EveryGivingAndTakingOfPartitionsIsCounted) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer first{io.get_executor(), in_changing_group(config())};
        EXPECT_EQ(first.get_stats().rebalances, 0U);
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == partitions; }));
        EXPECT_EQ(first.get_stats().rebalances, 1U);

        Consumer second{io.get_executor(), in_changing_group(config())};

        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == partitions / 2; }));
        EXPECT_GE(first.get_stats().rebalances, 3U); // given, taken, given
        co_await first.close();
        co_await second.close();
    });
}

} // namespace
} // namespace velostream::kafka
