// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/dead_letter_topic.hpp"

#include <algorithm>
#include <boost/asio/deferred.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "exactly_once_core.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka {

NewTopic new_dead_letter_topic(const DeadLetterQueueConfig& config, int partitions) {
    // What brokers take by default of any other topic, and what the headers of a dead letter add to that.
    constexpr Bytes largest_record = 1'048'588, most_of_headers = Bytes{64} << 10;
    const auto most = std::max(config.max_record_size, largest_record + most_of_headers);
    const auto retention = std::chrono::ceil<std::chrono::milliseconds>(config.retention_period);
    NewTopic topic{config.topic, partitions};
    topic.config = {{"cleanup.policy", "delete"}, // the brokers' default may be to compact
                    {"max.message.bytes", std::to_string(most)},
                    {"message.timestamp.type", "CreateTime"},
                    {"retention.ms", std::to_string(retention.count())}};
    return topic;
}

asio::awaitable<Result<void>> ensure_dead_letter_topic(Admin admin, DeadLetterQueueConfig config,
                                                       std::shared_ptr<Observer> observer, int partitions,
                                                       Duration timeout) {
    const auto topic = new_dead_letter_topic(config, partitions);
    auto creating = admin.create_topics({topic}, timeout);
    auto created = co_await std::move(creating);
    if (created || created.error() != KafkaErrc::topic_already_exists) co_return created;

    auto comparing = admin.differences(topic, timeout);
    const auto found = co_await std::move(comparing);
    if (found && observer)
        for (const auto& [name, setting, wanted, actual] : *found)
            observer->on_dead_letter_topic_differs({name, setting, wanted, actual});
    co_return Result<void>{};
}

DeadLetterTopic::DeadLetterTopic(Producer& producer, std::optional<std::int32_t> partitions,
                                 DeadLetterPartitioning partitioning)
    : DeadLetterTopic(&producer, nullptr, partitions, partitioning) {}

DeadLetterTopic::DeadLetterTopic(ExactlyOnceProcessor& processor, std::optional<std::int32_t> partitions,
                                 DeadLetterPartitioning partitioning)
    : DeadLetterTopic(nullptr, &processor, partitions, partitioning) {}

DeadLetterTopic::DeadLetterTopic(Producer* producer, ExactlyOnceProcessor* processor,
                                 std::optional<std::int32_t> partitions, DeadLetterPartitioning partitioning)
    : producer_(producer), processor_(processor), partitions_(partitions), partitioning_(partitioning) {
    if (partitions && *partitions < 1)
        throw std::invalid_argument("partitions = " + std::to_string(*partitions) + ": must be >= 1");
}

asio::awaitable<Result<DeadLetterReceipt>> DeadLetterTopic::store(const DeadLetter& letter, CallContext& call) {
    const auto partition = dead_letter_partition(partitioning_, partitions_, letter.source_partition(), letter.key());
    const RecordView record{.topic = letter.topic(),
                            .partition = partition,
                            .key = letter.key(),
                            .value = letter.value(),
                            .headers = letter.headers(),
                            .timestamp = letter.timestamp(),
                            .timestamp_type = TimestampType::create_time};
    if (processor_ && !processor_->core_->is_writable())
        co_return Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__STATE}), "no transaction is open"};
    auto& producer = processor_ ? processor_->core_->producer() : *producer_->core_;
    auto sending = detail::initiate_send(producer, record, &call, asio::deferred);
    const auto sent = co_await std::move(sending);
    if (!sent) co_return sent.error();
    if (processor_) processor_->core_->note_letter(letter.id());
    co_return DeadLetterReceipt{.partition = sent->partition, .offset = sent->offset};
}

} // namespace velostream::kafka
