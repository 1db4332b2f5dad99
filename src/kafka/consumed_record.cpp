// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/consumed_record.hpp"

#include <librdkafka/rdkafka.h>

#include "assigned_partition.hpp"

namespace velostream::kafka {

namespace {

rd_kafka_message_t& message_of(void* message) noexcept {
    return *static_cast<rd_kafka_message_t*>(message);
}

NullableBytes view_of(const void* data, std::size_t size) noexcept {
    if (!data) return std::nullopt;
    return std::string_view{static_cast<const char*>(data), size};
}

HeaderView header_at(const rd_kafka_message_t& message, std::size_t index) {
    rd_kafka_headers_t* headers = nullptr;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    rd_kafka_header_get_all(headers, index, &name, &value, &size);
    return {name, view_of(value, size)};
}

std::optional<std::string> copy_of(const NullableBytes& bytes) {
    if (!bytes) return std::nullopt;
    return std::string{*bytes};
}

} // namespace

void ConsumedRecord::destroy() noexcept {
    rd_kafka_message_destroy(
        &message_of(message_)); // before the partition, which may hold the last reference to the client
    message_ = nullptr;
}

std::string_view ConsumedRecord::topic() const noexcept {
    return partition_->topic;
}
std::int32_t ConsumedRecord::partition() const noexcept {
    return partition_->partition;
}
std::int64_t ConsumedRecord::offset() const noexcept {
    return message_of(message_).offset;
}

std::optional<WallTime> ConsumedRecord::timestamp() const noexcept {
    auto type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const auto milliseconds = rd_kafka_message_timestamp(&message_of(message_), &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) return std::nullopt;
    return WallTime{std::chrono::milliseconds{milliseconds}};
}

TimestampType ConsumedRecord::timestamp_type() const noexcept {
    auto type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    rd_kafka_message_timestamp(&message_of(message_), &type);
    switch (type) {
        case RD_KAFKA_TIMESTAMP_CREATE_TIME:
            return TimestampType::create_time;
        case RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
            return TimestampType::log_append_time;
        default:
            return TimestampType::not_available;
    }
}

NullableBytes ConsumedRecord::key() const noexcept {
    const auto& message = message_of(message_);
    return view_of(message.key, message.key_len);
}
NullableBytes ConsumedRecord::value() const noexcept {
    const auto& message = message_of(message_);
    return view_of(message.payload, message.len);
}

HeadersView ConsumedRecord::headers() const noexcept {
    const auto& message = message_of(message_);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    const auto at = [](const rd_kafka_message_t& from, std::size_t index) { return header_at(from, index); };
    return {message, rd_kafka_header_cnt(headers), at};
}

Bytes ConsumedRecord::size_bytes() const noexcept {
    const auto& message = message_of(message_);
    Bytes bytes = Record::overhead + message.key_len + message.len;
    for (const auto header : headers())
        bytes += Record::header_overhead + header.name.size() + (header.value ? header.value->size() : 0);
    return bytes;
}

Record ConsumedRecord::to_record() const {
    Record record{std::string{topic()}, copy_of(key()), copy_of(value())};
    record.partition = partition();
    record.timestamp = timestamp();
    const auto from = headers();
    record.headers.reserve(from.size());
    for (const auto header : from) record.headers.emplace_back(std::string{header.name}, copy_of(header.value));
    return record;
}

RecordView record_view(const ConsumedRecord& record) noexcept {
    return {.topic = record.topic(),
            .partition = record.partition(),
            .offset = record.offset(),
            .key = record.key(),
            .value = record.value(),
            .headers = record.headers(),
            .timestamp = record.timestamp(),
            .timestamp_type = record.timestamp_type()};
}

} // namespace velostream::kafka
