// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/error.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream {

namespace asio = boost::asio;

} // namespace velostream

namespace velostream::kafka {

/// A topic to be created.
struct NewTopic {
    explicit NewTopic(std::string topic_name, int partition_count = -1)
        : name(std::move(topic_name)), partitions(partition_count) {}

    std::string name;
    /// -1: what the brokers do by default.
    int partitions;
    /// Copies of each partition. -1: what the brokers do by default.
    int replication = -1;
    /// Topic settings by name, such as `retention.ms`.
    std::map<std::string, std::string> config;
};

/// Where a topic is not as a `NewTopic` would have made it.
struct TopicDifference {
    std::string topic;
    std::string setting; ///< such as `retention.ms`, or `partitions`
    std::string wanted, actual;
};

/// What a partition holds.
struct OffsetRange {
    std::int32_t partition = 0;
    std::int64_t first = 0; ///< of the oldest record that is still there
    std::int64_t end = 0;   ///< after the newest one that consumers may see; equal to `first` if there is none
};

/// A place in a partition: before the record with this offset.
struct PartitionOffset {
    std::int32_t partition = 0;
    std::int64_t offset = 0;
};

struct AdminConfig {
    /// `host:port`, comma-separated. Must not be empty.
    std::string bootstrap_servers = {};
    /// The name that brokers see in their logs and quotas.
    std::string client_id = "velostream";
    /// Anything else that the client library can be told.
    Properties properties = {};
};

/// Creates and deletes topics, looks at them, and deletes records. Each call connects anew, works on a thread of its
/// own, and leaves nothing open. A call that is cancelled or dropped lets go of its thread within moments, and a
/// program that ends does not wait for it.
///
/// Threads:  safe to share.
/// Lifetime: may be destroyed while calls are in progress.
class Admin {
  public:
    /// Throws `std::invalid_argument` that lists every problem of `config`.
    explicit Admin(AdminConfig config);

    /// Creates all of them, from the moment of the call, and waits until the cluster has.
    ///
    /// Errors:       KafkaErrc::topic_already_exists if a topic exists (it is left as it is) and nothing worse
    ///               happened; otherwise the code of the first topic that failed. The detail names every one. The other
    ///               topics are created all the same.
    ///               No answer within `timeout`: Errc::broker_unreachable or an authentication error where the client
    ///               knows the cause, else a timeout.
    /// Cancellation: all kinds, by an exception as usual in Asio; the brokers may do it all the same.
    asio::awaitable<Result<void>> create_topics(std::vector<NewTopic> topics,
                                                Duration timeout = std::chrono::seconds{30}) const;

    /// In what `topic` differs from the one that there is: its number of partitions, where that is not -1, and the
    /// settings that its `config` names, as text. None if it is as it should be.
    ///
    /// Errors:       KafkaErrc::unknown_topic_or_partition; KafkaErrc::topic_authorization_failed where one may not
    ///               look. No answer, also of brokers that have no such question: as `create_topics`.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<std::vector<TopicDifference>>> differences(NewTopic topic,
                                                                      Duration timeout = std::chrono::seconds{
                                                                          30}) const;

    /// Deletes all of them.
    ///
    /// Errors, cancellation: as `create_topics`; KafkaErrc::unknown_topic_or_partition if one did not exist.
    asio::awaitable<Result<void>> delete_topics(std::vector<std::string> names,
                                                Duration timeout = std::chrono::seconds{30}) const;

    /// What the partitions of `topic` hold, in their order, as their leaders say now. A topic that is not there is not
    /// created by asking, whatever the brokers do for producers.
    ///
    /// Errors:       KafkaErrc::unknown_topic_or_partition; a timeout if a leader does not answer within `timeout`, or
    ///               at once an error of the network if none can be reached.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<std::vector<OffsetRange>>> offsets(std::string topic,
                                                              Duration timeout = std::chrono::seconds{30}) const;

    /// How many partitions `topic` has. Asks for no leader, so it knows a topic that was made just now.
    ///
    /// Errors:       KafkaErrc::unknown_topic_or_partition; a timeout if nobody answers within `timeout`, or at once an
    ///               error of the network if nobody can be reached.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<int>> partitions(std::string topic, Duration timeout = std::chrono::seconds{30}) const;

    /// Success as soon as a broker has answered.
    ///
    /// Errors:       within `timeout` none has: Errc::broker_unreachable or an authentication error where the client
    ///               knows the cause, else a timeout.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<void>> reach(Duration timeout = std::chrono::seconds{10}) const;

    /// Deletes what lies before these places in partitions of `topic`, at most one for each partition. What lies there
    /// is gone for every reader when this has ended; the brokers give back the disk later. A place before the oldest
    /// record deletes nothing; nor does a call without places.
    ///
    /// Errors:       the code of the first partition that failed, such as KafkaErrc::unknown_topic_or_partition or
    ///               `OFFSET_OUT_OF_RANGE` (1) for a place behind the newest record. The detail names every one. The
    ///               other partitions' records are deleted all the same. No answer: as `create_topics`.
    /// Cancellation: as of `create_topics`.
    asio::awaitable<Result<void>> delete_records(std::string topic, std::vector<PartitionOffset> before,
                                                 Duration timeout = std::chrono::seconds{30}) const;

  private:
    AdminConfig config_;
};

} // namespace velostream::kafka
