// SPDX-License-Identifier: Apache-2.0
// Reads orders and asks a price service for each. The service is out for a while: no order fails, none becomes a dead
// letter, and none is skipped. Runs against an embedded Kafka cluster.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>

#include "velostream/circuit_breaker.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace asio = boost::asio;
namespace kafka = velostream::kafka;
using namespace std::chrono_literals;
using velostream::CircuitState, velostream::Errc, velostream::Error, velostream::Result;

class Pricing {
  public:
    static constexpr int orders = 200;

    Pricing(asio::any_io_executor executor, const std::string& brokers)
        : consumer_{executor, {.bootstrap_servers = brokers, .group_id = "pricing", .topics = {"orders"}}} {
        breaker_.on_state_change([](const velostream::CircuitStateChanged& change) {
            std::cout << "the price service's circuit is " << to_string(change.to) << '\n';
        });
    }

    asio::awaitable<Result<void>> run() {
        auto handler = [this](const kafka::ConsumedRecord&) { return price(); };
        const kafka::ForEachOptions options{.max_in_flight = 50, .gate = breaker_};
        const auto ended = co_await consumer_.for_each(options, handler);
        std::cout << consumer_.get_stats().done << " orders priced, " << asked_ << " questions asked\n";
        co_await consumer_.close();
        co_return ended;
    }

    asio::awaitable<Result<void>> price() {
        auto question = [this] { return ask_service(); };
        const auto answer = co_await breaker_.execute(question);
        if (answer && ++priced_ == orders) consumer_.stop();
        co_return answer; // a failure: the record is held until the circuit admits calls
    }

    asio::awaitable<Result<void>> ask_service() {
        const auto question = ++asked_;
        asio::steady_timer work{co_await asio::this_coro::executor, 1ms};
        co_await work.async_wait(asio::use_awaitable);
        if (question > 60 && question < 70) co_return Error{Errc::connect_failed}; // the outage
        co_return Result<void>{};
    }

  private:
    velostream::CircuitBreaker<> breaker_{"prices", {.failure_threshold = 5, .success_threshold = 3, .timeout = 50ms}};
    kafka::Consumer consumer_;
    int asked_ = 0;
    int priced_ = 0;
};

asio::awaitable<void> write_orders(asio::any_io_executor executor, std::string brokers) {
    kafka::Producer producer{executor, {.bootstrap_servers = std::move(brokers)}};
    for (int i = 0; i < Pricing::orders; ++i) {
        const kafka::Record order{"orders", "customer-" + std::to_string(i % 7), std::to_string(i)};
        co_await producer.send(order);
    }
    co_await producer.close();
}

int main() {
    asio::io_context io{1};
    kafka::MockCluster cluster{1};
    Pricing pricing{io.get_executor(), cluster.bootstrap_servers()};
    auto run = [&]() -> asio::awaitable<void> {
        co_await write_orders(io.get_executor(), cluster.bootstrap_servers());
        const auto ended = co_await pricing.run();
        if (!ended) std::cout << "ended with: " << ended.error() << '\n';
    };
    asio::co_spawn(io, run, [&](std::exception_ptr) { io.stop(); });
    io.run();
}
