// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "velostream/core/record_view.hpp"

namespace velostream {

/// Which partition of its topic a dead letter goes to.
enum class DeadLetterPartitioning : std::uint8_t {
    source,   ///< the one of the same number as where the record was read, so that the order there stays
    key,      ///< the same for equal keys, as Java's clients choose it: where these wrote the record to
    producer, ///< what the producer chooses
};

/// The hash by which Java's clients choose a partition for a key.
std::uint32_t murmur2(std::string_view key) noexcept;

/// The partition for a dead letter; -1 if the producer is to choose, as it does where `partitions`, how many the topic
/// has, is not known.
///
/// `source`: `source_partition` modulo `partitions`, which is `source_partition` itself where the topic has it; -1 if
/// that is not known. `key`: by `murmur2`; as `source` for a null key.
std::int32_t dead_letter_partition(DeadLetterPartitioning partitioning, std::optional<std::int32_t> partitions,
                                   std::int32_t source_partition, const NullableBytes& key) noexcept;

} // namespace velostream
