// SPDX-License-Identifier: Apache-2.0
// Reads orders, writes a bill for each, and makes dead letters of those that cannot be read: all in transactions, so
// that every order is billed once, whatever crashes. Runs against an embedded Kafka cluster.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <chrono>
#include <iostream>
#include <string>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/exactly_once.hpp"
#include "velostream/kafka/mock_cluster.hpp"

namespace asio = boost::asio;
namespace kafka = velostream::kafka;
using namespace std::chrono_literals;
using velostream::Error, velostream::Result;

Result<int> lanterns_in(const kafka::ConsumedRecord& order) {
    const auto text = order.value().value_or("");
    int count = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), count).ec != std::errc{})
        return Error{make_error_code(boost::system::errc::invalid_argument), "no number of lanterns"};
    return count;
}

class Billing {
  public:
    Billing(asio::any_io_executor executor, const std::string& brokers)
        : processor_{executor,
                     {.transactional_id = "billing-1", // of this instance; the same after a restart
                      .consumer = {.bootstrap_servers = brokers, .group_id = "billing", .topics = {"orders"}},
                      .commit_interval = 100ms}} {}

    asio::awaitable<Result<void>> run() {
        auto handler = [this](const kafka::ConsumedRecord& order, kafka::Transaction& transaction) {
            return handle(order, transaction);
        };
        const kafka::ForEachOptions options{.max_in_flight = 100};
        co_return co_await processor_.for_each(options, handler);
    }

    asio::awaitable<Result<void>> handle(const kafka::ConsumedRecord& order, kafka::Transaction& transaction) {
        const auto lanterns = lanterns_in(order);
        if (!lanterns) { // into a dead letter, in the same transaction
            const auto stored = co_await dead_letters_.send_to_dlq(order, lanterns.error());
            co_return stored ? Result<void>{} : stored.error();
        }
        const kafka::Record bill{"bills", std::string{order.key().value_or("")}, std::to_string(*lanterns * 3)};
        const auto sent = co_await transaction.send(bill);
        co_return sent ? Result<void>{} : sent.error(); // a failure aborts the transaction
    }

    kafka::ExactlyOnceProcessor& processor() noexcept { return processor_; }

  private:
    kafka::ExactlyOnceProcessor processor_;
    velostream::DeadLetterQueue<kafka::DeadLetterTopic> dead_letters_{{.topic = "unreadable-orders"},
                                                                      kafka::DeadLetterTopic{processor_}};
};

asio::awaitable<void> write_orders(asio::any_io_executor executor, std::string brokers) {
    kafka::Producer producer{executor, {.bootstrap_servers = std::move(brokers)}};
    for (const auto* lanterns : {"2", "many", "5"}) {
        const kafka::Record order{"orders", "customer-1", lanterns};
        co_await producer.send(order);
    }
    co_await producer.close();
}

int main() {
    asio::io_context io{1};
    kafka::MockCluster cluster{1};
    Billing billing{io.get_executor(), cluster.bootstrap_servers()};
    auto run = [&]() -> asio::awaitable<void> {
        co_await write_orders(io.get_executor(), cluster.bootstrap_servers());
        asio::co_spawn(io, billing.run(), asio::detached);
        asio::steady_timer look{io};
        while (billing.processor().get_stats().records < 3) {
            look.expires_after(10ms);
            co_await look.async_wait(asio::use_awaitable);
        }
        std::cout << billing.processor().get_stats().records << " orders in committed transactions\n";
        co_await billing.processor().close();
    };
    asio::co_spawn(io, run, [&](std::exception_ptr) { io.stop(); });
    io.run();
}
