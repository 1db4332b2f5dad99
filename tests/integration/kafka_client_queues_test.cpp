// SPDX-License-Identifier: Apache-2.0
// What the client library holds is shown, apart from what is charged to accounts.
#include "kafka_topic_fixture.hpp"
#include "velostream/kafka/consumer_pool.hpp"
#include "velostream/kafka/producer_pool.hpp"

namespace velostream::kafka {
namespace {

using ClientQueuesTest = TopicTest;

// The client counts some notes of its own among them.
constexpr std::size_t notes = 50;

TEST_F(ClientQueuesTest, RecordsThatAreFetchedAndGivenToNobodyAreCountedWithTheirBytes) {
    run(io, [&]() -> asio::awaitable<void> {
        const MemoryAccount budget{"process", 1024 * mebibyte};
        Consumer consumer{io.get_executor(), config(), budget};
        co_await write(1000, 0);
        EXPECT_TRUE(co_await eventually([&] { return consumer.get_stats().queued >= 1000; }));
        EXPECT_EQ(consumer.get_stats().queued_bytes, 0U) << "nobody knows how large they are";

        auto read = co_await consumer.next_batch(10);

        EXPECT_EQ(read->size(), 10U);
        const auto left = consumer.get_stats();
        EXPECT_GE(left.queued, 990U);
        EXPECT_LE(left.queued, 990U + notes);
        EXPECT_EQ(left.queued_bytes, left.queued) << "by the ten that were read, of a byte each";
        EXPECT_EQ(budget.used(), 0U) << "no account holds them";
        while (consumer.get_stats().records < 1000) read = co_await consumer.next_batch(990);
        EXPECT_LE(consumer.get_stats().queued, notes);
        co_await consumer.close();
        EXPECT_EQ(consumer.get_stats().queue_limit, 0U) << "there is no queue any more";
    });
}

TEST_F(ClientQueuesTest, TheMembersOfAPoolShowThemTogether) {
    run(io, [&]() -> asio::awaitable<void> {
        ConsumerPool consumers{io.get_executor(), {.consumer_pool_size = 2}, in_changing_group(config())};
        EXPECT_TRUE(co_await eventually(
            [&] { return consumers[0].assignment().size() == 2 && consumers[1].assignment().size() == 2; }, 40s));
        co_await write(40);

        EXPECT_TRUE(co_await eventually([&] { return consumers.get_stats().queued >= 40; }));

        EXPECT_GT(consumers[0].get_stats().queued, 0U);
        EXPECT_GT(consumers[1].get_stats().queued, 0U);
        co_await consumers.close();
    });
}

TEST_F(ClientQueuesTest, MessagesThatAProducersClientHoldsAreCountedBesideWhatIsChargedForThem) {
    run(io, [&]() -> asio::awaitable<void> {
        const MemoryAccount account{"process", 1024 * mebibyte};
        ProducerPool producers{io.get_executor(),
                               {.producer_pool_size = 2},
                               {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 500ms},
                               account};
        const Record record{"t", std::nullopt, std::string(100, 'v')};
        std::size_t ended = 0;
        for (int sends = 0; sends < 10; ++sends) producers.async_send(record, [&ended](const auto&) { ++ended; });

        const auto held = producers.get_stats();
        EXPECT_TRUE(co_await eventually([&] { return ended == 10; }));
        const auto after = producers.get_stats();

        EXPECT_GE(held.queued, 10U);
        EXPECT_EQ(held.in_flight_bytes, 10 * record.size_bytes());
        EXPECT_GE(held.charged, held.in_flight_bytes);
        EXPECT_EQ(after.queued, 0U);
        EXPECT_EQ(after.charged, 0U);
        EXPECT_EQ(account.used(), 0U);
        co_await producers.close();
    });
}

} // namespace
} // namespace velostream::kafka
