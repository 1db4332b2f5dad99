// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/async/time_source.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {

using namespace std::chrono_literals;

inline TimePoint now() {
    return SteadyTime{}.now();
}

/// Runs `test()`, a coroutine, to its end. A test that takes longer than `limit` has failed.
template <std::invocable Test>
void run(asio::io_context& io, Test test, Duration limit = 60s) {
    bool is_over = false;
    asio::co_spawn(io, test(), [&](const std::exception_ptr& problem) {
        is_over = true;
        if (problem) std::rethrow_exception(problem);
    });
    const auto until = now() + limit;
    while (!is_over && now() < until && io.run_one_until(std::chrono::steady_clock::time_point{until}) > 0) {
    }
    ASSERT_TRUE(is_over) << "the test did not end";
}

/// Waits until `condition()` holds; false if it does not within `limit`.
template <std::predicate Condition>
asio::awaitable<bool> eventually(Condition condition, Duration limit = 20s) {
    asio::steady_timer timer{co_await asio::this_coro::executor};
    const auto until = now() + limit;
    while (!condition()) {
        if (now() > until) co_return false;
        timer.expires_after(2ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    co_return true;
}

/// Whether `condition()` holds when a plain timer rings 200 ms after `deadline`: ten times what a deadline may be late.
/// On a machine that is busy with other things that timer is as late as everything else of its context, and what had to
/// come before it and is on its way still counts.
template <std::predicate Condition>
asio::awaitable<bool> holds_soon_after(TimePoint deadline, Condition condition) {
    asio::steady_timer timer{co_await asio::this_coro::executor, deadline + 200ms};
    co_await timer.async_wait(asio::use_awaitable);
    for (int turns = 0; turns < 100 && !condition(); ++turns)
        co_await asio::post(timer.get_executor(), asio::use_awaitable);
    co_return condition();
}

inline asio::awaitable<void> pause_for(Duration time) {
    asio::steady_timer timer{co_await asio::this_coro::executor};
    timer.expires_after(time);
    co_await timer.async_wait(asio::use_awaitable);
}

/// Records without a key whose values are `first` and the numbers after it, in turn over `partitions`.
inline std::vector<Record> numbered_records(const std::string& topic, int first, int count, int partitions) {
    std::vector<Record> records;
    for (int i = 0; i < count; ++i) {
        records.emplace_back(topic, std::nullopt, std::to_string(first + i));
        records.back().partition = i % partitions;
    }
    return records;
}

/// Writes all of them, in their order.
inline asio::awaitable<void> write_all(asio::any_io_executor executor, std::string bootstrap_servers,
                                       const std::vector<Record>& records) {
    Producer producer{executor, {.bootstrap_servers = std::move(bootstrap_servers)}};
    for (const auto& record : records)
        producer.async_send(record, [](const Result<Delivery>& sent) { EXPECT_TRUE(sent); });
    co_await producer.async_flush(asio::use_awaitable);
}

/// A record as it lies in the log.
struct Logged {
    Record record;
    std::int64_t offset = 0;
};

/// Everything in a partition's log, read by the plain client library: independent of this library's consumer.
inline std::vector<Logged> read_log(const std::string& bootstrap_servers, const std::string& topic,
                                    std::int32_t partition) {
    auto* conf = rd_kafka_conf_new();
    const auto set = [conf](const char* name, const char* value) {
        ASSERT_EQ(rd_kafka_conf_set(conf, name, value, nullptr, 0), RD_KAFKA_CONF_OK) << name;
    };
    set("bootstrap.servers", bootstrap_servers.c_str());
    set("enable.partition.eof", "true");
    set("fetch.wait.max.ms", "5");
    rd_kafka_conf_set_log_cb(conf, nullptr);
    auto* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    auto* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    rd_kafka_consume_start(handle, partition, RD_KAFKA_OFFSET_BEGINNING);

    const auto text = [](const void* data, std::size_t size) -> ByteString {
        if (!data) return std::nullopt;
        return std::string{static_cast<const char*>(data), size};
    };
    std::vector<Logged> log;
    for (bool is_at_end = false; !is_at_end;) {
        auto* message = rd_kafka_consume(handle, partition, 20'000);
        if (!message || message->err) {
            is_at_end = true;
            EXPECT_TRUE(message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) << "partition not readable";
        } else {
            Record record{topic, text(message->key, message->key_len), text(message->payload, message->len)};
            record.partition = partition;
            auto type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            record.timestamp = WallTime{std::chrono::milliseconds{rd_kafka_message_timestamp(message, &type)}};
            rd_kafka_headers_t* headers = nullptr;
            if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
                const char* name = nullptr;
                const void* value = nullptr;
                std::size_t size = 0;
                for (std::size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); ++i)
                    record.headers.emplace_back(name, text(value, size));
            }
            log.push_back({std::move(record), message->offset});
        }
        if (message) rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(handle, partition);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
    return log;
}

} // namespace velostream::kafka
