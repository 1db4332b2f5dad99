// SPDX-License-Identifier: Apache-2.0
// What the mock cluster cannot show: it refuses every commit while a group is between two generations.
#include <set>

#include "broker_test.hpp"
#include "integration/kafka_group_fixture.hpp"

namespace velostream::kafka {
namespace {

class FourPartitions : public BrokerTest {
  protected:
    static constexpr int partitions = 4;
};

class RevocationOnBrokerTest : public GroupTest<FourPartitions> {
  protected:
    // Nothing is committed at an interval while a test runs.
    ConsumerConfig config() const {
        return {.bootstrap_servers = address,
                .group_id = unique("group"),
                .topics = {unique("topic")},
                .session_timeout = 6s,
                .commit_interval = 10min,
                .fetch_wait = 5ms,
                .report_ends = true,
                .properties = {{"heartbeat.interval.ms", "100"}}};
    }

    asio::awaitable<void> write() {
        co_await create_topic(unique("topic"), partitions);
        const auto records = numbered_records(unique("topic"), 0, count, partitions);
        co_await write_all(io.get_executor(), address, records);
    }

    static asio::awaitable<RecordBatch> read_all(Consumer& consumer) {
        RecordBatch all;
        while (all.size() < count) {
            auto batch = co_await consumer.next_batch();
            EXPECT_TRUE(batch) << batch.error();
            if (!batch) break;
            for (auto& record : *batch) all.push_back(std::move(record));
        }
        co_return all;
    }

    // Handles what `consumer` gets, until it is stopped.
    void start(Consumer& consumer) {
        auto handler = [this](const ConsumedRecord& record) -> asio::awaitable<void> {
            handled.emplace(*record.value());
            co_return;
        };
        start_loop(consumer, {}, handler);
    }

    static constexpr int count = 40;
    std::multiset<std::string> handled;
};

TEST_F(RevocationOnBrokerTest, WhatIsDoneBeforeItIsCommittedOnTheWayAndNotHandedOutAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write();
        Consumer first{io.get_executor(), config()};
        const auto held = co_await read_all(first);
        for (const auto& record : held) first.done(record);
        Consumer second{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return share_the_partitions(first, second); }));

        start(first);
        start(second);
        EXPECT_TRUE(co_await eventually([&] { return first.end_reached() && second.end_reached(); }));

        EXPECT_TRUE(handled.empty()) << handled.size() << " records were handed out again";
        EXPECT_EQ(first.get_stats().failed_commits, 0U);
        co_await end(first, second);
    });
}

TEST_F(RevocationOnBrokerTest, WhatIsNotDoneBeforeItIsHandedOutAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write();
        Consumer first{io.get_executor(), config()};
        const auto held = co_await read_all(first);
        std::multiset<std::string> open;
        for (const auto& record : held) {
            if (record.offset() < 7)
                first.done(record);
            else
                open.emplace(*record.value());
        }
        Consumer second{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return share_the_partitions(first, second); }));

        start(first);
        start(second);
        EXPECT_TRUE(co_await eventually([&] { return first.end_reached() && second.end_reached(); }));

        EXPECT_EQ(handled, open);
        co_await end(first, second);
    });
}

} // namespace
} // namespace velostream::kafka
