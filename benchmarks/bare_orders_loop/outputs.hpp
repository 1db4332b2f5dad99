// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "orders/order_lines.hpp"

/// What the loop writes: byte for byte what the main job writes.
namespace velostream::bare {

/// An order line, with its number as a header. An empty key is sent as none. As everything here it copies what it is
/// given, and while librdkafka's queue is full it serves the producer's callbacks and tries again.
void send_order(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string_view key, std::string_view line,
                std::int64_t number);

/// The new total of a customer.
void send_total(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string_view customer, std::int64_t lines,
                std::int64_t thousandths);

/// Bad lines, with the headers that say why.
class DeadLetters {
  public:
    DeadLetters(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string source_topic, std::string group)
        : producer_(producer), topic_(topic), source_topic_(std::move(source_topic)), group_(std::move(group)) {}

    /// Takes the headers of `message`.
    void send_line(rd_kafka_message_t& message, const Order& order);

  private:
    rd_kafka_t* producer_;
    rd_kafka_topic_t* topic_;
    std::string source_topic_;
    std::string group_;
    std::string reason_; // kept for its memory
};

} // namespace velostream::bare
