// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream::kafka {

/// Any bytes, or null. Null and empty are different values: a null record value is a tombstone, an empty one is not.
using ByteString = std::optional<std::string>;

/// One header of a record. Names may repeat; order is kept.
struct Header {
    Header() = default;
    Header(std::string header_name, ByteString header_value)
        : name(std::move(header_name)), value(std::move(header_value)) {}

    std::string name;
    ByteString value;

    friend bool operator==(const Header&, const Header&) = default;
};

using Headers = std::vector<Header>;

/// What is written to a topic, byte for byte. Cheap to move.
struct Record {
    Record() = default;
    explicit Record(std::string record_topic) : topic(std::move(record_topic)) {}
    Record(std::string record_topic, ByteString record_key, ByteString record_value)
        : topic(std::move(record_topic)), key(std::move(record_key)), value(std::move(record_value)) {}

    std::string topic;
    /// Unset: chosen by the hash of the key, at random without a key.
    std::optional<std::int32_t> partition;
    ByteString key;
    ByteString value;
    Headers headers;
    /// Unset: the time of the send.
    std::optional<WallTime> timestamp;

    /// The bytes of key, value and headers, and a small allowance for each that the broker's format adds. What budgets
    /// are charged with.
    Bytes size_bytes() const noexcept {
        Bytes bytes = overhead + (key ? key->size() : 0) + (value ? value->size() : 0);
        for (const auto& header : headers)
            bytes += header_overhead + header.name.size() + (header.value ? header.value->size() : 0);
        return bytes;
    }

    friend bool operator==(const Record&, const Record&) = default;

    static constexpr Bytes overhead = 32;
    static constexpr Bytes header_overhead = 8;
};

/// The record as the dead letter queue sees it.
RecordView record_view(const Record& record) noexcept;

/// Where the broker put a record that it acknowledged.
struct Delivery {
    std::int32_t partition = -1;
    std::int64_t offset = -1;
    /// As stored; unset if the broker did not say.
    std::optional<WallTime> timestamp;

    friend bool operator==(const Delivery&, const Delivery&) = default;
};

} // namespace velostream::kafka
