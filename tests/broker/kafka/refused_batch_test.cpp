// SPDX-License-Identifier: Apache-2.0
#include "broker_test.hpp"
#include "integration/kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

using RefusedBatchOnBrokerTest = BrokerTest;

TEST_F(RefusedBatchOnBrokerTest, OfABatchWithOneBadRecordAllOthersAreWritten) {
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = address}};
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("compacted"), 1);
        topics.back().config = {{"cleanup.policy", "compact"}};
        const auto created = co_await admin.create_topics(topics);
        EXPECT_TRUE(created) << created.error();
        Producer producer{io.get_executor(), {.bootstrap_servers = address, .linger = 300ms}};
        auto records = numbered(unique("compacted"), 10);
        records[4].key.reset(); // which a compacted topic does not take
        Outcomes outcomes;
        outcomes.send(producer, records);

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));

        EXPECT_EQ(outcomes.failures(), 1U);
        EXPECT_EQ(outcomes.results[4].error(), KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_RECORD})
            << outcomes.results[4].error();
        EXPECT_TRUE(outcomes.results[4].error().blames_record());
        EXPECT_EQ(producer.get_stats().sent_alone, 10U) << "they were one batch";
        const auto held = co_await admin.offsets(unique("compacted"));
        EXPECT_TRUE(held && held->front().end == 9) << "all but one";
        co_await producer.close(5s);
    });
}

} // namespace
} // namespace velostream::kafka
