// SPDX-License-Identifier: Apache-2.0
//
// What the library adds to a send: 100 bytes, at most 10 000 messages in flight, to librdkafka's mock cluster in this
// process.
//
// A contender sends `messages(suite)` messages of `payload` to `topic`, with `client_settings` and nothing else
// changed in its client, never more than `window` of them unacknowledged. Its clock runs from the first send to the
// last acknowledgement; making the client, the first connection and destroying the client stay outside. So that CPU
// time is that of librdkafka's threads too, and of the mock cluster, which is the same for all, it is added like this:
//
//     suite.add("kafka/send_callback", send_callback, measure(suite));
#include <benchmark/benchmark.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/allocations.hpp"
#include "support/suite.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/pipeline.hpp"

namespace velostream::bench {

namespace {

// What the library's producer sets by itself.
constexpr std::array<std::pair<const char*, const char*>, 7> client_settings{{
    {"enable.idempotence", "true"},
    {"linger.ms", "5"},
    {"message.timeout.ms", "30000"},
    {"partitioner", "murmur2_random"},
    {"queue.buffering.max.messages", "0"}, // the window below is the only limit
    {"queue.buffering.max.kbytes", "2147483647"},
    {"socket.nagle.disable", "true"},
}};
constexpr const char* topic = "sends";
constexpr std::int64_t window = 10'000;
constexpr std::array<char, 100> payload{};

std::int64_t messages(const Suite& suite) {
    return suite.is_smoke() ? 20'000 : 400'000;
}

Measure measure(const Suite& suite) {
    return {.threads = {1}, .whole_process = true, .iterations = messages(suite)};
}

struct Destroy {
    void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
    void operator()(rd_kafka_topic_t* handle) const { rd_kafka_topic_destroy(handle); }
    void operator()(rd_kafka_mock_cluster_t* cluster) const { rd_kafka_mock_cluster_destroy(cluster); }
};
template <class T>
using Owned = std::unique_ptr<T, Destroy>;

Owned<rd_kafka_t> make_client(rd_kafka_conf_t* conf) {
    std::array<char, 512> error{};
    auto* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error.data(), error.size());
    if (client == nullptr) throw std::runtime_error{error.data()};
    return Owned<rd_kafka_t>{client};
}

/// Three brokers that every contender of this program sends to.
const std::string& bootstrap_servers() {
    static const auto host = [] {
        auto* conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "log_level", "2", nullptr, 0); // it has no brokers and needs none
        return make_client(conf);
    }();
    static const Owned<rd_kafka_mock_cluster_t> cluster{rd_kafka_mock_cluster_new(host.get(), 3)};
    static const std::string servers = rd_kafka_mock_cluster_bootstraps(cluster.get());
    return servers;
}

// --- floor/librdkafka_bare: the C interface, a delivery report callback and a poll loop

struct InFlight {
    std::int64_t count = 0;
    std::int64_t failed = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& in_flight = *static_cast<InFlight*>(opaque);
    --in_flight.count;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++in_flight.failed;
}

Owned<rd_kafka_t> bare_client(InFlight& in_flight) {
    auto* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, &in_flight);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    std::array<char, 512> error{};
    const auto set = [&](const char* name, const char* value) {
        if (rd_kafka_conf_set(conf, name, value, error.data(), error.size()) != RD_KAFKA_CONF_OK)
            throw std::runtime_error{error.data()};
    };
    set("bootstrap.servers", bootstrap_servers().c_str());
    for (const auto& [name, value] : client_settings) set(name, value);
    return make_client(conf);
}

void wait_until_at_most(std::int64_t in_flight_allowed, const InFlight& in_flight, rd_kafka_t* client) {
    while (in_flight.count > in_flight_allowed) rd_kafka_poll(client, 100);
}

void librdkafka_bare(benchmark::State& state) {
    InFlight in_flight;
    const auto client = bare_client(in_flight);
    const Owned<rd_kafka_topic_t> handle{rd_kafka_topic_new(client.get(), topic, nullptr)};
    const auto send = [&] {
        // The payload is copied, as by any client whose caller may change it after the send.
        if (rd_kafka_produce(handle.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                             const_cast<char*>(payload.data()), payload.size(), nullptr, 0, nullptr) != 0)
            throw std::runtime_error{rd_kafka_err2str(rd_kafka_last_error())};
        ++in_flight.count;
    };
    send(); // the first one connects
    wait_until_at_most(0, in_flight, client.get());

    {
        const CountAllocations count{state};
        while (state.KeepRunningBatch(state.max_iterations)) {
            for (benchmark::IterationCount i = 0; i < state.max_iterations; ++i) {
                wait_until_at_most(window - 1, in_flight, client.get());
                send();
            }
            wait_until_at_most(0, in_flight, client.get());
        }
    }
    if (in_flight.failed > 0) state.SkipWithError("a message was not delivered");
}

// --- kafka/...: the library's producer on one io_context

namespace asio = boost::asio;

/// A producer with the floor's client settings, connected.
class Sender {
  public:
    Sender() : producer_(io_.get_executor(), config()) {
        producer_.async_send(record_, [this](const Result<kafka::Delivery>& sent) { count(sent); });
        io_.run();
    }

    /// Sends `messages`, never more than `window` at once: `start` begins `window` chains.
    template <class Start>
    void run(std::int64_t messages, Start start) {
        left_ = unacknowledged_ = messages;
        start();
        io_.restart();
        io_.run();
    }

    bool take_turn() { return left_-- > 0; }
    void count(const Result<kafka::Delivery>& sent) {
        failed_ += sent ? 0 : 1;
        if (--unacknowledged_ == 0) io_.stop();
    }

    asio::io_context& io() { return io_; }
    kafka::Producer& producer() { return producer_; }
    const kafka::Record& record() const { return record_; }
    std::int64_t failed() const { return failed_; }

  private:
    static kafka::ProducerConfig config() {
        kafka::ProducerConfig config{.bootstrap_servers = bootstrap_servers()};
        for (const auto& [name, value] : client_settings) config.properties[name] = value;
        return config;
    }

    asio::io_context io_{1};
    kafka::Producer producer_;
    const kafka::Record record_{topic, std::nullopt, std::string{payload.data(), payload.size()}};
    std::int64_t left_ = 0;
    std::int64_t unacknowledged_ = 0;
    std::int64_t failed_ = 0;
};

void send_next(Sender& sender) {
    if (!sender.take_turn()) return;
    sender.producer().async_send(sender.record(), [&sender](const Result<kafka::Delivery>& sent) {
        sender.count(sent);
        send_next(sender);
    });
}

/// `send` is what is awaited for each message.
template <class Send>
asio::awaitable<void> send_in_turns(Sender& sender, WaitQueue& rounds, Send send) {
    for (;;) {
        while (sender.take_turn()) {
            const auto sent = co_await send();
            sender.count(sent);
        }
        co_await rounds.async_wait(asio::use_awaitable);
    }
}

template <class Start>
void measure_sends(benchmark::State& state, Sender& sender, Start start) {
    {
        const CountAllocations count{state};
        while (state.KeepRunningBatch(state.max_iterations)) sender.run(state.max_iterations, start);
    }
    if (sender.failed() > 0) state.SkipWithError("a message was not delivered");
}

// In all of them, a first window of sends that is not measured makes what all later ones use again.

void send_callback(benchmark::State& state) {
    Sender sender;
    const auto start = [&sender] {
        for (std::int64_t chain = 0; chain < window; ++chain) send_next(sender);
    };
    sender.run(window, start);
    measure_sends(state, sender, start);
}

template <class Send>
void measure_coroutines(benchmark::State& state, Sender& sender, WaitQueue& rounds, Send send) {
    sender.run(window, [&] {
        for (std::int64_t chain = 0; chain < window; ++chain)
            asio::co_spawn(sender.io(), send_in_turns(sender, rounds, send), asio::detached);
    });
    measure_sends(state, sender, [&rounds] { rounds.wake_all(); });
}

// What the coroutines use stands before the sender: they end with its context.

void send_coroutine(benchmark::State& state) {
    WaitQueue rounds;
    Sender sender;
    measure_coroutines(state, sender, rounds, [&sender] { return sender.producer().send(sender.record()); });
}

void send_guarded(benchmark::State& state) {
    RetryExecutor<> retry{RetryConfig{}};
    CircuitBreaker<> breaker{"sends", CircuitBreakerConfig{}};
    const Pipeline guarded{retry, breaker};
    WaitQueue rounds;
    Sender sender;
    auto send = idempotent([&sender](CallContext& call) { return sender.producer().send(sender.record(), call); });
    measure_coroutines(state, sender, rounds, [&guarded, send] { return guarded.execute(send); });
}

// --- dlq/send: a dead letter on its way to its topic, beside a send of the same bytes and headers

const RecordView failed_record{.topic = "orders",
                               .partition = 3,
                               .offset = 123'456,
                               .key = "17850",
                               .value = std::string_view{payload.data(), payload.size()},
                               .timestamp = WallTime{std::chrono::milliseconds{1'291'191'960'000}},
                               .timestamp_type = TimestampType::create_time};
const Error failure{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "CustomerID: \"\""};

void send_with_the_same_headers(benchmark::State& state) {
    const DeadLetterQueueConfig config{.topic = topic};
    const auto trace = StackTrace::capture();
    const auto letter = make_dead_letter(failed_record, failure, config, {.stack_trace = trace.text()});
    const auto record = letter.record();
    WaitQueue rounds;
    Sender sender;
    measure_coroutines(state, sender, rounds, [&sender, &record]() -> asio::awaitable<Result<kafka::Delivery>> {
        CallContext call;
        auto view = record;
        view.partition = -1;
        auto sending = sender.producer().send(view, call);
        co_return co_await std::move(sending);
    });
}

void send_dead_letters(benchmark::State& state) {
    WaitQueue rounds;
    std::optional<DeadLetterQueue<kafka::DeadLetterTopic>> queue;
    Sender sender;
    queue.emplace(DeadLetterQueueConfig{.topic = topic}, kafka::DeadLetterTopic{sender.producer()});
    measure_coroutines(state, sender, rounds, [&queue]() -> asio::awaitable<Result<kafka::Delivery>> {
        auto sending = queue->send_to_dlq(failed_record, failure);
        const auto sent = co_await std::move(sending);
        if (!sent) co_return sent.error();
        co_return kafka::Delivery{};
    });
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/librdkafka_bare", librdkafka_bare, measure(suite));
    suite.add("kafka/send_callback", send_callback, measure(suite));
    suite.add("kafka/send_coroutine", send_coroutine, measure(suite));
    suite.add("kafka/send_guarded", send_guarded, measure(suite));
    suite.add("floor/send_with_the_same_headers", send_with_the_same_headers, measure(suite));
    suite.add("dlq/send", send_dead_letters, measure(suite));
}

} // namespace velostream::bench
