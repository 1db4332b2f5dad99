// SPDX-License-Identifier: Apache-2.0
#include "loop.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "kafka.hpp"
#include "orders/order_lines.hpp"
#include "outputs.hpp"

namespace velostream::bare {

namespace {

using Clock = std::chrono::steady_clock;

// The settings of the main job's clients. A floor with others would measure librdkafka instead of us.
const Settings job_client{{"socket.nagle.disable", "true"},
                          {"reconnect.backoff.ms", "50"},
                          {"reconnect.backoff.max.ms", "500"},
                          {"topic.metadata.refresh.fast.interval.ms", "100"}};
const Settings job_producer{{"enable.idempotence", "true"},        {"linger.ms", "20"},
                            {"message.timeout.ms", "120000"},      {"partitioner", "murmur2_random"},
                            {"queue.buffering.max.messages", "0"}, {"queue.buffering.max.kbytes", "2147483647"}};
const Settings job_consumer{{"queued.min.messages", "1000000"}, {"queued.max.messages.kbytes", "65536"}};
// How long a broker holds a fetch for which it has nothing; the mock holds every one that long.
const Settings mock_fetch_wait{{"fetch.wait.max.ms", "5"}};
const Settings broker_fetch_wait{{"fetch.wait.max.ms", "100"}};

// The mock keeps 5 MiB of a partition and forgets the oldest: this many lines are always less.
constexpr std::int64_t most_lines_ahead = 20'000;
constexpr std::size_t batch_size = 2'000;
constexpr int poll_ms = 20;

Settings joined(std::initializer_list<Settings> parts) {
    Settings all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

struct Deliveries {
    std::atomic<std::int64_t> acknowledged{0};
    std::atomic<std::int64_t> failed{0};
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& deliveries = *static_cast<Deliveries*>(opaque);
    auto& counter = message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? deliveries.acknowledged : deliveries.failed;
    counter.fetch_add(1, std::memory_order_relaxed);
}

/// Sends the lines of the input to the topic of orders, on a thread of its own.
class Source {
  public:
    Source(const LoopOptions& options, rd_kafka_t* producer, rd_kafka_topic_t* orders)
        : lines_(options.input), producer_(producer), orders_(orders), bounded_(options.brokers.empty()) {}

    void start() {
        thread_ = std::jthread{[this](const std::stop_token& stop) {
            try {
                send_all(stop);
            } catch (...) {
                failure_ = std::current_exception();
            }
            done_ = true;
        }};
    }

    void on_consumed(std::int64_t total) {
        consumed_.store(total, std::memory_order_release);
        consumed_.notify_one();
    }

    bool done() const { return done_; }
    std::int64_t sent() const { return sent_; }
    void rethrow() const {
        if (failure_) std::rethrow_exception(failure_);
    }

    ~Source() {
        thread_.request_stop();
        on_consumed(-1); // ends a wait: the value is another one
    }

  private:
    void send_all(const std::stop_token& stop) {
        std::string_view line;
        std::int64_t sent = 0;
        while (lines_.next(line)) {
            for (auto seen = consumed_.load(std::memory_order_acquire); bounded_ && sent - seen >= most_lines_ahead;
                 seen = consumed_.load(std::memory_order_acquire)) {
                if (stop.stop_requested()) return;
                consumed_.wait(seen, std::memory_order_acquire);
            }
            send_order(producer_, orders_, customer_of(line), line, sent);
            ++sent;
            if (stop.stop_requested()) return;
        }
        sent_ = sent;
    }

    LineFile lines_;
    rd_kafka_t* producer_;
    rd_kafka_topic_t* orders_;
    bool bounded_;
    std::atomic<std::int64_t> consumed_{0};
    std::atomic<std::int64_t> sent_{0};
    std::atomic<bool> done_{false};
    std::exception_ptr failure_; // written before done_
    std::jthread thread_;
};

/// The totals per customer, and what is sent about each line.
class Totals {
  public:
    Totals(rd_kafka_t* producer, rd_kafka_topic_t* totals, DeadLetters& dead_letters)
        : producer_(producer), totals_(totals), dead_letters_(dead_letters) {}

    void take(rd_kafka_message_t& message) {
        const std::string_view line{static_cast<const char*>(message.payload), message.len};
        const auto order = parse_order(line);
        ++result_.lines;
        if (order.fault != Fault::none) {
            ++result_.by_fault[static_cast<std::size_t>(order.fault)];
            dead_letters_.send_line(message, order);
            return;
        }
        auto place = customers_.find(order.customer);
        if (place == customers_.end()) place = customers_.emplace(order.customer, Total{}).first;
        auto& [lines, thousandths] = place->second;
        ++lines;
        thousandths += order.thousandths;
        ++result_.valid;
        send_total(producer_, totals_, place->first, lines, thousandths);
    }

    LoopResult result() const {
        auto result = result_;
        result.customers = static_cast<std::int64_t>(customers_.size());
        for (const auto& [customer, total] : customers_) result.grand_total += total.thousandths;
        return result;
    }

  private:
    struct Total {
        std::int64_t lines = 0;
        std::int64_t thousandths = 0;
    };
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };

    rd_kafka_t* producer_;
    rd_kafka_topic_t* totals_;
    DeadLetters& dead_letters_;
    std::unordered_map<std::string, Total, Hash, std::equal_to<>> customers_;
    LoopResult result_;
};

std::string named(const LoopOptions& options, const char* name) {
    return options.prefix.empty() ? name : options.prefix + "-" + name;
}

std::string group_of(const LoopOptions& options) {
    return named(options, "orders-pipeline");
}

Owned<rd_kafka_t> make_consumer(const std::string& servers, const LoopOptions& options, const std::string& topic) {
    const Settings always{
        {"bootstrap.servers", servers}, {"group.id", group_of(options)}, {"auto.offset.reset", "earliest"}};
    const auto& fetch_wait = options.brokers.empty() ? mock_fetch_wait : broker_fetch_wait;
    auto consumer = make_client(RD_KAFKA_CONSUMER,
                                options.defaults ? always : joined({always, job_client, job_consumer, fetch_wait}));
    throw_if(rd_kafka_poll_set_consumer(consumer.get()), "poll_set_consumer");
    const Owned<rd_kafka_topic_partition_list_t> topics{rd_kafka_topic_partition_list_new(1)};
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    throw_if(rd_kafka_subscribe(consumer.get(), topics.get()), "subscribe");
    return consumer;
}

/// Hands what has arrived to `take`.
template <class Take>
void consume(rd_kafka_t* consumer, rd_kafka_queue_t* queue, bool one_by_one, Take take) {
    std::array<rd_kafka_message_t*, batch_size> messages{};
    std::size_t count = 0;
    if (one_by_one) {
        messages[0] = rd_kafka_consumer_poll(consumer, poll_ms);
        count = messages[0] != nullptr ? 1 : 0;
    } else {
        const auto received = rd_kafka_consume_batch_queue(queue, poll_ms, messages.data(), messages.size());
        if (received < 0) throw_if(rd_kafka_last_error(), "consume");
        count = static_cast<std::size_t>(received);
    }
    for (std::size_t i = 0; i < count; ++i) {
        throw_if(messages[i]->err, "consume");
        take(*messages[i]);
        rd_kafka_message_destroy(messages[i]);
    }
}

} // namespace

LoopResult run_loop(const LoopOptions& options) {
    std::unique_ptr<MockBrokers> mock;
    if (options.brokers.empty()) mock = std::make_unique<MockBrokers>();
    const auto servers = mock ? mock->bootstrap_servers() : options.brokers;
    const std::vector<std::string> topics{named(options, "orders"), named(options, "customer-totals"),
                                          named(options, "dead-letters")};

    Deliveries deliveries;
    const Settings to_servers{{"bootstrap.servers", servers}};
    const auto producer =
        make_client(RD_KAFKA_PRODUCER, options.defaults ? to_servers : joined({to_servers, job_client, job_producer}),
                    on_delivery, &deliveries);
    if (mock) {
        for (const auto& name : topics) mock->create_topic(name, options.partitions);
    } else {
        create_topics(producer.get(), topics, options.partitions);
    }
    const auto orders = open_topic(producer.get(), topics[0]);
    const auto totals = open_topic(producer.get(), topics[1]);
    const auto dead_letters = open_topic(producer.get(), topics[2]);

    auto consumer = make_consumer(servers, options, topics[0]);
    Owned<rd_kafka_queue_t> queue{rd_kafka_queue_get_consumer(consumer.get())};
    DeadLetters letters{producer.get(), dead_letters.get(), topics[0], group_of(options)};
    Totals state{producer.get(), totals.get(), letters};
    Source source{options, producer.get(), orders.get()};

    const auto begin = Clock::now();
    source.start();
    std::int64_t consumed = 0;
    while (!source.done() || consumed < source.sent()) {
        consume(consumer.get(), queue.get(), options.defaults, [&](rd_kafka_message_t& message) {
            state.take(message);
            ++consumed;
        });
        source.on_consumed(consumed);
        rd_kafka_poll(producer.get(), 0);
        if (deliveries.failed > 0) throw std::runtime_error{"a message was not delivered"};
        if (source.done()) source.rethrow();
    }
    throw_if(rd_kafka_flush(producer.get(), 60'000), "flush");
    auto result = state.result();
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (deliveries.acknowledged != 2 * result.lines) throw std::runtime_error{"not every message was acknowledged"};

    throw_if(rd_kafka_consumer_close(consumer.get()), "close"); // commits
    queue.reset();
    consumer.reset(); // librdkafka 2.0.2 may wait for ever for a consumer whose topics are gone
    if (!mock && !options.keep_topics) delete_topics(producer.get(), topics);
    return result;
}

} // namespace velostream::bare
