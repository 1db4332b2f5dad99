// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/dead_letter_topic.hpp"

#include <stdexcept>
#include <string>

namespace velostream::kafka {

namespace {

ByteString copied(const NullableBytes& bytes) {
    return bytes ? ByteString{*bytes} : std::nullopt;
}

Record record_of(const DeadLetter& letter, std::optional<std::int32_t> partitions) {
    Record record{std::string{letter.topic()}, copied(letter.key()), copied(letter.value())};
    if (partitions && letter.source_partition() >= 0) record.partition = letter.source_partition() % *partitions;
    record.timestamp = letter.timestamp();
    record.headers.reserve(letter.headers().size());
    for (const auto& [name, value] : letter.headers()) record.headers.emplace_back(std::string{name}, copied(value));
    return record;
}

} // namespace

DeadLetterTopic::DeadLetterTopic(Producer& producer, std::optional<std::int32_t> partitions)
    : producer_(&producer), partitions_(partitions) {
    if (partitions && *partitions < 1)
        throw std::invalid_argument("partitions = " + std::to_string(*partitions) + ": must be >= 1");
}

asio::awaitable<Result<DeadLetterReceipt>> DeadLetterTopic::store(const DeadLetter& letter, CallContext& call) {
    const auto record = record_of(letter, partitions_);
    const auto sent = co_await producer_->send(record, call);
    if (!sent) co_return sent.error();
    co_return DeadLetterReceipt{.partition = sent->partition, .offset = sent->offset};
}

} // namespace velostream::kafka
