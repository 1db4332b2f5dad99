// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {

/// The topic that `config` describes, for `Admin::create_topics`, which leaves a topic that exists as it is. Dead
/// letters stay for `retention_period` from the time of dead-lettering, and none is compacted away.
NewTopic new_dead_letter_topic(const DeadLetterQueueConfig& config, int partitions = -1);

/// A `DeadLetterQueue`'s way to a Kafka topic: `DeadLetterQueue{config, kafka::DeadLetterTopic{producer}}`.
///
/// A dead letter is stored when the brokers have acknowledged it. With the number of the topic's partitions, it goes to
/// partition (source partition modulo that number), so that the order within a source partition stays, except for a
/// letter whose delivery failed and was made again. Otherwise, or if nobody knows the source partition, the producer
/// chooses by the key.
///
/// Threads:  as the producer: one at a time, on its executor. So must be the calls of the queue that holds it.
/// Lifetime: the producer must outlive it.
class DeadLetterTopic {
  public:
    /// Throws `std::invalid_argument` if `partitions` is given and < 1. They must be there: a letter for a partition
    /// that does not exist is not delivered.
    explicit DeadLetterTopic(Producer& producer, std::optional<std::int32_t> partitions = std::nullopt);

    /// Errors:       those of `Producer::send`.
    /// Cancellation: as of `Producer::send`, by the cancellation of the coroutine or by the call's slot.
    asio::awaitable<Result<DeadLetterReceipt>> store(const DeadLetter& letter, CallContext& call);

  private:
    Producer* producer_;
    std::optional<std::int32_t> partitions_;
};

static_assert(DeadLetterSink<DeadLetterTopic>);

} // namespace velostream::kafka
