// SPDX-License-Identifier: Apache-2.0
// The mock cluster has no admin interface.
#include "velostream/kafka/retry_topics.hpp"
#include "broker_test.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"

namespace velostream::kafka {
namespace {

class RetryTopicsOnBrokerTest : public BrokerTest {
  protected:
    using Queue = DeadLetterQueue<testing::InMemoryDeadLetters>;

    ConsumerConfig source() const {
        return {.bootstrap_servers = address,
                .group_id = unique("group"),
                .topics = {unique("orders")},
                .commit_interval = 100ms};
    }
    static ReprocessConfig twice() { return {.mode = Reprocess::topic, .max_retries = 1, .retry_delay = 200ms}; }
    asio::awaitable<Result<Delivery>> send(std::string topic, std::string value, std::int32_t partition) {
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        Record record{std::move(topic), "key", std::move(value)};
        record.partition = partition;
        co_return co_await producer.send(record);
    }

    testing::InMemoryDeadLetters letters;
    Queue queue{{.topic = "dead", .retention_period = std::chrono::hours{5}}, letters, {.group = "g"}};
};

TEST_F(RetryTopicsOnBrokerTest, ARetryTopicIsMadeAsTheOriginalOneAndAnExistingOneIsLeftAsItIs) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("orders"), 3);
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        auto nothing = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        const RetryTopics retry{producer, source(), queue, twice(), nothing};
        const Admin admin{{.bootstrap_servers = address}};

        for (int time = 0; time < 2; ++time) {
            const auto ensured = co_await retry.ensure_topics(admin);
            EXPECT_TRUE(ensured) << ensured.error();
        }

        NewTopic expected{unique("orders") + "-retry-200", 3};
        expected.config = {{"cleanup.policy", "delete"}, {"retention.ms", "18000000"}};
        auto differences = co_await admin.differences(expected);
        for (const auto until = now() + 20s; !differences && now() < until;) { // a broker may not have heard of it yet
            co_await pause_for(50ms);
            differences = co_await admin.differences(expected);
        }
        EXPECT_TRUE(differences) << differences.error();
        if (differences) {
            EXPECT_TRUE(differences->empty());
        }
    });
}

TEST_F(RetryTopicsOnBrokerTest, ATopicThatCannotBeCreatedOrHasNoOriginalIsNamed) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        auto nothing = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        const RetryTopics without_original{producer, source(), queue, twice(), nothing};
        const RetryTopics refused{producer, source(), queue, twice(), nothing, {.suffix = "/retry"}};
        const Admin admin{{.bootstrap_servers = address}};

        const auto missing = co_await without_original.ensure_topics(admin, 5s);
        co_await create_topic(unique("orders"), 1);
        const auto not_created = co_await refused.ensure_topics(admin, 5s);

        EXPECT_FALSE(missing);
        EXPECT_NE(missing.error().detail().find("-retry-200"), std::string_view::npos) << missing.error();
        EXPECT_FALSE(not_created);
        EXPECT_NE(not_created.error().detail().find("/retry could not be created"), std::string_view::npos)
            << not_created.error();
    });
}

TEST_F(RetryTopicsOnBrokerTest, ARecordThatKeepsFailingGoesThroughItsRetryTopicToTheDeadLetters) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("orders"), 2);
        const auto sent = co_await send(unique("orders"), "lamp", 1);
        EXPECT_TRUE(sent) << sent.error();
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        std::vector<std::string> tried;
        auto fails = [&](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            tried.emplace_back(record.topic());
            co_return Error{Errc::deadline_exceeded, "the database"};
        };
        RetryTopics retry{producer, source(), queue, twice(), fails};
        const Admin admin{{.bootstrap_servers = address}};
        const auto ensured = co_await retry.ensure_topics(admin);
        EXPECT_TRUE(ensured) << ensured.error();
        Consumer consumer{io.get_executor(), source()};
        std::optional<Result<void>> main_ended, retry_ended;
        auto handler = [&](const ConsumedRecord& record) { return retry.process(record); };
        asio::co_spawn(io, consumer.for_each({}, handler),
                       [&](std::exception_ptr, Result<void> result) { main_ended = std::move(result); });
        asio::co_spawn(io, retry.run(),
                       [&](std::exception_ptr, Result<void> result) { retry_ended = std::move(result); });

        EXPECT_TRUE(co_await eventually([&] { return letters.letters().size() == 1; }, 40s));

        consumer.stop();
        retry.stop();
        EXPECT_TRUE(co_await eventually([&] { return main_ended && retry_ended; }));
        EXPECT_EQ(tried, (std::vector<std::string>{unique("orders"), unique("orders") + "-retry-200"}));
        const auto letter = letters.letters().front();
        EXPECT_EQ(letter.header("__connect.errors.topic"), unique("orders"));
        EXPECT_EQ(letter.header("__connect.errors.partition"), "1");
        EXPECT_EQ(letter.header("x-dlq-attempts"), "2");
        co_await retry.close();
        co_await consumer.close();
    });
}

} // namespace
} // namespace velostream::kafka
