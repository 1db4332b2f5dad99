// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/dead_letter_topic.hpp"

#include <boost/asio/deferred.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "velostream/core/record_view.hpp"

namespace velostream::kafka {

NewTopic new_dead_letter_topic(const DeadLetterQueueConfig& config, int partitions) {
    const auto retention = std::chrono::ceil<std::chrono::milliseconds>(config.retention_period);
    NewTopic topic{config.topic, partitions};
    topic.config = {{"cleanup.policy", "delete"}, // the brokers' default may be to compact
                    {"message.timestamp.type", "CreateTime"},
                    {"retention.ms", std::to_string(retention.count())}};
    return topic;
}

DeadLetterTopic::DeadLetterTopic(Producer& producer, std::optional<std::int32_t> partitions)
    : producer_(&producer), partitions_(partitions) {
    if (partitions && *partitions < 1)
        throw std::invalid_argument("partitions = " + std::to_string(*partitions) + ": must be >= 1");
}

asio::awaitable<Result<DeadLetterReceipt>> DeadLetterTopic::store(const DeadLetter& letter, CallContext& call) {
    const bool has_partition = partitions_ && letter.source_partition() >= 0;
    const RecordView record{.topic = letter.topic(),
                            .partition = has_partition ? letter.source_partition() % *partitions_ : -1,
                            .key = letter.key(),
                            .value = letter.value(),
                            .headers = letter.headers(),
                            .timestamp = letter.timestamp(),
                            .timestamp_type = TimestampType::create_time};
    auto sending = producer_->async_send(record, call, asio::deferred);
    const auto sent = co_await std::move(sending);
    if (!sent) co_return sent.error();
    co_return DeadLetterReceipt{.partition = sent->partition, .offset = sent->offset};
}

} // namespace velostream::kafka
