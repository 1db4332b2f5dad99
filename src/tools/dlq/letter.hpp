// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "velostream/core/record_view.hpp"

namespace velostream::dlq {

/// Where a letter lies: partition and offset in a topic; in a spool, 0 and its number there.
struct Place {
    std::int32_t partition = 0;
    std::int64_t offset = 0;

    friend auto operator<=>(const Place&, const Place&) = default;
};

/// `0:42`
inline std::string to_string(const Place& place) {
    return std::to_string(place.partition) + ':' + std::to_string(place.offset);
}

/// A dead letter as it was read.
///
/// Lifetime: it looks into whatever it was read from.
struct Letter {
    Place place;
    RecordView record;
};

/// As a record that is to be sent has it.
inline std::optional<std::string> copy_of(const NullableBytes& bytes) {
    if (!bytes) return std::nullopt;
    return std::string{*bytes};
}

} // namespace velostream::dlq
