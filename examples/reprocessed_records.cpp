// SPDX-License-Identifier: Apache-2.0
// Records that fail are tried again before they become dead letters. Meanwhile those of their customer wait, in their
// order, and everybody else's go on.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/record_processor.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;
using velostream::Errc, velostream::Error, velostream::Result;

struct Order {
    std::string customer, text;
    int failures; // how often the database is too slow for it
};

velostream::RecordView record_view(const Order& order) {
    return {.topic = "orders", .partition = 0, .key = order.customer, .value = order.text};
}

class Database {
  public:
    asio::awaitable<Result<void>> store(Order& order) {
        if (order.failures-- > 0) co_return Error{Errc::deadline_exceeded, "the database"};
        std::cout << "stored " << order.customer << "'s " << order.text << '\n';
        co_return Result<void>{};
    }
};

int main() {
    asio::io_context io;
    velostream::kafka::MockCluster cluster{1};
    velostream::kafka::Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    velostream::DeadLetterQueue dead_letters{velostream::DeadLetterQueueConfig{.topic = "failed-orders"},
                                             velostream::kafka::DeadLetterTopic{producer}};
    velostream::RecordProcessor processor{dead_letters, {.mode = velostream::Reprocess::parked, .retry_delay = 200ms}};

    Database database;
    std::vector<Order> orders{{"Ann", "lamp", 1}, {"Ann", "chair", 0}, {"Bob", "clock", 0}, {"Cid", "table", 9}};
    int held = 0;
    for (auto& order : orders) {
        auto operation = [&database, &order] { return database.store(order); };
        asio::co_spawn(io, processor.process(order, operation), [&](std::exception_ptr failed, auto done) {
            if (failed) std::rethrow_exception(failed);
            if (!done)
                ++held; // neither processed nor safe: hold it
            else if (done->dead_letter)
                std::cout << "dead letter: " << order.customer << "'s " << order.text << '\n';
        });
    }
    io.run();
    return held;
}
