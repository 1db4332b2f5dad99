// SPDX-License-Identifier: Apache-2.0
#include "consumer_session.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "async/background.hpp"
#include "client_conf.hpp"

namespace velostream::kafka {

namespace {

const char* to_property(OffsetReset reset) noexcept {
    switch (reset) {
        case OffsetReset::earliest:
            return "earliest";
        case OffsetReset::latest:
            return "latest";
        case OffsetReset::fail:
            return "error";
    }
    return "error";
}

constexpr Bytes kibibyte = 1024;
constexpr auto queue_property = "queued.max.messages.kbytes";

ClientConf conf_of(const ConsumerConfig& config) {
    using std::chrono::milliseconds;
    constexpr Bytes most_kibibytes = 2097151;
    ClientConf conf{config.bootstrap_servers, config.client_id};
    const auto at_least = [&conf](const char* field, Duration value, milliseconds least) {
        conf.check(value >= least, field, in_milliseconds(value), "must be ≥ " + in_milliseconds(least));
    };
    conf.check(!config.group_id.empty(), "group_id", "\"\"", "must not be empty");
    conf.check(!config.topics.empty(), "topics", "none", "must name at least one topic");
    conf.check(std::ranges::none_of(config.topics, &std::string::empty), "topics", "\"\"",
               "must not hold an empty name");
    at_least("session_timeout", config.session_timeout, milliseconds{10});
    at_least("commit_interval", config.commit_interval, milliseconds{10});
    at_least("fetch_wait", config.fetch_wait, milliseconds{1});
    const auto kibibytes = config.fetch_queue_bytes / kibibyte;
    conf.check(kibibytes >= 1 && kibibytes <= most_kibibytes, "fetch_queue_bytes",
               std::to_string(config.fetch_queue_bytes), "must be ≥ 1 KiB and < 2 GiB");
    if (!conf.problems().empty()) return conf;

    conf.set("group.id", config.group_id);
    conf.set("auto.offset.reset", to_property(config.offset_reset));
    conf.set("session.timeout.ms", config.session_timeout);
    conf.set("heartbeat.interval.ms", std::min<Duration>(config.session_timeout / 3, std::chrono::seconds{3}));
    conf.set("max.poll.interval.ms", std::max<Duration>(config.session_timeout, std::chrono::minutes{5}));
    conf.set("enable.auto.offset.store", "false"); // records are done when their handlers say so
    conf.set("enable.auto.commit", "true");
    conf.set("auto.commit.interval.ms", config.commit_interval);
    conf.set("enable.partition.eof", config.report_ends ? "true" : "false");
    conf.set("fetch.wait.max.ms", config.fetch_wait);
    // The bytes are the bound. With the default bound of 100 000 records a fast reader waits for half of its time: a
    // fetcher that found its queue full looks again only much later.
    conf.set("queued.min.messages", 1'000'000);
    conf.set(queue_property, static_cast<std::int64_t>(kibibytes));
    conf.set(config.properties, {"enable.auto.offset.store", "enable.auto.commit", "enabled_events", "log.queue"});
    rd_kafka_conf_set_events(conf.get(),
                             RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR);
    return conf;
}

// The properties may say something else than the field.
Bytes queue_limit_of(rd_kafka_t* client) noexcept {
    std::array<char, 32> text{};
    auto size = text.size();
    if (rd_kafka_conf_get(rd_kafka_conf(client), queue_property, text.data(), &size) != RD_KAFKA_CONF_OK) return 0;
    return kibibyte * std::strtoull(text.data(), nullptr, 10);
}

} // namespace

std::vector<ConfigProblem> validate(const ConsumerConfig& config) {
    return conf_of(config).problems();
}

ConsumerSession::ConsumerSession(const ConsumerConfig& config, EventSignal& events, EventSignal& records)
    : client_(conf_of(config).open(RD_KAFKA_CONSUMER)), queue_limit_(queue_limit_of(client_)) {
    rd_kafka_poll_set_consumer(client_); // events of the client itself come to the same queue
    events_ = rd_kafka_queue_get_consumer(client_);
    records_ = rd_kafka_queue_new(client_);
    events_connection_.emplace(events, events_);
    records_connection_.emplace(records, records_);

    const PartitionList topics{rd_kafka_topic_partition_list_new(static_cast<int>(config.topics.size()))};
    for (const auto& topic : config.topics)
        rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    const auto code = rd_kafka_subscribe(client_, topics.get());
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    disconnect();
    rd_kafka_queue_destroy(records_);
    rd_kafka_queue_destroy(events_);
    rd_kafka_destroy(client_);
    throw std::invalid_argument{std::string{"topics: "} + rd_kafka_err2str(code)};
}

ConsumerSession::~ConsumerSession() {
    disconnect();
    run_in_background([client = client_, events = events_, records = records_] {
        rd_kafka_queue_destroy(records);
        rd_kafka_queue_destroy(events);
        rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    });
}

void ConsumerSession::disconnect() noexcept {
    events_connection_.reset();
    records_connection_.reset();
}

std::size_t ConsumerSession::take_messages(std::span<rd_kafka_message_t*> into) noexcept {
    const auto count = rd_kafka_consume_batch_queue(records_, 0, into.data(), into.size());
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

void ConsumerSession::route(const char* topic, std::int32_t partition) noexcept {
    auto* const queue = rd_kafka_queue_get_partition(client_, topic, partition);
    if (!queue) return;
    rd_kafka_queue_forward(queue, records_);
    rd_kafka_queue_destroy(queue);
}

bool ConsumerSession::is_cooperative() const noexcept {
    const auto* const protocol = rd_kafka_rebalance_protocol(client_);
    return protocol && std::string_view{protocol} == "COOPERATIVE";
}

void ConsumerSession::assign(const rd_kafka_topic_partition_list_t& partitions) noexcept {
    if (!is_cooperative()) {
        rd_kafka_assign(client_, &partitions);
    } else if (auto* const error = rd_kafka_incremental_assign(client_, &partitions)) {
        rd_kafka_error_destroy(error);
    }
}

void ConsumerSession::unassign(const rd_kafka_topic_partition_list_t& partitions) noexcept {
    if (!is_cooperative()) {
        rd_kafka_assign(client_, nullptr);
    } else if (auto* const error = rd_kafka_incremental_unassign(client_, &partitions)) {
        rd_kafka_error_destroy(error);
    }
}

std::shared_ptr<const rd_kafka_consumer_group_metadata_t> ConsumerSession::membership() const {
    const std::unique_ptr<char, void (*)(char*)> name{rd_kafka_memberid(client_), [](char* id) {
                                                          if (id) rd_kafka_mem_free(nullptr, id);
                                                      }};
    // Without a name the brokers would take us for somebody who is in no group, and check nothing.
    if (!name || !*name) return nullptr;
    const auto destroy = [](rd_kafka_consumer_group_metadata_t* metadata) {
        if (metadata) rd_kafka_consumer_group_metadata_destroy(metadata);
    };
    return {rd_kafka_consumer_group_metadata(client_), destroy};
}

ConsumerSession::PartitionList ConsumerSession::list_of(std::span<const Position> positions) {
    PartitionList list{rd_kafka_topic_partition_list_new(static_cast<int>(positions.size()))};
    for (const auto& [topic, partition, offset] : positions)
        rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = offset;
    return list;
}

void ConsumerSession::store(std::span<const Position> positions) {
    if (positions.empty()) return;
    const auto list = list_of(positions);
    rd_kafka_offsets_store(client_, list.get()); // a partition that is being taken away is refused, and that is right
}

} // namespace velostream::kafka
