// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "figures.hpp"
#include "line_reader.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/kafka/producer.hpp"

namespace orders {

/// The header of an `orders` record with the number of its line: what makes a repeated record recognisable.
inline constexpr std::string_view line_number_header = "line";

/// Writes order lines to a topic, keyed by customer, and never runs further ahead of their consumer than the embedded
/// cluster keeps. Used on one executor.
class Source {
  public:
    /// Everything given must outlive this object; `copy` may be null.
    Source(LineReader& reader, velostream::kafka::Producer& producer, std::string topic, Figures& figures,
           std::ofstream* copy);

    /// Writes all lines and waits until every one is acknowledged. An error is the input's, or one of Kafka's that no
    /// waiting cures; that one names the line.
    asio::awaitable<velostream::Result<void>> run();

    /// Nobody takes up lines any more: ends `run` early, with what was read not yet sent.
    void stop();

    /// The consumer took up a line of this many bytes.
    void on_consumed(std::size_t bytes);

  private:
    struct Slot {
        velostream::kafka::Record record;
        std::uint64_t line = 0;
    };

    asio::awaitable<velostream::Result<void>> send_batch(const LineBatch& batch);
    asio::awaitable<velostream::Result<void>> wait_until(bool (Source::*ready)() const);
    bool has_room_for(std::size_t bytes) const;
    bool has_much_room() const;
    bool is_drained() const;
    void wake_if_ready();
    asio::awaitable<void> send_failed_again();
    void send(Slot& slot);
    void finish(Slot& slot, const velostream::Result<velostream::kafka::Delivery>& sent);

    LineReader& reader_;
    velostream::kafka::Producer& producer_;
    Figures& figures_;
    std::ofstream* copy_;
    std::deque<Slot> slots_;
    std::vector<Slot*> free_;
    std::vector<Slot*> failed_;                 // to be sent again, in no hurry
    std::optional<velostream::Error> fatal_;    // why `run` must end
    std::size_t bytes_ahead_ = 0;               // sent, and not yet taken up by the consumer
    bool (Source::*awaited_)() const = nullptr; // what run() waits for
    velostream::WaitQueue changed_;             // the only waiter is run()
};

} // namespace orders
