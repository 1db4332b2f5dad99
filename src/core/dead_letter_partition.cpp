// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_partition.hpp"

#include <cstddef>

namespace velostream {

// Austin Appleby's MurmurHash2 with the seed of Java's clients, four bytes at a time, the least significant first.
std::uint32_t murmur2(std::string_view key) noexcept {
    constexpr std::uint32_t factor = 0x5bd1e995;
    constexpr std::uint32_t seed = 0x9747b28c;
    constexpr int shift = 24;
    const auto byte = [&](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(key[at])}; };

    auto hash = seed ^ static_cast<std::uint32_t>(key.size());
    std::size_t at = 0;
    for (; at + 4 <= key.size(); at += 4) {
        auto word = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16 | byte(at + 3) << 24;
        word *= factor;
        word ^= word >> shift;
        word *= factor;
        hash = hash * factor ^ word;
    }
    if (at < key.size()) {
        for (auto last = key.size(); last > at; --last) hash ^= byte(last - 1) << 8 * (last - 1 - at);
        hash *= factor;
    }
    hash ^= hash >> 13;
    hash *= factor;
    return hash ^ hash >> 15;
}

std::int32_t dead_letter_partition(DeadLetterPartitioning partitioning, std::optional<std::int32_t> partitions,
                                   std::int32_t source_partition, const NullableBytes& key) noexcept {
    constexpr std::int32_t chosen_by_producer = -1;
    constexpr std::uint32_t positive = 0x7fffffff;
    if (!partitions || *partitions < 1 || partitioning == DeadLetterPartitioning::producer) return chosen_by_producer;
    if (partitioning == DeadLetterPartitioning::key && key)
        return static_cast<std::int32_t>(murmur2(*key) & positive) % *partitions;
    return source_partition < 0 ? chosen_by_producer : source_partition % *partitions;
}

} // namespace velostream
