// SPDX-License-Identifier: Apache-2.0
// Orders that cannot be stored wait for their next try in a topic of their own, and nobody waits for them. One that
// fails in every try becomes a dead letter. Runs against an embedded Kafka cluster.
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/kafka/retry_topics.hpp"

namespace asio = boost::asio;
namespace kafka = velostream::kafka;
using namespace std::chrono_literals;
using velostream::Errc, velostream::Error, velostream::Reprocess, velostream::Result;

class Database {
  public:
    asio::awaitable<Result<void>> store(const kafka::ConsumedRecord& order) {
        const std::string text{order.value().value_or("")};
        if (failures_[text]-- > 0) co_return Error{Errc::deadline_exceeded, "the database"};
        std::cout << "stored a " << text << '\n';
        co_return Result<void>{};
    }

  private:
    std::map<std::string, int> failures_{{"lamp", 1}, {"table", 9}}; // how often it is too slow for them
};

asio::awaitable<void> place_orders(asio::any_io_executor executor, std::string brokers) {
    kafka::Producer producer{executor, {.bootstrap_servers = std::move(brokers)}};
    for (const auto* text : {"lamp", "table", "clock"}) {
        const kafka::Record order{"orders", "Ann", text};
        const auto sent = co_await producer.send(order);
        if (!sent) std::cerr << sent.error() << '\n';
    }
}

class Warehouse {
  public:
    Warehouse(asio::io_context& io, const std::string& brokers)
        : source_{.bootstrap_servers = brokers, .group_id = "warehouse", .topics = {"orders"}, .fetch_wait = 5ms},
          producer_{io.get_executor(), {.bootstrap_servers = brokers}},
          consumer_{io.get_executor(), source_},
          timer_{io} {}

    asio::awaitable<void> run() {
        auto store = [&](const kafka::ConsumedRecord& order) { return database_.store(order); };
        const velostream::ReprocessConfig config{.mode = Reprocess::topic, .max_retries = 2, .retry_delay = 200ms};
        kafka::RetryTopics retries{producer_, source_, dead_letters_, config, store};

        // Beside it, the records of the retry topic, when they are due.
        asio::co_spawn(timer_.get_executor(), retries.run(), [&](const std::exception_ptr&, const Result<void>& ended) {
            if (!ended) std::cerr << ended.error() << '\n'; // a record is held: it comes again
            consumer_.stop();
        });
        asio::co_spawn(timer_.get_executor(), stop_after_dead_letter([&] { retries.stop(); }), asio::detached);

        auto handler = [&](const kafka::ConsumedRecord& order) { return retries.process(order); };
        const kafka::ForEachOptions options{.max_in_flight = 100};
        const auto ended = co_await consumer_.for_each(options, handler);
        if (!ended) std::cerr << ended.error() << '\n';
        co_await retries.close();
        co_await consumer_.close();
        const auto stats = retries.get_stats();
        std::cout << stats.published << " times to the retry topic, " << stats.dead_letters << " dead letter\n";
    }

  private:
    template <class Stop>
    asio::awaitable<void> stop_after_dead_letter(Stop stop) {
        while (dead_letters_.get_stats().sent == 0) {
            timer_.expires_after(10ms);
            co_await timer_.async_wait(asio::use_awaitable);
        }
        stop();
    }

    kafka::ConsumerConfig source_;
    kafka::Producer producer_;
    kafka::Consumer consumer_;
    velostream::DeadLetterQueue<kafka::DeadLetterTopic> dead_letters_{{.topic = "failed-orders"},
                                                                      kafka::DeadLetterTopic{producer_}};
    Database database_;
    asio::steady_timer timer_;
};

int main() {
    asio::io_context io{1};
    kafka::MockCluster cluster{1};
    for (const auto* topic : {"orders", "orders-retry-200"}) cluster.create_topic(topic, 1).value();
    Warehouse warehouse{io, cluster.bootstrap_servers()};
    auto run = [&]() -> asio::awaitable<void> {
        co_await place_orders(io.get_executor(), cluster.bootstrap_servers());
        co_await warehouse.run();
    };
    asio::co_spawn(io, run, [&](const std::exception_ptr&) { io.stop(); });
    io.run();
}
