// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "support/modelled_disk.hpp"
#include "support/temporary_folder.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {

using namespace std::chrono_literals;
using testing::InMemoryDeadLetters;
using testing::ManualTime;
using testing::ModelledDisk;
using Receipt = Result<DeadLetterReceipt>;
using Queue = DeadLetterQueue<InMemoryDeadLetters, ManualTime>;

struct SpoolObserver : Observer {
    void on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept override {
        events.push_back("spooled, " + std::to_string(event.waiting) + " there");
    }
    void on_dead_letters_stuck(const DeadLettersStuck& event) noexcept override {
        events.push_back(std::to_string(event.waiting) + " stuck after " + std::to_string(event.failed_deliveries));
    }
    void on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept override {
        delayed.push_back(event.failed_deliveries);
    }
    std::vector<std::string> events;
    std::vector<std::uint32_t> delayed;
};

/// A queue with a spool whose disk, sink and clock are what the test says.
class DeadLetterSpoolTest : public ::testing::Test {
  protected:
    void begin() {
        auto log = SpoolLog::open(disk.folder(), limits);
        ASSERT_TRUE(log) << log.error();
        queue.emplace(config, sink, Spool{std::move(*log), io.get_executor()},
                      DeadLetterQueueOptions{.observer = observer, .account = account, .executor = io.get_executor()},
                      time);
        run();
    }
    // As when the process ends and another one begins. What is on its way goes with the context.
    void begin_again() {
        queue.reset();
        run();
        begin();
    }
    std::optional<Receipt>& send(std::string value, asio::cancellation_slot slot = {}) {
        auto& record = *records.emplace_back(std::make_unique<std::string>(std::move(value)));
        auto& result = *results.emplace_back(std::make_unique<std::optional<Receipt>>());
        const RecordView view{.topic = "orders", .partition = 3, .offset = offset++, .key = "17850", .value = record};
        asio::co_spawn(io, queue->send_to_dlq(RecordView{view}, bad_record),
                       asio::bind_cancellation_slot(
                           slot, [&result](std::exception_ptr, Receipt receipt) { result = std::move(receipt); }));
        run();
        return result;
    }
    void run() {
        io.restart();
        io.poll();
    }
    void pass(Duration by) {
        time.advance(by);
        run();
    }
    std::vector<std::string> arrived() const {
        std::vector<std::string> values;
        for (const auto& letter : sink.letters()) values.push_back(letter.value.value_or("null"));
        return values;
    }
    std::uint64_t in_spool() const { return queue->get_stats().spool.waiting; }

    using Texts = std::vector<std::string>;

    ModelledDisk disk;
    SpoolLimits limits{.segment_size = 4096, .max_size = 100'000, .min_free_disk = 0};
    ManualTime time;
    InMemoryDeadLetters sink;
    std::shared_ptr<SpoolObserver> observer = std::make_shared<SpoolObserver>();
    MemoryAccount account{"dead letters"};
    DeadLetterQueueConfig config{.topic = "bad-orders", .max_retries = 3, .retry_delay = 60s, .delivery_timeout = 5s};
    const Error bad_record{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity"};
    const Error unreachable{boost::system::errc::make_error_code(boost::system::errc::connection_refused), "broker"};
    std::vector<std::unique_ptr<std::string>> records;
    std::vector<std::unique_ptr<std::optional<Receipt>>> results;
    std::int64_t offset = 0;
    std::optional<Queue> queue;
    asio::io_context io; // goes first: the queue outlives its calls
};

} // namespace velostream
