// SPDX-License-Identifier: Apache-2.0
//
// How late a send that cannot be delivered is told so, in each way in which a cluster can fail. Each turn begins a
// hundred sends with 100 ms each; the row is the lateness of the one that heard of it last.
#include <benchmark/benchmark.h>
#include <librdkafka/rdkafka.h>
// librdkafka asks for this order
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "brokers/password_refuser.hpp"
#include "support/suite.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/error.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 100ms;
constexpr int sends_at_once = 100;
constexpr auto topic = "late";

/// Brokers whose answer to who asks for the topic is an error.
class BrokersWithoutTopic {
  public:
    explicit BrokersWithoutTopic(rd_kafka_resp_err_t answer)
        : host_(silent_client(), rd_kafka_destroy),
          cluster_(rd_kafka_mock_cluster_new(host_.get(), 1), rd_kafka_mock_cluster_destroy) {
        rd_kafka_mock_topic_create(cluster_.get(), topic, 1, 1);
        rd_kafka_mock_topic_set_error(cluster_.get(), topic, answer);
    }
    std::string bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_.get()); }

  private:
    static rd_kafka_t* silent_client() {
        auto* const conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, nullptr);
        return rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    }
    std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> host_;
    std::unique_ptr<rd_kafka_mock_cluster_t, void (*)(rd_kafka_mock_cluster_t*)> cluster_;
};

struct Ended {
    Duration late{}; // of the last; negative if all were in time
    std::optional<Error> error;
};

/// Begins `count` sends and says how long after its deadline the last one ended.
Ended send_in_vain(asio::io_context& io, kafka::Producer& producer, int count) {
    const kafka::Record record{topic, std::nullopt, std::string(100, 'x')};
    Ended last{.late = -patience, .error = std::nullopt};
    int ended = 0;
    const SteadyTime time;
    const auto began = time.now();
    for (int i = 0; i < count; ++i)
        producer.async_send(record, [&](const Result<kafka::Delivery>& sent) {
            last.late = std::max(last.late, time.now() - began - patience);
            if (!sent) last.error = sent.error();
            ++ended;
        });
    io.restart();
    while (ended < count && io.run_one() > 0) continue;
    return last;
}

bool is_of(const Error& error, ErrorType type) {
    return error == type || (error.inner() != nullptr && *error.inner() == type);
}

/// `cause`: what the sends must end with, itself or inside, so that the row measures what it is called after; nothing
/// where that depends on something else.
void measure_lateness(
    benchmark::State& state, kafka::ProducerConfig config, std::optional<ErrorType> cause,
    const std::function<void()>& fail = [] {}) {
    asio::io_context io{1};
    config.delivery_timeout = patience;
    kafka::Producer producer{io.get_executor(), config};
    send_in_vain(io, producer, 1); // connects, if it can
    fail();
    Duration sum{};
    std::int64_t turns = 0;
    Ended ended;
    for (auto _ : state) {
        ended = send_in_vain(io, producer, sends_at_once);
        sum += std::max(Duration{}, ended.late);
        ++turns;
    }
    if (!ended.error || (cause && !is_of(*ended.error, *cause))) {
        std::ostringstream text;
        text << "the sends ended otherwise: ";
        if (ended.error) text << *ended.error;
        return state.SkipWithError(text.str().c_str());
    }
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(turns), 0);
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}, .iterations = suite.is_smoke() ? 1 : 5};
    const auto add = [&](const char* name, Suite::Function measure) {
        suite.add(std::string{"kafka/lateness_"} + name, std::move(measure), one);
    };
    add("refused",
        [](auto& state) { measure_lateness(state, {.bootstrap_servers = "127.0.0.1:1"}, ErrorType::network); });
    // Whether the resolver has said so by then is its own affair.
    add("unknown_host",
        [](auto& state) { measure_lateness(state, {.bootstrap_servers = "nowhere.invalid:9092"}, std::nullopt); });
    add("hung", [](auto& state) {
        kafka::MockCluster cluster{1};
        measure_lateness(state, {.bootstrap_servers = cluster.bootstrap_servers()}, ErrorType::outcome_unknown,
                         [&] { cluster.set_round_trip_time(60s); });
    });
    // Every answer comes, and comes too late for a record that has not waited for it before.
    add("slow", [](auto& state) {
        kafka::MockCluster cluster{1};
        measure_lateness(state, {.bootstrap_servers = cluster.bootstrap_servers()}, ErrorType::outcome_unknown,
                         [&] { cluster.set_round_trip_time(2 * patience); });
    });
    add("down", [](auto& state) {
        kafka::MockCluster cluster{1};
        measure_lateness(state, {.bootstrap_servers = cluster.bootstrap_servers()}, ErrorType::network,
                         [&] { cluster.all_brokers_down(); });
    });
    // One send has the room, and the others wait for their turn to the end.
    add("queue_full", [](auto& state) {
        kafka::MockCluster cluster{1};
        measure_lateness(state, {.bootstrap_servers = cluster.bootstrap_servers(), .max_in_flight = 1},
                         ErrorType::network, [&] { cluster.all_brokers_down(); });
    });
    add("wrong_password", [](auto& state) {
        const PasswordRefuser broker;
        measure_lateness(state,
                         {.bootstrap_servers = broker.address(),
                          .properties = {{"security.protocol", "SASL_PLAINTEXT"},
                                         {"sasl.mechanism", "PLAIN"},
                                         {"sasl.username", "alice"},
                                         {"sasl.password", "wrong"}}},
                         ErrorType::authentication);
    });
    // Brokers that know nothing of TLS.
    add("tls_failure", [](auto& state) {
        kafka::MockCluster cluster{1};
        measure_lateness(
            state, {.bootstrap_servers = cluster.bootstrap_servers(), .properties = {{"security.protocol", "SSL"}}},
            ErrorType::network);
    });
    // Within so short a time the client does not complain of either: the sends end with nothing known.
    add("unknown_topic", [](auto& state) {
        const BrokersWithoutTopic brokers{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART};
        measure_lateness(state, {.bootstrap_servers = brokers.bootstrap_servers()}, ErrorType::outcome_unknown);
    });
    add("no_acl", [](auto& state) {
        const BrokersWithoutTopic brokers{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED};
        measure_lateness(state, {.bootstrap_servers = brokers.bootstrap_servers()}, ErrorType::outcome_unknown);
    });
}

} // namespace velostream::bench
