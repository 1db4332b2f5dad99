// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka::dead_letter_test {
namespace {

using namespace std::chrono_literals;
using Bytes = std::optional<std::string>;

/// A dead letter as a plain librdkafka consumer reads it.
struct ReadLetter {
    std::int32_t partition;
    std::int64_t timestamp_ms;
    Bytes key, value;
    std::vector<std::pair<std::string, Bytes>> headers;

    Bytes header(const std::string& name) const {
        for (const auto& [each, bytes] : headers)
            if (each == name) return bytes;
        return std::nullopt;
    }
};

Bytes bytes_of(const void* data, std::size_t size) {
    return data ? Bytes{std::string{static_cast<const char*>(data), size}} : std::nullopt;
}

ReadLetter letter_of(rd_kafka_message_t& message) {
    ReadLetter letter{message.partition,
                      rd_kafka_message_timestamp(&message, nullptr),
                      bytes_of(message.key, message.key_len),
                      bytes_of(message.payload, message.len),
                      {}};
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return letter;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i)
        letter.headers.emplace_back(name, bytes_of(value, size));
    return letter;
}

/// Reads `count` letters of a topic with `partitions` partitions from the beginning, with no code of ours.
std::vector<ReadLetter> read_letters(const std::string& brokers, const char* topic, int partitions, std::size_t count) {
    auto* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), nullptr, 0);
    rd_kafka_conf_set(conf, "group.id", "reader", nullptr, 0);
    const std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> client{rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0),
                                                                    rd_kafka_destroy};
    rd_kafka_poll_set_consumer(client.get());
    auto* assignment = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; ++p)
        rd_kafka_topic_partition_list_add(assignment, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(client.get(), assignment);
    rd_kafka_topic_partition_list_destroy(assignment);

    std::vector<ReadLetter> letters;
    for (int polls = 0; letters.size() < count && polls < 200; ++polls) {
        auto* message = rd_kafka_consumer_poll(client.get(), 100);
        if (!message) continue;
        if (!message->err) letters.push_back(letter_of(*message));
        rd_kafka_message_destroy(message);
    }
    return letters;
}

class DeadLetterTopicTest : public ::testing::Test {
  protected:
    DeadLetterTopicTest() { EXPECT_TRUE(cluster.create_topic("bad-orders", 3)); }

    Producer new_producer() {
        return Producer{io.get_executor(), ProducerConfig{.bootstrap_servers = cluster.bootstrap_servers()}};
    }
    template <class Queue>
    std::optional<Result<DeadLetterReceipt>> send(Queue& queue) {
        std::optional<Result<DeadLetterReceipt>> result;
        asio::co_spawn(io, queue.send_to_dlq(record, bad),
                       [&](std::exception_ptr, Result<DeadLetterReceipt> receipt) { result = std::move(receipt); });
        io.restart();
        io.run_for(30s);
        return result;
    }

    asio::io_context io;
    MockCluster cluster{1};
    DeadLetterQueueConfig config{.topic = "bad-orders", .max_retries = 5, .retry_delay = 200ms, .delivery_timeout = 1s};
    const std::array<HeaderView, 3> headers{HeaderView{"trace", "1"}, HeaderView{"empty", ""},
                                            HeaderView{"trace", std::nullopt}};
    RecordView record{.topic = "orders",
                      .partition = 4,
                      .offset = 41,
                      .key = std::string_view{"1\0002", 3},
                      .value = "",
                      .headers = std::span<const HeaderView>{headers}};
    const Error bad{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity: \"0\""};
};

TEST_F(DeadLetterTopicTest, AnyClientReadsTheOriginalBytesAndTheHeaders) {
    auto producer = new_producer();
    DeadLetterQueue queue{config, DeadLetterTopic{producer, 3}, {.group = "billing"}};
    const auto before = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());

    const auto sent = send(queue);

    ASSERT_TRUE(sent && *sent) << (sent ? sent->error() : Error{});
    EXPECT_EQ((*sent)->partition, 1) << "4 modulo 3";
    EXPECT_EQ((*sent)->offset, 0);
    const auto letters = read_letters(cluster.bootstrap_servers(), "bad-orders", 3, 1);
    ASSERT_EQ(letters.size(), 1u);
    const auto& letter = letters.front();
    EXPECT_EQ(letter.partition, 1);
    EXPECT_GE(letter.timestamp_ms, before.time_since_epoch().count());
    EXPECT_EQ(letter.key, (std::string{"1\0002", 3}));
    EXPECT_EQ(letter.value, "");
    ASSERT_GT(letter.headers.size(), 3u);
    EXPECT_EQ(letter.headers[0], (std::pair<std::string, Bytes>{"trace", "1"}));
    EXPECT_EQ(letter.headers[1], (std::pair<std::string, Bytes>{"empty", ""}));
    EXPECT_EQ(letter.headers[2], (std::pair<std::string, Bytes>{"trace", std::nullopt}));
    EXPECT_EQ(letter.header("__connect.errors.topic"), "orders");
    EXPECT_EQ(letter.header("__connect.errors.offset"), "41");
    EXPECT_EQ(letter.header("x-dlq-error-type"), "bad_request");
    EXPECT_EQ(letter.header("x-dlq-id"), "orders/4/41/billing/");
}

TEST_F(DeadLetterTopicTest, ATombstoneStaysATombstone) {
    auto producer = new_producer();
    DeadLetterQueue queue{config, DeadLetterTopic{producer}};
    record.value = std::nullopt;

    ASSERT_TRUE(send(queue).value());

    const auto letters = read_letters(cluster.bootstrap_servers(), "bad-orders", 3, 1);
    ASSERT_EQ(letters.size(), 1u);
    EXPECT_EQ(letters[0].value, std::nullopt);
}

TEST_F(DeadLetterTopicTest, WaitsUntilTheBrokersAreBack) {
    auto producer = new_producer();
    DeadLetterQueue queue{config, DeadLetterTopic{producer, 3}};
    cluster.all_brokers_down();
    asio::steady_timer outage{io, 1500ms}; // longer than one delivery
    outage.async_wait([&](boost::system::error_code) { cluster.all_brokers_up(); });

    const auto sent = send(queue);

    ASSERT_TRUE(sent && *sent) << (sent ? sent->error() : Error{});
    EXPECT_GE((*sent)->deliveries, 2u);
    EXPECT_GE(queue.get_stats().failed_deliveries, 1u);
    EXPECT_FALSE(read_letters(cluster.bootstrap_servers(), "bad-orders", 3, 1).empty());
}

TEST_F(DeadLetterTopicTest, SaysThatADeadLetterIsLostWhenTheBrokersStayAway) {
    auto producer = new_producer();
    config.max_retries = 1;
    config.delivery_timeout = 300ms;
    DeadLetterQueue queue{config, DeadLetterTopic{producer, 3}};
    cluster.all_brokers_down();

    const auto sent = send(queue);

    ASSERT_TRUE(sent && !*sent);
    EXPECT_EQ(sent->error(), Errc::dead_letter_lost);
    ASSERT_TRUE(sent->error().inner());
    EXPECT_FALSE(sent->error().inner()->blames_record());
    EXPECT_EQ(queue.get_stats().lost, 1u);
}

TEST_F(DeadLetterTopicTest, EndsAtOnceWhenItIsCancelled) {
    auto producer = new_producer();
    config.delivery_timeout = 20s;
    const MemoryAccount account;
    DeadLetterQueue queue{config, DeadLetterTopic{producer, 3}, {.account = account}};
    cluster.all_brokers_down();
    asio::cancellation_signal cancel;
    std::optional<Result<DeadLetterReceipt>> result;
    asio::steady_timer soon{io, 100ms};
    soon.async_wait([&](boost::system::error_code) { cancel.emit(asio::cancellation_type::terminal); });

    asio::co_spawn(
        io, queue.send_to_dlq(record, bad),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, Result<DeadLetterReceipt> ended) {
            result = std::move(ended);
            io.stop();
        }));
    io.run_for(10s);

    ASSERT_TRUE(result && !*result);
    EXPECT_EQ(result->error(), Errc::cancelled);
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(DeadLetterTopicTest, GoesByTheKeyWhereItIsTold) {
    auto producer = new_producer();
    DeadLetterQueue queue{config, DeadLetterTopic{producer, 3, DeadLetterPartitioning::key}};
    record.key = "21"; // is for 0 of 3, the source partition 4 for 1

    const auto sent = send(queue);

    ASSERT_TRUE(sent && *sent) << (sent ? sent->error() : Error{});
    EXPECT_EQ((*sent)->partition, 0);
}

TEST_F(DeadLetterTopicTest, ALetterOfTheLargestSizeIsNotTooLargeForAProducerOfThatSize) {
    ProducerConfig limited{.bootstrap_servers = cluster.bootstrap_servers()};
    limited.properties["message.max.bytes"] = "2000";
    Producer producer{io.get_executor(), limited};
    const Error wordy{boost::system::errc::make_error_code(boost::system::errc::invalid_argument),
                      std::string(3000, 'x')};
    config.max_retries = 0;
    const auto deliver = [&] {
        DeadLetterQueue queue{config, DeadLetterTopic{producer, 3}};
        std::optional<Result<DeadLetterReceipt>> result;
        asio::co_spawn(io, queue.send_to_dlq(record, wordy),
                       [&](std::exception_ptr, Result<DeadLetterReceipt> receipt) { result = std::move(receipt); });
        io.restart();
        io.run_for(30s);
        return result;
    };

    const auto too_large = deliver();
    config.max_record_size = 2000;
    const auto shrunk = deliver();
    const std::string alone_too_large(2000, 'v');
    record.value = alone_too_large;
    const auto whole = deliver();

    ASSERT_TRUE(too_large && !*too_large);
    ASSERT_TRUE(shrunk && *shrunk) << (shrunk ? shrunk->error() : Error{});
    ASSERT_TRUE(whole && !*whole) << "key, value and original headers are never cut";
    EXPECT_EQ(whole->error(), Errc::dead_letter_lost);
    ASSERT_TRUE(whole->error().inner());
    EXPECT_EQ(whole->error().inner()->type(), ErrorType::bad_request);
}

TEST_F(DeadLetterTopicTest, NeedsAtLeastOnePartition) {
    auto producer = new_producer();

    EXPECT_THROW((DeadLetterTopic{producer, 0}), std::invalid_argument);
}

} // namespace
} // namespace velostream::kafka::dead_letter_test
