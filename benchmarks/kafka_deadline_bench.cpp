// SPDX-License-Identifier: Apache-2.0
//
// How late a send that cannot be delivered is told so, in each way in which a cluster can fail. Each turn begins a
// hundred sends with 100 ms each; the row is the lateness of the one that heard of it last.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "support/suite.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 100ms;
constexpr int sends_at_once = 100;

/// Begins `count` sends and returns how long after its deadline the last one ended; negative if it was in time.
Duration lateness_of_the_last(asio::io_context& io, kafka::Producer& producer, int count) {
    const kafka::Record record{"late", std::nullopt, std::string(100, 'x')};
    Duration latest = -patience;
    int ended = 0;
    const SteadyTime time;
    const auto began = time.now();
    for (int i = 0; i < count; ++i)
        producer.async_send(record, [&](const Result<kafka::Delivery>&) {
            latest = std::max(latest, time.now() - began - patience);
            ++ended;
        });
    io.restart();
    while (ended < count && io.run_one() > 0) continue;
    return latest;
}

void measure_lateness(benchmark::State& state, const std::string& brokers, const std::function<void()>& fail) {
    asio::io_context io{1};
    kafka::Producer producer{io.get_executor(), {.bootstrap_servers = brokers, .delivery_timeout = patience}};
    lateness_of_the_last(io, producer, 1); // connects, if it can
    fail();
    Duration sum{};
    std::int64_t turns = 0;
    for (auto _ : state) {
        sum += std::max(Duration{}, lateness_of_the_last(io, producer, sends_at_once));
        ++turns;
    }
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(turns), 0);
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}, .iterations = suite.is_smoke() ? 1 : 5};
    const auto nothing = [] {};
    suite.add("kafka/lateness_refused", [=](auto& state) { measure_lateness(state, "127.0.0.1:1", nothing); }, one);
    suite.add(
        "kafka/lateness_unknown_host", [=](auto& state) { measure_lateness(state, "nowhere.invalid:9092", nothing); },
        one);
    suite.add(
        "kafka/lateness_hung",
        [](auto& state) {
            kafka::MockCluster cluster{1};
            measure_lateness(state, cluster.bootstrap_servers(), [&] { cluster.set_round_trip_time(60s); });
        },
        one);
    suite.add(
        "kafka/lateness_down",
        [](auto& state) {
            kafka::MockCluster cluster{1};
            measure_lateness(state, cluster.bootstrap_servers(), [&] { cluster.all_brokers_down(); });
        },
        one);
}

} // namespace velostream::bench
