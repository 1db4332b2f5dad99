// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "event_signal.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/consumer_config.hpp"

namespace velostream::kafka {

/// The client handle of a consumer, with its records and its events in two queues, so that rebalances are served while
/// nobody wants records. It is destroyed in the background, since that blocks.
class ConsumerSession {
  public:
    struct Position {
        std::string topic;
        std::int32_t partition;
        std::int64_t offset;
    };

    struct DestroyList {
        void operator()(rd_kafka_topic_partition_list_t* list) const noexcept {
            rd_kafka_topic_partition_list_destroy(list);
        }
    };
    using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, DestroyList>;
    static PartitionList list_of(std::span<const Position> positions);

    /// Subscribes. Throws as `ClientConf::open`.
    ConsumerSession(const ConsumerConfig& config, EventSignal& events, EventSignal& records);
    ConsumerSession(const ConsumerSession&) = delete;
    ConsumerSession& operator=(const ConsumerSession&) = delete;
    ~ConsumerSession();

    /// The next event that is not a record, or null. Also tells the client library that we are alive.
    rd_kafka_event_t* poll() noexcept { return rd_kafka_queue_poll(events_, 0); }

    /// Takes up to `into.size()` messages; each has to be destroyed.
    std::size_t take_messages(std::span<rd_kafka_message_t*> into) noexcept;

    /// Messages that wait to be taken.
    std::size_t queued() const noexcept { return rd_kafka_queue_length(records_); }
    /// How large they may be together before the client fetches no more.
    Bytes queue_limit() const noexcept { return queue_limit_; }

    /// The partition's records come to our queue from now on. Before it is assigned.
    void route(const char* topic, std::int32_t partition) noexcept;

    /// Answers to a rebalance event.
    void assign(const rd_kafka_topic_partition_list_t& partitions) noexcept;
    void unassign(const rd_kafka_topic_partition_list_t& partitions) noexcept;

    /// True if the partitions were taken away without asking: somebody else may have them already.
    bool is_assignment_lost() const noexcept { return rd_kafka_assignment_lost(client_) != 0; }

    /// Who we are in the group now; null if the group does not know us any more. Waits for the client's own thread.
    std::shared_ptr<const rd_kafka_consumer_group_metadata_t> membership() const;

    rd_kafka_t* client() const noexcept { return client_; }

    /// What the next commit commits.
    void store(std::span<const Position> positions);

    /// No wakes from now on.
    void disconnect() noexcept;

    /// Commits what is stored and leaves the group. Blocks for as long as that takes.
    void leave_group() noexcept { rd_kafka_consumer_close(client_); }

  private:
    bool is_cooperative() const noexcept;

    rd_kafka_t* client_ = nullptr;
    rd_kafka_queue_t* events_ = nullptr;
    rd_kafka_queue_t* records_ = nullptr;
    Bytes queue_limit_ = 0;
    std::optional<EventSignal::Connection> events_connection_;
    std::optional<EventSignal::Connection> records_connection_;
};

} // namespace velostream::kafka
