// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/record.hpp"

namespace velostream::kafka {

namespace {

NullableBytes view_of(const ByteString& bytes) noexcept {
    if (!bytes) return std::nullopt;
    return std::string_view{*bytes};
}

} // namespace

RecordView record_view(const Record& record) noexcept {
    const auto header_at = [](const Headers& headers, std::size_t index) {
        return HeaderView{headers[index].name, view_of(headers[index].value)};
    };
    return {.topic = record.topic,
            .partition = record.partition.value_or(-1),
            .key = view_of(record.key),
            .value = view_of(record.value),
            .headers = {record.headers, record.headers.size(), header_at},
            .timestamp = record.timestamp,
            .timestamp_type = record.timestamp ? TimestampType::create_time : TimestampType::not_available};
}

} // namespace velostream::kafka
