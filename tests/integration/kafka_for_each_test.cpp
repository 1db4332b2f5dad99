// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <stdexcept>

#include "kafka_topic_fixture.hpp"
#include "velostream/async/wait_queue.hpp"

namespace velostream::kafka {
namespace {

class ForEachTest : public TopicTest {
  protected:
    // The values that a later member of the same group still gets.
    asio::awaitable<std::vector<std::string>> left_over() {
        auto settings = config();
        settings.report_ends = true;
        Consumer consumer{io.get_executor(), settings};
        std::vector<std::string> values;
        auto handler = [&values](const ConsumedRecord& record) -> asio::awaitable<void> {
            values.emplace_back(*record.value());
            co_return;
        };
        bool is_over = false;
        asio::co_spawn(
            io,
            [](Consumer& from, decltype(handler) each, bool& over) -> asio::awaitable<void> {
                const ForEachOptions options;
                co_await from.for_each(options, each);
                over = true;
            }(consumer, handler, is_over),
            asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return consumer.end_reached(); }));
        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        co_await consumer.close();
        co_return values;
    }
};

TEST_F(ForEachTest, EveryRecordIsHandledOnceInTheOrderOfItsPartition) {
    constexpr int count = 20'000;
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer consumer{io.get_executor(), in_changing_group(config())};
        std::map<std::int32_t, std::int64_t> next;
        int handled = 0;
        auto handler = [&](const ConsumedRecord& record) -> asio::awaitable<void> {
            EXPECT_EQ(record.offset(), next[record.partition()]++);
            if (++handled == count) consumer.stop();
            if (record.offset() % 3 == 0) co_await pause_for(1ms);
        };
        const ForEachOptions options{.max_in_flight = 64};

        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_TRUE(result) << result.error();
        EXPECT_EQ(handled, count);
        EXPECT_EQ(consumer.get_stats().done, static_cast<std::uint64_t>(count));
        co_await consumer.close();
        const auto left = co_await left_over();
        EXPECT_EQ(left.size(), 0U);
    });
}

TEST_F(ForEachTest, NoMoreHandlersAreInProgressThanAllowed) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(200);
        Consumer consumer{io.get_executor(), config()};
        int in_progress = 0, most = 0, handled = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            most = std::max(most, ++in_progress);
            co_await pause_for(2ms);
            --in_progress;
            if (++handled == 200) consumer.stop();
        };
        const ForEachOptions options{.max_in_flight = 7};
        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_TRUE(result);
        EXPECT_EQ(most, 7);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, TheBytesInProgressAreChargedAndBounded) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(200);
        Consumer consumer{io.get_executor(), config()};
        const MemoryAccount memory{"in flight", 400};
        int handled = 0;
        Bytes most = 0;
        auto handler = [&](const ConsumedRecord& record) -> asio::awaitable<void> {
            EXPECT_GE(memory.used(), record.size_bytes());
            most = std::max(most, memory.used());
            co_await pause_for(1ms);
            if (++handled == 200) consumer.stop();
        };
        const ForEachOptions options{.max_in_flight = 100, .memory = memory};
        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_TRUE(result);
        EXPECT_LE(most, 400U);
        EXPECT_GT(most, 300U);
        EXPECT_EQ(memory.used(), 0U);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, WaitsForMemoryThatSomebodyElseHolds) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10);
        Consumer consumer{io.get_executor(), config()};
        const MemoryAccount memory{"shared", 400};
        auto taken = memory.try_reserve(390);
        int handled = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            if (++handled == 10) consumer.stop();
            co_return;
        };
        bool is_over = false;
        asio::co_spawn(
            io,
            [](Consumer& from, decltype(handler)& each, const MemoryAccount& account,
               bool& over) -> asio::awaitable<void> {
                const ForEachOptions options{.memory = account};
                co_await from.for_each(options, each);
                over = true;
            }(consumer, handler, memory, is_over),
            asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 0; }));
        EXPECT_EQ(handled, 0);
        for (const auto& position : consumer.assignment())
            EXPECT_EQ(position.next.value_or(0), 0) << "a record that waits for memory was not given out";

        taken->release();

        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        EXPECT_EQ(handled, 10);
        co_await consumer.close();
    });
}

// What wakes a loop otherwise, a record that arrives or the consumer's own turn once a second, is too rare.
TEST_F(ForEachTest, ALoopThatFoundNoMemoryKeepsAskingForIt) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10);
        auto settings = config();
        settings.commit_interval = 10s;
        Consumer consumer{io.get_executor(), settings};
        const MemoryAccount memory{"shared", 400};
        auto taken = memory.try_reserve(390);
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            if (consumer.get_stats().records == 10) consumer.stop();
            co_return;
        };
        const ForEachOptions options{.memory = memory};
        std::optional<Result<void>> ended;
        asio::co_spawn(io, consumer.for_each(options, handler),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 0; }));

        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 20; }, 5s));
        taken->release();

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended);
        co_await consumer.close();
    });
}

// In one batch, so that they are all at hand when the large one is.
TEST_F(ForEachTest, TheMemoryOfALargeRecordStartsAsManySmallOnesAsItHasRoomFor) {
    constexpr int small_ones = 5;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 100ms}};
        std::vector<Record> records;
        records.emplace_back("t", std::nullopt, std::string(2000, 'x'));
        for (int i = 0; i < small_ones; ++i) records.emplace_back("t", std::nullopt, "x");
        for (auto& record : records) {
            record.partition = 0;
            producer.async_send(record, [](const Result<Delivery>& sent) { EXPECT_TRUE(sent); });
        }
        co_await producer.async_flush(asio::use_awaitable);
        Consumer consumer{io.get_executor(), config()};
        const MemoryAccount memory{"in flight", records.front().size_bytes()};
        WaitQueue gate;
        int in_progress = 0, handled = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            ++in_progress;
            co_await gate.async_wait(asio::use_awaitable);
            --in_progress;
            if (++handled == 1 + small_ones) consumer.stop();
        };
        const ForEachOptions options{.memory = memory};
        std::optional<Result<void>> ended;
        asio::co_spawn(io, consumer.for_each(options, handler),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 0; }));
        EXPECT_EQ(in_progress, 1);

        gate.wake_one();
        co_await asio::post(asio::use_awaitable); // behind the handler that was woken

        EXPECT_EQ(in_progress, small_ones);
        gate.wake_all();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, WhatAHandlerHoldsBesideItsRecordIsChargedWithIt) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        Consumer consumer{io.get_executor(), config()};
        const MemoryAccount memory{"in flight", 2500};
        int in_progress = 0, most = 0, handled = 0;
        auto handler = [&](const ConsumedRecord& record) -> asio::awaitable<void> {
            most = std::max(most, ++in_progress);
            EXPECT_GE(memory.used(), static_cast<Bytes>(in_progress) * (1000 + record.size_bytes()));
            co_await pause_for(1ms);
            --in_progress;
            if (++handled == 8) consumer.stop();
        };
        const ForEachOptions options{.memory = memory, .handler_bytes = 1000};
        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_TRUE(result);
        EXPECT_EQ(most, 2);
        EXPECT_EQ(memory.used(), 0U);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, ARecordLargerThanALimitEndsTheLoopAndIsNamedWithIt) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        const MemoryAccount process{"process", 100};
        for (const auto& memory : {MemoryAccount{"tiny", 100}, process, process.child("query"),
                                   process.child("query", 1'000).child("loop", 500)}) {
            Consumer consumer{io.get_executor(), config(std::string{memory.name()})};
            int handled = 0;
            auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
                ++handled;
                co_return;
            };
            const ForEachOptions options{.memory = memory, .handler_bytes = 100};
            std::optional<Result<void>> ended;
            asio::co_spawn(io, consumer.for_each(options, handler),
                           [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });

            EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }, 10s)) << memory.name();
            if (!ended) {
                consumer.stop();
                EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
            }
            EXPECT_EQ(handled, 0);
            EXPECT_FALSE(*ended);
            if (!*ended) {
                EXPECT_EQ(ended->error(), Errc::memory_limit_exceeded);
                EXPECT_THAT(
                    std::string{ended->error().detail()},
                    ::testing::AllOf(::testing::HasSubstr("record t[0]@0 needs "),
                                     ::testing::HasSubstr(" bytes, 100 of them for its handler"),
                                     ::testing::HasSubstr("of 100"), ::testing::HasSubstr("can never succeed")));
            }
            co_await consumer.close();
        }
    });
}

TEST_F(ForEachTest, ARecordAsLargeAsTheLimitWaitsUntilAllOfItIsFree) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        const MemoryAccount memory{"in flight", Record{"t", std::nullopt, "0"}.size_bytes()};
        auto taken = memory.try_reserve(1);
        int handled = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            ++handled;
            consumer.stop();
            co_return;
        };
        const ForEachOptions options{.memory = memory};
        std::optional<Result<void>> ended;
        asio::co_spawn(io, consumer.for_each(options, handler),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return memory.refusals() > 0; }));

        taken->release();

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(ended && *ended);
        EXPECT_EQ(handled, 1);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, TheFirstErrorEndsTheLoopAndItsRecordIsNotDone) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(400);
        {
            Consumer consumer{io.get_executor(), in_changing_group(config())};
            auto handler = [&](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
                if (record.value() == "200") co_return Error{Errc::operation_failed, "this one"};
                co_await pause_for(1ms);
                co_return Result<void>{};
            };
            const ForEachOptions options{.max_in_flight = 16};
            const auto result = co_await consumer.for_each(options, handler);
            EXPECT_EQ(result.error(), Errc::operation_failed);
            EXPECT_EQ(result.error().detail(), "this one");
            const auto positions = consumer.assignment();
            const auto position = std::ranges::find(positions, 200 % partitions, &PartitionPosition::partition);
            EXPECT_EQ(position->stored, 200 / partitions); // it, and no later one
            co_await consumer.close();
        }
        const auto left = co_await left_over();
        EXPECT_THAT(left, ::testing::Contains("200"));
    });
}

TEST_F(ForEachTest, AnExceptionOfAHandlerIsAnErrorOfTheLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(4);
        Consumer consumer{io.get_executor(), config()};
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            throw std::runtime_error{"thrown"};
            co_return;
        };
        const ForEachOptions options;
        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_EQ(result.error().detail(), "thrown");
        EXPECT_EQ(consumer.get_stats().done, 0U);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, StopLetsTheHandlersInProgressEnd) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(100);
        Consumer consumer{io.get_executor(), in_changing_group(config())};
        int started = 0, ended = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            if (++started == 10) consumer.stop();
            co_await pause_for(20ms);
            ++ended;
        };
        const ForEachOptions options{.max_in_flight = 10};
        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_TRUE(result);
        EXPECT_EQ(started, 10);
        EXPECT_EQ(ended, 10);
        EXPECT_EQ(consumer.get_stats().done, 10U);
        co_await consumer.close();
        const auto left = co_await left_over();
        EXPECT_EQ(left.size(), 90U);
    });
}

TEST_F(ForEachTest, CancellationIsPassedOnAndItsRecordsAreNotDone) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        Consumer consumer{io.get_executor(), config()};
        int started = 0, unwound = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            struct Unwound {
                int& count;
                ~Unwound() { ++count; }
            };
            ++started;
            const Unwound guard{unwound};
            co_await pause_for(1h);
        };
        asio::cancellation_signal signal;
        std::optional<Result<void>> ended;
        const ForEachOptions options{.max_in_flight = 4};
        asio::co_spawn(io, consumer.for_each(options, handler),
                       asio::bind_cancellation_slot(
                           signal.slot(), [&](const std::exception_ptr&, Result<void> r) { ended = std::move(r); }));
        EXPECT_TRUE(co_await eventually([&] { return started == 4; }));

        signal.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::cancelled);
        EXPECT_EQ(unwound, 4);
        EXPECT_EQ(consumer.get_stats().done, 0U);
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, CloseWithRecordsInProgressDoesNotCommitThem) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        Consumer consumer{io.get_executor(), in_changing_group(config())};
        WaitQueue gate;
        bool is_over = false;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            co_await gate.async_wait(asio::use_awaitable);
        };
        asio::co_spawn(
            io,
            [](Consumer& from, decltype(handler)& each, bool& over) -> asio::awaitable<void> {
                const ForEachOptions options{.max_in_flight = 8};
                const auto result = co_await from.for_each(options, each);
                EXPECT_TRUE(result);
                over = true;
            }(consumer, handler, is_over),
            asio::detached);
        EXPECT_TRUE(co_await eventually([&] { return gate.size() == 8; }));

        co_await consumer.close();
        gate.wake_all();

        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        EXPECT_EQ(consumer.get_stats().done, 0U);
        EXPECT_EQ(consumer.get_stats().done_too_late, 8U);
        const auto left = co_await left_over();
        EXPECT_EQ(left.size(), 8U);
    });
}

TEST_F(ForEachTest, AConsumerHasOneLoopAtATime) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), config()};
        auto handler = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        const ForEachOptions options;
        auto first = consumer.for_each(options, handler);
        EXPECT_THROW(static_cast<void>(consumer.for_each(options, handler)), std::invalid_argument);
        const ForEachOptions none{.max_in_flight = 0};
        EXPECT_THROW(static_cast<void>(consumer.for_each(none, handler)), std::invalid_argument);
        consumer.stop();
        EXPECT_TRUE(co_await std::move(first));
        co_await consumer.close();
    });
}

TEST_F(ForEachTest, ALoopOfAConsumerThatWasStoppedEndsAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), config()};
        consumer.stop();
        auto handler = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        const ForEachOptions options;
        std::optional<Result<void>> ended;
        asio::co_spawn(io, consumer.for_each(options, handler),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }, 5s));

        EXPECT_TRUE(ended && *ended);
        co_await consumer.close();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
    });
}

TEST_F(ForEachTest, AContextMayBeDestroyedWithALoopInProgress) {
    run(io, [&] { return write(8); });
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context dying{1};
        auto looping = [](asio::io_context& context, ConsumerConfig settings,
                          std::shared_ptr<int> token) -> asio::awaitable<void> {
            Consumer consumer{context.get_executor(), settings};
            auto handler = [token](const ConsumedRecord& record) -> asio::awaitable<void> {
                if (record.value() == "0") co_await pause_for(1h);
            };
            const ForEachOptions options{.max_in_flight = 4};
            co_await consumer.for_each(options, handler);
        };
        asio::co_spawn(dying, looping(dying, config(), alive), asio::detached);
        dying.run_for(500ms);
        EXPECT_GT(alive.use_count(), 1);
    }

    EXPECT_EQ(alive.use_count(), 1);
}

} // namespace
} // namespace velostream::kafka
