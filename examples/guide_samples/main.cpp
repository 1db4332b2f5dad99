// SPDX-License-Identifier: Apache-2.0
// Every sample of the Resource Management & Circuit Breakers guide that is not SQL, in the guide's order and words, as
// a program that runs: against a scripted database and an embedded Kafka cluster.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <iostream>

#include "samples.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/mock_cluster.hpp"

namespace guide {

using namespace velostream;

asio::awaitable<void> resource_management(asio::any_io_executor executor) {
    allocation_tracking(executor, core_components()).value();
    const Database database;
    const auto connected = co_await database_connections(executor, database);
    connected.value();
    throw_if_any(validate(kafka_connection_management()));
}

asio::awaitable<void> circuit_breakers() {
    const auto circuit_config = *circuit_breaker_configuration().circuit_breaker;
    co_await programming_api(circuit_config);
}

asio::awaitable<void> retry_logic(kafka::Producer& kafka_producer, const kafka::Record& record) {
    for (const auto& retry_config : {exponential_backoff(), fixed_interval(), linear_backoff()}) {
        const auto sent = co_await retry_implementation(retry_config, kafka_producer, record);
        sent.value();
    }
}

asio::awaitable<void> dead_letters(kafka::Producer& kafka_producer, const kafka::Record& record) {
    DeadLetterQueue dead_letter_queue{dead_letter_queue_configuration(), kafka::DeadLetterTopic{kafka_producer}};
    const kafka::Record poison{"orders", "customer-2", kafka::ByteString{}};
    for (const auto& each : {record, poison}) {
        const auto routed = co_await dead_letter_queue_usage(dead_letter_queue, each);
        routed.value();
    }
    std::cout << "dead letters: " << dead_letter_queue.get_stats().sent << '\n';
}

asio::awaitable<void> monitoring_and_alerts(asio::any_io_executor executor) {
    const Database database;
    ResourceManager resource_manager{executor, core_components(), database};
    const auto allocation = resource_manager.allocate_memory("window_buffer", 1_MiB);
    const auto conn = co_await resource_manager.get_connection();
    resource_metrics(resource_manager);

    const CircuitBreaker circuit_breaker{*circuit_breaker_configuration().circuit_breaker};
    circuit_breaker_metrics(circuit_breaker);
}

void configurations() {
    for (const auto& each : {high_availability_setup(), development_configuration(), debug_configuration()})
        throw_if_any(validate(each));
}

asio::awaitable<void> run_samples(asio::any_io_executor executor) {
    co_await resource_management(executor);
    co_await circuit_breakers();

    const kafka::MockCluster cluster{1};
    const kafka::ProducerConfig producer_config{.bootstrap_servers = cluster.bootstrap_servers()};
    kafka::Producer kafka_producer{executor, producer_config};
    const kafka::Record record{"orders", "customer-1", "1 lantern"};
    co_await retry_logic(kafka_producer, record);
    co_await dead_letters(kafka_producer, record);

    co_await monitoring_and_alerts(executor);
    configurations();
}

} // namespace guide

int main() {
    boost::asio::io_context io;
    std::exception_ptr failure;
    boost::asio::co_spawn(io, guide::run_samples(io.get_executor()),
                          [&](std::exception_ptr thrown) { failure = thrown; });
    io.run();
    if (!failure) return 0;
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& exception) {
        std::cerr << "guide_samples: " << exception.what() << '\n';
    }
    return 1;
}
