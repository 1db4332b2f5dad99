// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kafka_topic_fixture.hpp"
#include "velostream/core/retry_headers.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/retry_topics.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"

namespace velostream::kafka {

using namespace std::string_view_literals;
using namespace std::string_literals;

/// The topic `t`, its retry topic, and an operation that fails as often as a test says.
class RetryTopicsTest : public TopicTest {
  protected:
    using Queue = DeadLetterQueue<testing::InMemoryDeadLetters>;

    struct Operation {
        RetryTopicsTest* test;
        asio::awaitable<Result<void>> operator()(const ConsumedRecord& record) const { return test->operate(record); }
    };
    using Retries = RetryTopics<Queue, Operation>;

    static constexpr Duration at_once = 1ms; // due when it is read, as good as
    static constexpr Duration much_later = 1h;

    static std::string retry_topic(Duration delay) {
        return "t-retry-" + std::to_string(std::chrono::ceil<std::chrono::milliseconds>(delay).count());
    }
    Retries retries(Duration delay, std::uint32_t max_retries = 3) {
        cluster.create_topic(retry_topic(delay), partitions).value();
        return Retries{producer, source, queue, reprocess(delay, max_retries), Operation{this}};
    }
    static ReprocessConfig reprocess(Duration delay, std::uint32_t max_retries = 3) {
        return {.mode = Reprocess::topic, .max_retries = max_retries, .retry_delay = delay};
    }

    asio::awaitable<Result<void>> operate(const ConsumedRecord& record) {
        const std::string value{record.value().value_or("")};
        tried.push_back(std::string{record.topic()} + ": " + value);
        attempts.push_back(record.topic() == "t" ? 1 : read_retry_headers(record_view(record)).attempt);
        if (failures[value] == 0) co_return Result<void>{};
        --failures[value];
        co_return failure;
    }
    void fail(const std::string& value, int times) { failures[value] = times; }

    /// Reads `t` until `count` records are done, each by `retries.process`.
    asio::awaitable<Result<void>> process(Retries& retries, std::size_t count) {
        Consumer consumer{io.get_executor(), source};
        auto handler = [&](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            auto processing = retries.process(record);
            const auto processed = co_await std::move(processing);
            if (--count == 0) consumer.stop();
            co_return processed;
        };
        auto reading = consumer.for_each({.max_in_flight = 1}, handler);
        const auto result = co_await std::move(reading);
        if (result) {
            EXPECT_EQ(consumer.get_stats().done, consumer.get_stats().records);
        }
        auto closing = consumer.close();
        co_await std::move(closing);
        co_return result;
    }
    /// `retries.run()` on its own.
    void start(Retries& retries, ForEachOptions options = {}) {
        asio::co_spawn(io, retries.run(std::move(options)),
                       asio::bind_cancellation_slot(stopping.slot(), [this](std::exception_ptr, Result<void> result) {
                           ended = std::move(result);
                       }));
    }
    asio::awaitable<void> end(Retries& retries) {
        retries.stop();
        auto ending = eventually([this] { return ended.has_value(); });
        EXPECT_TRUE(co_await std::move(ending));
        if (ended) {
            EXPECT_TRUE(*ended) << ended->error();
        }
        auto closing = retries.close();
        co_await std::move(closing);
    }
    asio::awaitable<void> write_to(std::string topic, std::vector<Record> records) {
        for (auto& record : records) record.topic = topic;
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
    }
    static Record keyed(std::string key, std::string value) { return Record{"t", std::move(key), std::move(value)}; }

    std::vector<Logged> log_of(const std::string& topic) const {
        std::vector<Logged> all;
        for (int partition = 0; partition < partitions; ++partition)
            for (auto& logged : read_log(cluster.bootstrap_servers(), topic, partition))
                all.push_back(std::move(logged));
        return all;
    }
    static std::string header(const Record& record, std::string_view name) {
        for (const auto& each : record.headers)
            if (each.name == name) return each.value.value_or("<null>");
        return "<absent>";
    }

    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 0ms}};
    ConsumerConfig source = config();
    testing::InMemoryDeadLetters letters;
    Queue queue{{.topic = "dead", .max_retries = 0}, letters, {.group = "g"}};
    Error failure{Errc::deadline_exceeded, "the database"};
    std::map<std::string, int> failures;
    std::vector<std::string> tried;
    std::vector<std::uint32_t> attempts;
    std::optional<Result<void>> ended;
    asio::cancellation_signal stopping;
};

} // namespace velostream::kafka
