// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "accounting/figures.hpp"
#include "accounting/line_ledger.hpp"
#include "accounting/loss_watch.hpp"
#include "customer_totals.hpp"
#include "input/line_reader.hpp"
#include "lookup/segments.hpp"
#include "program/cluster.hpp"
#include "program/options.hpp"
#include "source.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/velostream.hpp"

namespace orders {

/// The stream processor: order lines in, a total per customer out, what cannot be processed to the dead letters.
class Job {
  public:
    /// `cluster` must outlive the job; `copy` may be null; `longest_pause` is that of its `LossWatch`. Throws
    /// `std::invalid_argument` on an unusable configuration.
    Job(asio::io_context& io, const Options& options, Cluster& cluster, std::unique_ptr<Lines> lines,
        const OutageLines& outages, std::ofstream* copy, velostream::Duration longest_pause = LossWatch::longest_pause);

    /// Runs until every line of the input is processed and every total is acknowledged.
    asio::awaitable<velostream::Result<void>> run();

    /// Ends the input early; what was read is still finished.
    void interrupt();
    /// Ends `run` soon, with what was read unfinished: no more waiting for brokers.
    void give_up();

    /// What was counted so far. Threads: the io thread only.
    const Figures& figures();
    /// The same, with the top customers and segments of this moment and the outages that never came.
    Figures final_figures();
    /// How much of the input is done, 0 to 1; nothing where its length is unknown.
    std::optional<double> progress() const;

  private:
    asio::awaitable<velostream::Result<void>> everything_taken_up(
        const std::optional<velostream::Result<void>>& consumed);
    asio::awaitable<void> watch_for_lost_lines();
    asio::awaitable<velostream::Result<void>> process(const velostream::kafka::ConsumedRecord& record);
    asio::awaitable<velostream::Result<void>> look_up_and_add(const velostream::kafka::ConsumedRecord& record,
                                                              Order order, std::uint64_t line);
    asio::awaitable<velostream::Result<void>> add(const velostream::kafka::ConsumedRecord& record, const Order& order,
                                                  std::optional<std::string_view> segment, std::uint64_t line);
    asio::awaitable<velostream::Result<void>> publish(const CustomerTotals::Entry& entry, std::uint64_t line);
    asio::awaitable<velostream::Result<void>> bury(const velostream::kafka::ConsumedRecord& record,
                                                   velostream::Error error);
    void begin_outages_if_due();
    bool is_due(std::optional<std::uint64_t>& line) const;
    velostream::MemoryAccount records_account() const;

    asio::io_context& io_;
    Options options_;
    Cluster& cluster_;
    OutageLines outages_;
    const velostream::Duration longest_pause_;
    velostream::StreamingConfig config_;
    Figures figures_;
    std::shared_ptr<GuardEvents> events_;

    velostream::ResourceManager<> resources_;
    velostream::MemoryReservation lines_ahead_; // what reader_ and source_ may hold
    velostream::MemoryReservation connections_; // what segments_ holds
    std::unique_ptr<Segments> segments_;        // null where none are looked up
    velostream::CircuitBreaker<> breaker_;
    velostream::RetryExecutor<> retry_;
    velostream::Pipeline<velostream::RetryExecutor<>, velostream::CircuitBreaker<>> guarded_{retry_, breaker_};
    velostream::kafka::Producer orders_out_, totals_out_, dead_letters_out_;
    velostream::DeadLetterQueue<velostream::kafka::DeadLetterTopic> dead_letters_;
    velostream::kafka::Consumer orders_in_;

    CustomerTotals totals_;
    LineLedger ledger_;
    LineReader reader_;
    Source source_;
    asio::steady_timer look_;               // of watch_for_lost_lines()
    bool is_watching_ = true;               // it has not ended
    std::optional<velostream::Error> lost_; // what it found
    velostream::WaitQueue changed_;         // the only waiter is run()
    asio::cancellation_signal giving_up_;   // ends the handlers in progress
};

} // namespace orders
