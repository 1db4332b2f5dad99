// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "velostream/async/call_context.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/dead_letter_partition.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/exactly_once.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {

/// The topic that `config` describes, for `Admin::create_topics`, which leaves a topic that exists as it is. Dead
/// letters stay for `retention_period` from the time of dead-lettering, and none is compacted away. It takes letters of
/// `max_record_size`, and at least those of the largest record that brokers take by default with 64 KiB of headers:
/// 1 114 124 bytes.
NewTopic new_dead_letter_topic(const DeadLetterQueueConfig& config, int partitions = -1);

/// Sees to it that the topic of `config` is there: creates it, or leaves the one that exists as it is and tells
/// `observer` each setting of it that `config` and `partitions` would have made otherwise
/// (`on_dead_letter_topic_differs`). A topic that may not be looked at is taken as it is.
///
/// Errors:       those of `Admin::create_topics`, but that the topic exists.
/// Cancellation: all kinds, by an exception as usual in Asio.
asio::awaitable<Result<void>> ensure_dead_letter_topic(Admin admin, DeadLetterQueueConfig config,
                                                       std::shared_ptr<Observer> observer, int partitions = -1,
                                                       Duration timeout = std::chrono::seconds{30});

/// A `DeadLetterQueue`'s way to a Kafka topic: `DeadLetterQueue{config, kafka::DeadLetterTopic{producer}}`.
///
/// A dead letter is stored when the brokers have acknowledged it. With the number of the topic's partitions, it goes to
/// the one that `dead_letter_partition` says, by default (source partition modulo that number), so that the order
/// within a source partition stays, except for a letter whose delivery failed and was made again. Otherwise, or if
/// nobody knows the source partition, the producer chooses by the key.
///
/// With an `ExactlyOnceProcessor` in place of the producer dead letters are written in its transactions: a reader with
/// `read_committed` sees them when the transaction is committed, together with its outputs. "Stored" means then that
/// the letter is in the transaction, and nobody advances past the record before that is committed. Give the queue no
/// spool: what lies there is not in the transaction, and comes again when that is aborted.
///
/// Threads:  as the producer: one at a time, on its executor. So must be the calls of the queue that holds it.
/// Lifetime: the producer or processor must outlive it.
class DeadLetterTopic {
  public:
    /// Throws `std::invalid_argument` if `partitions` is given and < 1. They must be there: a letter for a partition
    /// that does not exist is not delivered.
    explicit DeadLetterTopic(Producer& producer, std::optional<std::int32_t> partitions = std::nullopt,
                             DeadLetterPartitioning partitioning = DeadLetterPartitioning::source);
    explicit DeadLetterTopic(ExactlyOnceProcessor& processor, std::optional<std::int32_t> partitions = std::nullopt,
                             DeadLetterPartitioning partitioning = DeadLetterPartitioning::source);

    /// Errors:       those of `Producer::send`. Of a processor: the client's "erroneous state" where none of its
    ///               handlers is in progress, or the transaction has failed already.
    /// Cancellation: as of `Producer::send`, by the cancellation of the coroutine or by the call's slot.
    asio::awaitable<Result<DeadLetterReceipt>> store(const DeadLetter& letter, CallContext& call);

    /// That of the producer or processor.
    asio::any_io_executor get_executor() const {
        return producer_ ? producer_->get_executor() : processor_->get_executor();
    }

  private:
    DeadLetterTopic(Producer* producer, ExactlyOnceProcessor* processor, std::optional<std::int32_t> partitions,
                    DeadLetterPartitioning partitioning);

    Producer* producer_;
    ExactlyOnceProcessor* processor_; // of the two one is null
    std::optional<std::int32_t> partitions_;
    DeadLetterPartitioning partitioning_;
};

static_assert(DeadLetterSink<DeadLetterTopic>);

} // namespace velostream::kafka
