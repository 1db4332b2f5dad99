// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {

using namespace std::chrono_literals;
using testing::InMemoryDeadLetters;
using testing::ManualTime;
using Receipt = Result<DeadLetterReceipt>;
using Queue = DeadLetterQueue<InMemoryDeadLetters, ManualTime>;

// Writes down what it is told.
struct DeadLetterObserver : Observer {
    void on_dead_letter_stored(const DeadLetterStored& event) noexcept override {
        events.push_back("stored in " + std::string{event.topic} + ": " + event.error.message());
    }
    void on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept override {
        events.push_back("delayed in " + std::string{event.topic} + " after " +
                         std::to_string(event.failed_deliveries) + ": " + event.delivery_error.message());
    }
    std::vector<std::string> events;
};

/// A queue whose sink and clock are what the test says.
class DeadLetterQueueTest : public ::testing::Test {
  protected:
    std::optional<Receipt>& send(Queue& to, Error why) {
        auto& result = results.emplace_back(std::make_unique<std::optional<Receipt>>());
        asio::co_spawn(io, to.send_to_dlq(record, std::move(why)),
                       [&slot = *result](std::exception_ptr, Receipt receipt) { slot = std::move(receipt); });
        run();
        return *result;
    }
    std::optional<Receipt>& send(Error why) { return send(queue, std::move(why)); }
    void run() {
        io.restart();
        io.poll();
    }

    ManualTime time;
    InMemoryDeadLetters sink;
    std::shared_ptr<DeadLetterObserver> observer = std::make_shared<DeadLetterObserver>();
    DeadLetterQueueConfig config{.topic = "bad-orders", .max_retries = 3, .retry_delay = 60s, .delivery_timeout = 5s};
    Queue queue{config, sink, {.application = "totals", .group = "billing", .observer = observer}, time};
    std::optional<Queue> never_in_time;
    RecordView record{.topic = "orders", .partition = 3, .offset = 41, .key = "17850", .value = "6 lamps"};
    Error bad_record{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity"};
    const std::string large = std::string(100'000, 'x');
    std::vector<std::unique_ptr<std::optional<Receipt>>> results;
    asio::io_context io; // goes first: the queue outlives its calls
};

} // namespace velostream
