// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "velostream/kafka/record.hpp"

namespace velostream::kafka {

/// A dead letter as it lies in a topic: record `value` with that key, from `original_topic`, partition 1.
inline Record dead_letter(const std::string& topic, const std::string& original_topic, ByteString key,
                          ByteString value) {
    Record record{topic, std::move(key), std::move(value)};
    record.partition = 0;
    record.timestamp = WallTime{std::chrono::milliseconds{1'700'000'000'000}}; // 2023-11-14T22:13:20Z
    record.headers = {{"trace", "a"},
                      {"trace", std::nullopt},
                      {"__connect.errors.topic", original_topic},
                      {"__connect.errors.partition", "1"},
                      {"__connect.errors.offset", "42"},
                      {"__connect.errors.exception.message", "no quantity"},
                      {"x-dlq-version", "1"},
                      {"x-dlq-id", original_topic + "/1/42/" + record.value.value_or("null") + "/"},
                      {"x-dlq-error-type", "bad_request"},
                      {"x-dlq-fingerprint", "00000000000000ff"}};
    return record;
}

/// The names in their order, those of one name as often as they are there.
inline std::vector<std::string> names_of(const Headers& headers) {
    std::vector<std::string> names;
    for (const auto& header : headers) names.push_back(header.name);
    return names;
}

} // namespace velostream::kafka
