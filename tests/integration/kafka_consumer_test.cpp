// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <map>
#include <set>
#include <stdexcept>

#include "kafka_topic_fixture.hpp"

namespace velostream::kafka {
namespace {

class ConsumerTest : public TopicTest {
  protected:
    ConsumerConfig config(const std::string& group = "g") const {
        auto settings = TopicTest::config(group);
        settings.report_ends = true;
        return settings;
    }

  public:
    // Reads until `count` records were seen; done with all of them.
    asio::awaitable<std::vector<std::string>> read(Consumer& consumer, std::size_t count) {
        std::vector<std::string> values;
        while (values.size() < count) {
            auto batch = co_await consumer.next_batch();
            if (!batch) {
                ADD_FAILURE() << batch.error();
                break;
            }
            for (const auto& record : *batch) {
                values.emplace_back(*record.value());
                consumer.done(record);
            }
        }
        co_return values;
    }
};

TEST_F(ConsumerTest, ReadsEveryByteNullsEmptyOnesAndDuplicateHeadersIncluded) {
    const std::string binary{"\0\xff\n\x80", 4};
    std::vector<Record> records{{"t", std::nullopt, std::nullopt}, {"t", "", ""}, {"t", binary, binary}};
    records[0].headers = {{"a", "1"}, {"b", std::nullopt}, {"a", ""}, {"a", "1"}};
    for (auto& record : records) {
        record.partition = 1;
        record.timestamp = WallTime{1234567890123ms};
    }
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
        for (const auto& record : records) EXPECT_TRUE(co_await producer.send(record));
        Consumer consumer{io.get_executor(), config()};
        std::size_t seen = 0;
        while (seen < records.size()) {
            auto batch = co_await consumer.next_batch();
            for (const auto& record : *batch) {
                EXPECT_EQ(record.to_record(), records[seen]);
                EXPECT_EQ(record.size_bytes(), records[seen].size_bytes());
                EXPECT_EQ(record.offset(), static_cast<std::int64_t>(seen));
                EXPECT_EQ(record.topic(), "t");
                EXPECT_EQ(record.timestamp_type(), TimestampType::create_time);
                EXPECT_EQ(record_view(record).headers.size(), records[seen].headers.size());
                ++seen;
            }
        }
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, ReadsAllPartitionsEachInItsOrder) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10'000);
        Consumer consumer{io.get_executor(), config()};
        std::map<std::int32_t, std::int64_t> next;
        std::size_t seen = 0;
        while (seen < 10'000) {
            auto batch = co_await consumer.next_batch(300);
            EXPECT_LE(batch->size(), 300U);
            for (const auto& record : *batch) {
                EXPECT_EQ(record.offset(), next[record.partition()]++);
                ++seen;
            }
        }
        EXPECT_EQ(consumer.get_stats().records, 10'000U);
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, ARestartGoesOnAfterTheLastRecordOfWhichAllBeforeAreDone) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10, 0);
        {
            Consumer consumer{io.get_executor(), in_changing_group(config())};
            RecordBatch all;
            while (all.size() < 10) {
                auto batch = co_await consumer.next_batch();
                for (auto& record : *batch) all.push_back(std::move(record));
            }
            for (const int done : {9, 0, 2, 1, 5}) consumer.done(all[static_cast<std::size_t>(done)]);
            const auto positions = consumer.assignment();
            const auto position = std::ranges::find(positions, 0, &PartitionPosition::partition);
            EXPECT_EQ(position->stored, 3);
            EXPECT_EQ(position->next, 10);
            EXPECT_EQ(position->open, 7U);
            co_await consumer.close();
        }
        Consumer again{io.get_executor(), in_changing_group(config())};
        const auto values = co_await read(again, 7);
        EXPECT_EQ(values.front(), "3");
        EXPECT_EQ(values.size(), 7U);
        co_await again.close();
    });
}

// A strand of a context that is gone may not even be destroyed: AddressSanitizer sees who keeps one.
TEST_F(ConsumerTest, KeepsNoStrandOfAContextThatIsGone) {
    auto context = std::make_optional<asio::io_context>(1);
    std::optional<Consumer> consumer;
    consumer.emplace(asio::make_strand(*context), config());
    context->run_for(20ms);

    context.reset();
    consumer.reset();

    EXPECT_FALSE(consumer);
}

TEST_F(ConsumerTest, DestructionCommitsWhatIsDoneToo) {
    run(io, [&]() -> asio::awaitable<void> {
        auto settings = config();
        settings.session_timeout = 30s; // whoever comes waits until the other has left, however long that takes
        co_await write(10, 0);
        {
            Consumer consumer{io.get_executor(), settings};
            co_await read(consumer, 10);
        }
        co_await write(1, 0);
        Consumer again{io.get_executor(), settings};
        const auto values = co_await read(again, 1);
        EXPECT_EQ(values, std::vector<std::string>{"10"});
        co_await again.close();
    });
}

TEST_F(ConsumerTest, WhatIsDoneIsCommittedWhileItRuns) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10, 0);
        Consumer consumer{io.get_executor(), in_changing_group(config("observed"))};
        co_await read(consumer, 10);
        co_await pause_for(500ms);
        EXPECT_EQ(consumer.get_stats().failed_commits, 0U) << consumer.get_stats().last_problem;
        // A second member takes all partitions over when the first is gone without a word.
        Consumer other{io.get_executor(), in_changing_group(config("observed"))};
        asio::co_spawn(
            io, [](Consumer& from) -> asio::awaitable<void> { co_await from.next_batch(); }(other), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return !other.assignment().empty(); }));
        EXPECT_TRUE(co_await eventually([&] { return consumer.assignment().size() < partitions; }));
        co_await consumer.close();
        EXPECT_TRUE(
            co_await eventually([&] { return other.end_reached() && other.assignment().size() == partitions; }));
        EXPECT_EQ(other.get_stats().records, 0U);
        co_await other.close();
    });
}

TEST_F(ConsumerTest, ACompletionAfterTheRevocationHasNoEffect) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(100);
        Consumer first{io.get_executor(), in_changing_group(config())};
        RecordBatch held;
        while (held.size() < 100) {
            auto batch = co_await first.next_batch();
            for (auto& record : *batch) held.push_back(std::move(record));
        }
        Consumer second{io.get_executor(), in_changing_group(config())};
        EXPECT_TRUE(
            co_await eventually([&] { return first.assignment().size() == 2 && second.assignment().size() == 2; }));

        for (const auto& record : held) first.done(record);

        // All were revoked on the way: none of them counts, and the new owners read them again.
        EXPECT_EQ(first.get_stats().done, 0U);
        EXPECT_EQ(first.get_stats().done_too_late, 100U);
        const auto again_first = co_await read(first, 50);
        const auto again_second = co_await read(second, 50);
        std::set<std::string> all{again_first.begin(), again_first.end()};
        all.insert(again_second.begin(), again_second.end());
        EXPECT_EQ(all.size(), 100U);
        held.clear();
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ConsumerTest, KnowsWhenEveryPartitionWasReadToItsEnd) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        Consumer consumer{io.get_executor(), config()};
        EXPECT_FALSE(consumer.end_reached());
        co_await read(consumer, 40);
        consumer.pause();
        consumer.resume();
        asio::co_spawn(
            io, [](Consumer& from) -> asio::awaitable<void> { co_await from.next_batch(); }(consumer), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));
        for (const auto& position : consumer.assignment()) EXPECT_EQ(position.next, 40 / partitions);
        consumer.stop();
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, ThePositionIsKnownWhereTheEndWasMetAndNothingRead) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        {
            Consumer before{io.get_executor(), in_changing_group(config())};
            co_await read(before, 40);
            co_await before.close();
        }
        Consumer consumer{io.get_executor(), in_changing_group(config())};
        asio::co_spawn(
            io, [](Consumer& from) -> asio::awaitable<void> { co_await from.next_batch(); }(consumer), asio::detached);

        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));

        for (const auto& position : consumer.assignment()) EXPECT_EQ(position.next, 40 / partitions);
        EXPECT_EQ(consumer.get_stats().records, 0U);
        consumer.stop();
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, ARecordBehindTheEndMeansThatTheEndIsNotReached) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), config()};
        std::optional<Result<RecordBatch>> first;
        asio::co_spawn(io, consumer.next_batch(1),
                       [&](const std::exception_ptr&, Result<RecordBatch> batch) { first = std::move(batch); });
        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));

        co_await write(2, 0);
        EXPECT_TRUE(co_await eventually([&] { return first.has_value(); }));
        EXPECT_FALSE(consumer.end_reached()); // the second record has not been looked at, nor what lies behind it

        co_await read(consumer, 1);
        asio::co_spawn(io, consumer.next_batch(), asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, WhilePausedNoRecordComesAndTheMembershipGoesOn) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return !consumer.assignment().empty(); }));
        consumer.pause();
        EXPECT_TRUE(consumer.is_paused());
        std::vector<std::string> seen;
        asio::co_spawn(
            io,
            [](ConsumerTest& test, Consumer& from, std::vector<std::string>& into) -> asio::awaitable<void> {
                into = co_await test.read(from, 5);
            }(*this, consumer, seen),
            asio::detached);
        co_await write(5);
        co_await pause_for(300ms);
        EXPECT_EQ(consumer.get_stats().records, 0U);
        EXPECT_EQ(consumer.assignment().size(), 4U);
        EXPECT_EQ(consumer.get_stats().failed_commits, 0U) << "commits of nothing"; // one each 100 ms

        consumer.resume();

        EXPECT_TRUE(co_await eventually([&] { return seen.size() == 5; }));
        co_await consumer.close();
    });
}

// On its own the consumer looks around once a second; here everything is at hand, so the executor's turns are counted.
class AtHandTest : public ConsumerTest {
  protected:
    // Two are written as one batch, so that the second is at hand when the first is.
    asio::awaitable<void> write_two() {
        auto records = numbered_records("t", 0, 2, 1);
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 100ms}};
        for (const auto& record : records) producer.async_send(record, [](const Result<Delivery>&) {});
        co_await producer.async_flush(asio::use_awaitable);
    }
    void start_reading_one(Consumer& consumer) {
        asio::co_spawn(io, consumer.next_batch(1),
                       [this](const std::exception_ptr&, const Result<RecordBatch>& batch) { ended += batch ? 1 : 0; });
    }
    static asio::awaitable<void> ten_turns() {
        for (int turn = 0; turn < 10; ++turn) co_await asio::post(asio::use_awaitable);
    }
    ConsumerConfig slow() const {
        auto settings = config();
        settings.commit_interval = 10s;
        return settings;
    }

    int ended = 0;
};

TEST_F(AtHandTest, WhatOneWaitLeavesGoesToTheNextAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), slow()};
        start_reading_one(consumer);
        start_reading_one(consumer);
        co_await write_two();

        EXPECT_TRUE(co_await eventually([&] { return ended > 0; }));
        co_await ten_turns();

        EXPECT_EQ(ended, 2);
        co_await consumer.close();
    });
}

TEST_F(AtHandTest, ARecordThatAPauseHeldBackComesAtOnceAfterIt) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write_two();
        Consumer consumer{io.get_executor(), slow()};
        co_await consumer.next_batch(1);
        consumer.pause();
        start_reading_one(consumer);
        co_await ten_turns();
        EXPECT_EQ(ended, 0);

        consumer.resume();
        co_await ten_turns();

        EXPECT_EQ(ended, 1);
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, ACancelledWaitLosesNoRecord) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), config()};
        asio::cancellation_signal signal;
        std::optional<Result<RecordBatch>> ended;
        asio::co_spawn(
            io, consumer.next_batch(),
            asio::bind_cancellation_slot(
                signal.slot(), [&](const std::exception_ptr&, Result<RecordBatch> r) { ended = std::move(r); }));
        co_await pause_for(20ms);
        signal.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::cancelled);

        co_await write(5);
        const auto values = co_await read(consumer, 5);
        EXPECT_EQ(values.size(), 5U);
        co_await consumer.close();
    });
}

TEST_F(ConsumerTest, AfterStopNobodyGetsARecord) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(5);
        Consumer consumer{io.get_executor(), config()};
        consumer.stop();
        const auto batch = co_await consumer.next_batch();
        EXPECT_EQ(batch.error(), Errc::consumer_closed);
        co_await consumer.close();
        co_await consumer.close();
    });
}

// It comes where a record would have come, and nothing comes after it: before somebody waits, or meanwhile.
TEST_F(ConsumerTest, AnErrorThatDoesNotPassByItselfEndsAWaitForRecordsAtOnce) {
    cluster.create_topic("one", 1).value();
    auto settings = config();
    settings.topics = {"one"};
    settings.offset_reset = OffsetReset::fail; // and the group has committed nothing
    settings.commit_interval = 10s;            // on its own the consumer looks around once a second
    run(io, [&]() -> asio::awaitable<void> {
        for (const bool comes_before : {false, true}) {
            settings.group_id = comes_before ? "before" : "meanwhile";
            Consumer consumer{io.get_executor(), settings};
            if (comes_before) {
                EXPECT_TRUE(co_await eventually([&] { return !consumer.assignment().empty(); }));
                co_await pause_for(500ms);
            }
            std::optional<Result<RecordBatch>> ended;
            asio::co_spawn(io, consumer.next_batch(),
                           [&](const std::exception_ptr&, Result<RecordBatch> batch) { ended = std::move(batch); });
            EXPECT_TRUE(co_await eventually([&] { return !consumer.get_stats().last_problem.empty(); }));

            for (int turn = 0; turn < 10; ++turn)
                co_await asio::post(asio::use_awaitable); // no clock but the executor's turns

            EXPECT_TRUE(ended);
            if (ended) {
                EXPECT_EQ(ended->error(), KafkaErrc{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET}) << ended->error();
            }
            co_await consumer.close();
            EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        }
    });
}

// It commits on the way, which takes the brokers a while.
TEST_F(ConsumerTest, ACloseMayWaitForever) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10, 0);
        auto settings = config();
        settings.commit_interval = 10s;
        Consumer consumer{io.get_executor(), settings};
        co_await read(consumer, 10);
        cluster.set_round_trip_time(300ms);
        const auto begin = now();

        co_await consumer.close(Duration::max());

        EXPECT_GE(now() - begin, 300ms);
    });
}

// The member that was there keeps what nobody takes from it, and where it was.
TEST_F(ConsumerTest, AGroupMayRebalanceCooperatively) {
    auto settings = in_changing_group(config());
    settings.properties["partition.assignment.strategy"] = "cooperative-sticky";
    settings.properties["heartbeat.interval.ms"] = "20";
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        Consumer first{io.get_executor(), settings};
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == partitions; }));
        if (first.assignment().empty()) co_return;
        co_await read(first, 40);

        Consumer second{io.get_executor(), settings};
        EXPECT_TRUE(
            co_await eventually([&] { return first.assignment().size() == 2 && second.assignment().size() == 2; }));

        for (const auto& position : first.assignment()) EXPECT_EQ(position.next, 10);
        co_await write(40);
        co_await read(second, 20);
        co_await read(first, 20);
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ConsumerTest, RecordsMayOutliveTheirConsumer) {
    std::optional<RecordBatch> kept;
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(5, 0);
        Consumer consumer{io.get_executor(), config()};
        auto batch = co_await consumer.next_batch();
        kept = std::move(*batch);
        co_await consumer.close();
    });

    EXPECT_EQ(kept->front().value(), "0");
    EXPECT_EQ(kept->front().topic(), "t");
}

TEST_F(ConsumerTest, AContextMayBeDestroyedWhileSomebodyWaits) {
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context dying{1};
        auto waiting = [](asio::io_context& context, ConsumerConfig settings,
                          std::shared_ptr<int> token) -> asio::awaitable<void> {
            Consumer consumer{context.get_executor(), settings};
            co_await consumer.next_batch();
            (void)token;
        };
        asio::co_spawn(dying, waiting(dying, config(), alive), asio::detached);
        dying.run_for(50ms);
        EXPECT_GT(alive.use_count(), 1);
    }

    EXPECT_EQ(alive.use_count(), 1);
}

} // namespace
} // namespace velostream::kafka
