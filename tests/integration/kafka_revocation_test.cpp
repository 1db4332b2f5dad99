// SPDX-License-Identifier: Apache-2.0
// What happens to records when their partitions go to another member of the group.
#include <map>

#include "kafka_group_fixture.hpp"
#include "kafka_topic_fixture.hpp"

namespace velostream::kafka {
namespace {

class RevocationTest : public GroupTest<TopicTest> {
  protected:
    // What is done is stored once a second, and when partitions go. Members are quick to meet.
    ConsumerConfig config() const {
        auto settings = in_changing_group(TopicTest::config());
        settings.commit_interval = 10s;
        settings.report_ends = true;
        settings.properties["heartbeat.interval.ms"] = "20";
        return settings;
    }

    // Handles what `consumer` gets, until it is stopped.
    void start(Consumer& consumer, MemoryAccount memory = MemoryAccount::unlimited()) {
        auto handler = [this](const ConsumedRecord& record) -> asio::awaitable<void> {
            ++handled[std::string{*record.value()}];
            co_return;
        };
        start_loop(consumer, {.memory = std::move(memory)}, handler);
    }

    static constexpr int count = 40;
    std::map<std::string, int> handled;
};

// The mock cluster refuses every commit while a group is between two generations, which a broker takes. That there was
// one to refuse shows that it was made; where it is taken, nothing is handed out again.
TEST_F(RevocationTest, WhatIsDoneBeforeItIsCommittedOnTheWay) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer first{io.get_executor(), config()};
        RecordBatch held;
        while (held.size() < count) {
            auto batch = co_await first.next_batch();
            for (auto& record : *batch) held.push_back(std::move(record));
        }
        Consumer second{io.get_executor(), config()};
        for (const auto& record : held) first.done(record);
        EXPECT_TRUE(co_await eventually([&] { return share_the_partitions(first, second); }));
        EXPECT_EQ(first.get_stats().done, static_cast<std::uint64_t>(count));
        const bool was_refused = first.get_stats().failed_commits > 0;

        start(first);
        start(second);
        EXPECT_TRUE(co_await eventually([&] { return first.end_reached() && second.end_reached(); }));

        EXPECT_TRUE(was_refused || handled.empty());
        co_await end(first, second);
    });
}

// With no memory for its first record, the first member has one at the front and has handled none.
TEST_F(RevocationTest, WhatWasReadBeforeItIsForgotten) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        const MemoryAccount memory{"shared", 1000};
        auto taken = memory.try_reserve(1000);
        Consumer first{io.get_executor(), config()};
        start(first, memory);
        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 0; }));
        Consumer second{io.get_executor(), config()};
        start(second);
        EXPECT_TRUE(co_await eventually([&] { return share_the_partitions(first, second); }));

        taken->release();
        EXPECT_TRUE(co_await eventually([&] { return first.end_reached() && second.end_reached(); }));

        EXPECT_EQ(first.get_stats().done_too_late, 0U);
        EXPECT_EQ(handled.size(), static_cast<std::size_t>(count));
        const bool was_refused = second.get_stats().failed_commits > 0; // it had all partitions at first
        for (const auto& [value, times] : handled) EXPECT_TRUE(times == 1 || was_refused) << value;
        co_await end(first, second);
    });
}

// The record that is held keeps the old assignment of its partition alive.
TEST_F(RevocationTest, APartitionThatComesBackIsAnotherThanTheOneThatRecordsOfBeforeBelongTo) {
    cluster.create_topic("other", 1).value();
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1, 0);
        auto settings = config();
        settings.report_ends = false; // the record is the last thing that is heard of any partition
        Consumer first{io.get_executor(), settings};
        const auto held = co_await first.next_batch();
        auto of_other = settings;
        of_other.topics = {"other"};
        Consumer second{io.get_executor(), of_other};
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().rebalances >= 3; })); // given, taken, given

        const auto again = co_await first.next_batch();
        first.done(held->front());
        EXPECT_EQ(first.get_stats().done, 0U);
        first.done(again->front());

        EXPECT_EQ(first.get_stats().done, 1U);
        EXPECT_EQ(first.get_stats().done_too_late, 1U);
        co_await first.close();
        co_await second.close();
    });
}

// Nobody asks for a record between the revocation and the new assignment, which may hold the same partitions.
TEST_F(RevocationTest, WhatCameWithABatchBeforeItIsForgotten) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer first{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == partitions; }));
        co_await pause_for(200ms); // the client reads ahead
        co_await first.next_batch(1);
        Consumer second{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return share_the_partitions(first, second); }));

        start(first);
        start(second);
        EXPECT_TRUE(co_await eventually([&] { return first.end_reached() && second.end_reached(); }));

        EXPECT_EQ(handled.size(), static_cast<std::size_t>(count));
        for (const auto& [value, times] : handled) EXPECT_EQ(times, 1) << value;
        co_await end(first, second);
    });
}

} // namespace
} // namespace velostream::kafka
