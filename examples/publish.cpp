// SPDX-License-Identifier: Apache-2.0
// The main path of the library in one file: a send that is bounded in memory, tried again, kept from a sick broker, and
// never lost. Runs against an embedded Kafka cluster.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <iostream>
#include <string>

#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/velostream.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;
using velostream::ErrorType, velostream::idempotent, velostream::Result;

const velostream::StreamingConfig settings{
    .max_memory_mb = 256,
    .circuit_breaker = velostream::CircuitBreakerConfig{.failure_threshold = 5, .success_threshold = 3, .timeout = 60s},
    .retry_policy =
        velostream::RetryConfig{.max_retries = 3,
                                .backoff_strategy = velostream::ExponentialBackoff{.initial_delay = 100ms},
                                .retry_on = {ErrorType::network, ErrorType::timeout, ErrorType::service_unavailable}},
    .dead_letter_queue = velostream::DeadLetterQueueConfig{.topic = "failed-records"}};

class Publisher {
  public:
    Publisher(asio::any_io_executor executor, std::string brokers)
        : resources_{executor, settings}, producer_{executor, {.bootstrap_servers = std::move(brokers)}} {}

    asio::awaitable<Result<velostream::kafka::Delivery>> publish(const velostream::kafka::Record& record) {
        auto memory = resources_.allocate_memory("send_buffer", record.size_bytes());
        if (!memory) co_return memory.error();

        auto send = idempotent([&](velostream::CallContext& call) { return producer_.send(record, call); });
        const auto sent = co_await guarded_.execute(send);
        if (sent) co_return sent;

        auto error = sent.error();
        if (!error.blames_record()) co_return error; // a sick dependency: the caller holds the record and tries again

        const auto stored = co_await dead_letters_.send_to_dlq(record, error);
        if (!stored) co_return stored.error();
        co_return error;
    }

  private:
    velostream::ResourceManager<> resources_;
    velostream::CircuitBreaker<> breaker_{"orders-kafka", *settings.circuit_breaker};
    velostream::RetryExecutor<> retry_{*settings.retry_policy};
    velostream::kafka::Producer producer_;
    velostream::DeadLetterQueue<velostream::kafka::DeadLetterTopic> dead_letters_{
        *settings.dead_letter_queue, velostream::kafka::DeadLetterTopic{producer_}};
    velostream::Pipeline<velostream::RetryExecutor<>, velostream::CircuitBreaker<>> guarded_{retry_, breaker_};
};

int main() {
    asio::io_context io;
    velostream::kafka::MockCluster cluster{1};
    Publisher publisher{io.get_executor(), cluster.bootstrap_servers()};
    int exit_code = 1;
    auto run = [&]() -> asio::awaitable<void> {
        const velostream::kafka::Record record{"orders", "customer-1", "1 lantern"};
        const auto delivery = co_await publisher.publish(record);
        if (delivery)
            std::cout << "partition " << delivery->partition << ", offset " << delivery->offset << '\n';
        else
            std::cerr << delivery.error() << '\n';
        exit_code = delivery ? 0 : 1;
    };
    asio::co_spawn(io, run, [&](std::exception_ptr) { io.stop(); });
    io.run();
    return exit_code;
}
