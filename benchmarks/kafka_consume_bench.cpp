// SPDX-License-Identifier: Apache-2.0
//
// What the library adds to a record that is read: 100 bytes each, from librdkafka's mock cluster in this process, by a
// client with the same settings. The clock runs from the first record in hand to the last: joining the group, the first
// fetch and leaving stay outside.
#include <benchmark/benchmark.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/suite.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::bench {

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr int partitions = 8;
constexpr std::size_t at_once = 1000;

/// Three brokers with a topic full of records, for every contender of this program.
class FullTopic {
  public:
    explicit FullTopic(std::int64_t records) {
        cluster_.create_topic("records", partitions).value();
        asio::io_context io{1};
        kafka::Producer producer{io.get_executor(), {.bootstrap_servers = cluster_.bootstrap_servers()}};
        std::int64_t failed = 0;
        for (std::int64_t i = 0; i < records; ++i) {
            kafka::Record record{"records", std::nullopt, std::string(100, 'x')};
            record.partition = static_cast<std::int32_t>(i % partitions);
            kept_.push_back(std::move(record));
        }
        for (const auto& record : kept_)
            producer.async_send(record, [&](const Result<kafka::Delivery>& sent) { failed += sent ? 0 : 1; });
        io.run();
        kept_.clear();
        if (failed > 0) throw std::runtime_error{"the topic could not be filled"};
    }

    const std::string& brokers() const { return cluster_.bootstrap_servers(); }
    /// A group that has read nothing.
    std::string new_group() { return "group-" + std::to_string(++groups_); }

  private:
    kafka::MockCluster cluster_{3};
    std::vector<kafka::Record> kept_;
    int groups_ = 0;
};

FullTopic& full_topic(std::int64_t records) {
    static FullTopic topic{records};
    return topic;
}

/// From the first record to the last.
class Clock {
  public:
    explicit Clock(std::int64_t records) : records_(records) {}
    void count(std::size_t records) {
        if (seen_ == 0) began_ = now();
        seen_ += static_cast<std::int64_t>(records);
        if (is_over()) ended_ = now();
    }
    bool is_over() const { return seen_ >= records_; }
    void report(benchmark::State& state) const {
        const auto count = static_cast<double>(records_);
        report_instead(state, (ended_.wall - began_.wall) / count, (ended_.cpu - began_.cpu) / count);
    }

  private:
    struct Moment {
        double wall = 0, cpu = 0; // ns
    };
    static double read(clockid_t clock) {
        timespec time{};
        clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
    }
    static Moment now() { return {read(CLOCK_MONOTONIC), read(CLOCK_PROCESS_CPUTIME_ID)}; }

    std::int64_t records_, seen_ = 0;
    Moment began_, ended_;
};

/// What the library's consumer sets by itself, and what the mock cluster needs.
constexpr std::array<std::pair<const char*, const char*>, 8> client_settings{{
    {"auto.offset.reset", "earliest"},
    {"enable.auto.offset.store", "false"},
    {"auto.commit.interval.ms", "5000"},
    {"fetch.wait.max.ms", "5"},
    {"queued.min.messages", "1000000"},
    {"queued.max.messages.kbytes", "65536"},
    {"session.timeout.ms", "45000"},
    {"socket.nagle.disable", "true"},
}};

void librdkafka_consume_batch(benchmark::State& state, FullTopic& topic) {
    std::array<char, 512> error{};
    auto* const conf = rd_kafka_conf_new();
    const auto set = [&](const char* name, const std::string& value) {
        if (rd_kafka_conf_set(conf, name, value.c_str(), error.data(), error.size()) != RD_KAFKA_CONF_OK)
            throw std::runtime_error{error.data()};
    };
    set("bootstrap.servers", topic.brokers());
    set("group.id", topic.new_group());
    for (const auto& [name, value] : client_settings) set(name, value);
    auto* const client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error.data(), error.size());
    if (client == nullptr) throw std::runtime_error{error.data()};
    rd_kafka_poll_set_consumer(client);
    auto* const names = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(names, "records", RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(client, names);
    rd_kafka_topic_partition_list_destroy(names);
    auto* const queue = rd_kafka_queue_get_consumer(client);

    Clock clock{state.max_iterations};
    std::array<rd_kafka_message_t*, at_once> messages{};
    while (state.KeepRunningBatch(state.max_iterations)) {
        while (!clock.is_over()) {
            const auto read = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
            std::size_t records = 0;
            for (auto* message : std::span{messages.data(), static_cast<std::size_t>(std::max<ssize_t>(read, 0))}) {
                if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                    ++records;
                    benchmark::DoNotOptimize(message->payload);
                    rd_kafka_offset_store(message->rkt, message->partition, message->offset);
                }
                rd_kafka_message_destroy(message);
            }
            if (records > 0) clock.count(records);
        }
    }
    clock.report(state);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

kafka::ConsumerConfig config_for(FullTopic& topic) {
    return {.bootstrap_servers = topic.brokers(),
            .group_id = topic.new_group(),
            .topics = {"records"},
            .fetch_wait = 5ms,
            .properties = {{"socket.nagle.disable", "true"}}};
}

void mark_done(kafka::Consumer& consumer, const kafka::RecordBatch& batch) {
    for (const auto& record : batch) consumer.done(record);
}

asio::awaitable<void> read_batches(kafka::Consumer& consumer, Clock& clock) {
    while (!clock.is_over()) {
        const auto batch = co_await consumer.next_batch(at_once);
        if (!batch) throw std::runtime_error{batch.error().message()};
        clock.count(batch->size());
        mark_done(consumer, *batch);
    }
    co_await consumer.close(5s);
}

asio::awaitable<void> handle_each(kafka::Consumer& consumer, Clock& clock) {
    const auto handler = [&](const kafka::ConsumedRecord& record) -> asio::awaitable<void> {
        benchmark::DoNotOptimize(record.value());
        clock.count(1);
        if (clock.is_over()) consumer.stop();
        co_return;
    };
    auto loop = consumer.for_each({}, handler);
    const auto ended = co_await std::move(loop);
    if (!ended) throw std::runtime_error{ended.error().message()};
    co_await consumer.close(5s);
}

template <class Read>
void measure_reading(benchmark::State& state, FullTopic& topic, Read read) {
    Clock clock{state.max_iterations};
    while (state.KeepRunningBatch(state.max_iterations)) {
        asio::io_context io{1};
        kafka::Consumer consumer{io.get_executor(), config_for(topic)};
        asio::co_spawn(io, read(consumer, clock), [](const std::exception_ptr& problem) {
            if (problem) std::rethrow_exception(problem);
        });
        io.run();
    }
    clock.report(state);
}

} // namespace

void declare(Suite& suite) {
    const std::int64_t records = suite.is_smoke() ? 10'000 : 200'000;
    const Measure one{.threads = {1}, .whole_process = true, .iterations = records};
    suite.add(
        "floor/librdkafka_consume_batch",
        [=](benchmark::State& state) { librdkafka_consume_batch(state, full_topic(records)); }, one);
    suite.add(
        "kafka/next_batch", [=](benchmark::State& state) { measure_reading(state, full_topic(records), read_batches); },
        one);
    suite.add(
        "kafka/for_each", [=](benchmark::State& state) { measure_reading(state, full_topic(records), handle_each); },
        one);
}

} // namespace velostream::bench
