// SPDX-License-Identifier: Apache-2.0
// What may handle the records of a loop.
#include <functional>
#include <set>

#include "kafka_topic_fixture.hpp"
#include "velostream/kafka/exactly_once.hpp"
#include "velostream/record_processor.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"

namespace velostream::kafka {
namespace {

template <class Returned>
inline constexpr bool may_return = RecordHandler<std::function<Returned(const ConsumedRecord&)>> &&
                                   TransactionalHandler<std::function<Returned(const ConsumedRecord&, Transaction&)>>;

static_assert(may_return<asio::awaitable<void>>);
static_assert(may_return<asio::awaitable<Result<void>>>);
static_assert(may_return<asio::awaitable<Result<ProcessedRecord>>>);
static_assert(!may_return<Result<void>>, "not a coroutine");
static_assert(!may_return<asio::awaitable<bool>>, "nobody knows which is the failure");

using RecordHandlersTest = TopicTest;

TEST_F(RecordHandlersTest, ARecordProcessorMayHandleTheRecordsOfALoop) {
    constexpr int count = 200;
    const velostream::testing::InMemoryDeadLetters sink;
    DeadLetterQueue dead_letters{{}, sink};
    RecordProcessor processor{dead_letters, {.mode = Reprocess::parked, .max_retries = 1, .retry_delay = 1ms}};
    std::multiset<std::string> stored;
    auto store = [&](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
        if (record.value() == "7") co_return Error{Errc::operation_failed, "seven"};
        stored.emplace(*record.value());
        co_return Result<void>{};
    };
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer consumer{io.get_executor(), config()};
        auto handler = [&](const ConsumedRecord& record) {
            return processor.process(record, [&] { return store(record); });
        };
        bool is_over = false;
        asio::co_spawn(io, consumer.for_each({}, handler), [&](const std::exception_ptr& thrown, Result<void> result) {
            EXPECT_FALSE(thrown);
            EXPECT_TRUE(result) << result.error();
            is_over = true;
        });
        EXPECT_TRUE(co_await eventually([&] { return consumer.get_stats().done == count; }));
        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        co_await consumer.close();
    });

    EXPECT_EQ(stored.size(), static_cast<std::size_t>(count - 1));
    ASSERT_EQ(sink.letters().size(), 1u);
    EXPECT_EQ(sink.letters()[0].value, "7");
}

TEST_F(RecordHandlersTest, TheErrorOfAResultWithAValueEndsTheLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        auto handler = [](const ConsumedRecord&) -> asio::awaitable<Result<int>> {
            co_return Error{Errc::operation_failed, "bad record"};
        };
        const ForEachOptions options;

        const auto result = co_await consumer.for_each(options, handler);

        EXPECT_EQ(result.error(), Errc::operation_failed);
        EXPECT_EQ(result.error().detail(), "bad record");
        EXPECT_EQ(consumer.get_stats().done, 0U);
        co_await consumer.close();
    });
}

} // namespace
} // namespace velostream::kafka
