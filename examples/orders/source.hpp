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

#include "accounting/figures.hpp"
#include "input/line_reader.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/kafka/producer.hpp"

namespace orders {

/// The header of an `orders` record with the number of its line: what makes a repeated record recognisable.
inline constexpr std::string_view line_number_header = "line";

/// What a line takes in its partition, at most: with its key, the record's own fields and header, and the header of a
/// batch of its own.
constexpr std::size_t bytes_in_topic(std::size_t line_bytes, std::size_t key_bytes) {
    constexpr std::size_t record_fields = 22, line_number = 29, batch_header = 61;
    return line_bytes + key_bytes + record_fields + line_number + batch_header;
}

/// Writes order lines to a topic, keyed by customer, and never runs further ahead of their consumer than the embedded
/// cluster keeps: 5 MiB a partition, older records are dropped without a word. All lines might have one key, and each
/// might be written twice, after a lost answer. Used on one executor.
///
/// Lines that are not acknowledged yet stay in its memory: up to `most_bytes`, where a longer line goes alone.
class Source {
  public:
    static constexpr std::size_t most_bytes_ahead = 5 * 1024 * 1024 / 2;

    /// Everything given must outlive this object; `copy` may be null.
    Source(LineReader& reader, velostream::kafka::Producer& producer, std::string topic, Figures& figures,
           velostream::Bytes most_bytes, std::ofstream* copy);

    /// Writes all lines and waits until every one is acknowledged. An error is the input's, or one of Kafka's that no
    /// waiting cures; that one names the line.
    asio::awaitable<velostream::Result<void>> run();

    /// Nobody takes up lines any more: ends `run` early, with this error and what was read not yet sent.
    void fail(velostream::Error error);

    /// Lines that were sent and are not acknowledged.
    std::size_t in_flight() const { return slots_.size() - free_.size(); }

    /// The consumer took up a line that takes this much in the topic.
    void on_consumed(std::size_t bytes);

  private:
    struct Slot {
        velostream::kafka::Record record;
        std::uint64_t line = 0;
        velostream::Bytes bytes = 0;
    };

    asio::awaitable<velostream::Result<void>> send_batch(const LineBatch& batch);
    asio::awaitable<velostream::Result<void>> wait_until_ready();
    Slot& free_slot();
    bool has_memory_for(velostream::Bytes bytes) const;
    bool has_room_for(std::size_t topic_bytes) const;
    bool is_ready() const;
    void wake_if_needed();
    asio::awaitable<void> send_failed_again();
    void send(Slot& slot);
    void finish(Slot& slot, const velostream::Result<velostream::kafka::Delivery>& sent);

    LineReader& reader_;
    velostream::kafka::Producer& producer_;
    const std::string topic_;
    Figures& figures_;
    const velostream::Bytes most_bytes_;
    std::ofstream* copy_;
    std::deque<Slot> slots_; // as many as were ever needed at once
    std::vector<Slot*> free_;
    velostream::Bytes bytes_ = 0;            // of the slots that are not free
    velostream::Bytes needed_ = 0;           // by the next line
    std::vector<Slot*> failed_;              // to be sent again, in no hurry
    std::optional<velostream::Error> fatal_; // why `run` must end
    std::size_t bytes_ahead_ = 0;            // sent, and not yet taken up by the consumer
    bool is_at_end_ = false;                 // all lines were sent
    bool is_waiting_ = false;                // run() waits until is_ready(), or for a failure
    velostream::WaitQueue changed_;          // the only waiter is run()
};

} // namespace orders
