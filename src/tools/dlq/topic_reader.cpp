// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/topic_reader.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "kafka/assigned_partition.hpp"
#include "kafka/client_conf.hpp"
#include "kafka/consumer_session.hpp"
#include "kafka/failure_cause.hpp"
#include "tools/dlq/blocking.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::dlq {

namespace {

using kafka::KafkaErrc, kafka::OffsetRange;

template <auto destroy>
struct Destroy {
    void operator()(auto* object) const noexcept { destroy(object); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;

int milliseconds_of(Duration duration) {
    const auto at_most = std::min<Duration>(duration, std::chrono::hours{1});
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(at_most).count());
}

void note_problem(rd_kafka_t*, int code, const char* text, void* cause) {
    static_cast<kafka::FailureCause*>(cause)->note(code, text);
}

/// A client that reads and is a member of no group, and what it complained of.
class TopicReader {
  public:
    explicit TopicReader(const Cluster& cluster, const std::string& group = {}) {
        kafka::ClientConf conf{cluster.brokers, "velostream-dlq"};
        conf.set("enable.partition.eof", "true");
        conf.set("auto.offset.reset", "earliest"); // what was deleted meanwhile is passed over
        conf.set("fetch.wait.max.ms", 100);
        conf.set(cluster.properties, {"enabled_events", "log.queue", "enable.partition.eof"});
        if (!group.empty()) conf.set("group.id", group);
        rd_kafka_conf_set_opaque(conf.get(), &cause_);
        rd_kafka_conf_set_error_cb(conf.get(), note_problem);
        client_.reset(conf.open(RD_KAFKA_CONSUMER));
    }

    rd_kafka_t* client() const noexcept { return client_.get(); }
    Error error(int code, const std::string& detail) const {
        if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
            if (const auto known = cause_.error()) return known->with_detail(detail);
        return Error{make_error_code(KafkaErrc{code}), detail};
    }

  private:
    kafka::FailureCause cause_;
    Client client_;
};

/// The partitions that are being read; their reading ends with this object.
class Reading {
  public:
    Reading(const TopicReader& reader, const std::string& topic)
        : topic_(rd_kafka_topic_new(reader.client(), topic.c_str(), nullptr)),
          queue_(rd_kafka_queue_new(reader.client())),
          name_(topic) {}
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading() {
        for (const auto& [number, partition] : started_) rd_kafka_consume_stop(topic_.get(), number);
    }

    bool start(const OffsetRange& range) {
        if (rd_kafka_consume_start_queue(topic_.get(), range.partition, range.first, queue_.get()) != 0) return false;
        started_[range.partition] = {
            std::make_shared<kafka::detail::AssignedPartition>(nullptr, name_, range.partition), range.end};
        return true;
    }
    rd_kafka_message_t* next() const {
        constexpr int look_up_ms = 100;
        return rd_kafka_consume_queue(queue_.get(), look_up_ms);
    }
    bool is_open(std::int32_t partition) const { return !finished_.contains(partition); }
    std::int64_t end(std::int32_t partition) const { return started_.at(partition).end; }
    const auto& partition(std::int32_t number) const { return started_.at(number).partition; }
    void finish(std::int32_t partition) { finished_[partition] = true; }
    bool is_finished() const { return finished_.size() == started_.size(); }

  private:
    struct Started {
        std::shared_ptr<kafka::detail::AssignedPartition> partition;
        std::int64_t end = 0;
    };

    Topic topic_;
    Queue queue_;
    std::string name_;
    std::map<std::int32_t, Started> started_;
    std::map<std::int32_t, bool> finished_;
};

/// False: enough.
Result<bool> handle(const TopicReader& reader, Reading& reading, rd_kafka_message_t* message,
                    const std::function<bool(const kafka::ConsumedRecord&)>& visit) {
    const auto number = message->partition;
    const auto code = message->err;
    if (code) {
        const std::string text = rd_kafka_message_errstr(message);
        rd_kafka_message_destroy(message);
        if (code != RD_KAFKA_RESP_ERR__PARTITION_EOF) return reader.error(code, text);
        reading.finish(number);
        return true;
    }
    const auto offset = message->offset;
    const kafka::ConsumedRecord record{message, reading.partition(number), 0};
    if (offset + 1 >= reading.end(number)) {
        if (!reading.is_open(number)) return true;
        reading.finish(number);
    }
    return offset >= reading.end(number) || visit(record);
}

} // namespace

kafka::Admin admin_of(const Cluster& cluster) {
    return kafka::Admin{
        {.bootstrap_servers = cluster.brokers, .client_id = "velostream-dlq", .properties = cluster.properties}};
}

Result<std::vector<OffsetRange>> ranges_of(const Cluster& cluster, const std::string& topic) {
    return wait_for(admin_of(cluster).offsets(topic, cluster.timeout));
}

Result<std::vector<OffsetRange>> ranges_since(const Cluster& cluster, const std::string& topic,
                                              std::vector<OffsetRange> ranges, WallTime since) {
    const TopicReader reader{cluster};
    const Partitions times{rd_kafka_topic_partition_list_new(static_cast<int>(ranges.size()))};
    for (const auto& range : ranges)
        rd_kafka_topic_partition_list_add(times.get(), topic.c_str(), range.partition)->offset =
            std::max<std::int64_t>(since.time_since_epoch().count(), 0); // less has another meaning to brokers
    const auto code = rd_kafka_offsets_for_times(reader.client(), times.get(), milliseconds_of(cluster.timeout));
    rd_kafka_poll(reader.client(), 0);
    if (code) return reader.error(code, "offsets of topic " + topic + " by time");
    for (auto& range : ranges) {
        const auto* const found = rd_kafka_topic_partition_list_find(times.get(), topic.c_str(), range.partition);
        if (found->err) return reader.error(found->err, "offsets of topic " + topic + " by time");
        range.first = found->offset < 0 ? range.end : std::clamp(found->offset, range.first, range.end);
    }
    return ranges;
}

Result<std::map<std::int32_t, std::int64_t>> committed_offsets(const Cluster& cluster, const std::string& topic,
                                                               const std::string& group,
                                                               std::span<const std::int32_t> partitions) {
    const TopicReader reader{cluster, group};
    const Partitions asked{rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size()))};
    for (const auto partition : partitions) rd_kafka_topic_partition_list_add(asked.get(), topic.c_str(), partition);
    const auto code = rd_kafka_committed(reader.client(), asked.get(), milliseconds_of(cluster.timeout));
    rd_kafka_poll(reader.client(), 0);
    if (code) return reader.error(code, "offsets of group " + group);
    std::map<std::int32_t, std::int64_t> committed;
    for (const auto partition : partitions) {
        const auto* const found = rd_kafka_topic_partition_list_find(asked.get(), topic.c_str(), partition);
        if (found->err) return reader.error(found->err, "offsets of group " + group);
        if (found->offset >= 0) committed[partition] = found->offset;
    }
    return committed;
}

Result<void> read_ranges(const Cluster& cluster, const std::string& topic, std::span<const OffsetRange> ranges,
                         const std::function<bool(const kafka::ConsumedRecord&)>& visit) {
    const SteadyTime time;
    const TopicReader reader{cluster};
    Reading reading{reader, topic};
    for (const auto& range : ranges)
        if (range.first < range.end && !reading.start(range))
            return reader.error(rd_kafka_last_error(), "partition " + std::to_string(range.partition));
    auto last = time.now();
    while (!reading.is_finished()) {
        auto* const message = reading.next();
        rd_kafka_poll(reader.client(), 0);
        if (message) {
            const auto goes_on = handle(reader, reading, message, visit);
            if (!goes_on) return goes_on.error();
            if (!*goes_on) return {};
            last = time.now();
        } else if (time.now() - last > cluster.timeout) {
            return reader.error(RD_KAFKA_RESP_ERR__TIMED_OUT,
                                "topic " + topic + ": nothing came for " + kafka::in_milliseconds(cluster.timeout));
        }
    }
    return {};
}

} // namespace velostream::dlq
