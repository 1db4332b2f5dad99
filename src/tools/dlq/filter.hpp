// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tools/dlq/letter.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::dlq {

/// Offsets of a partition, the last one included.
struct PartitionSpan {
    std::int32_t partition = 0;
    std::int64_t from = 0;
    std::int64_t to = std::numeric_limits<std::int64_t>::max();

    bool holds(const Place& place) const noexcept {
        return place.partition == partition && place.offset >= from && place.offset <= to;
    }
    friend bool operator==(const PartitionSpan&, const PartitionSpan&) = default;
};

struct HeaderMatch {
    std::string name;
    std::optional<std::string> value; ///< unset: any, null included

    friend bool operator==(const HeaderMatch&, const HeaderMatch&) = default;
};

/// The error type of a letter where it says one, else the class of its error; empty where it says neither.
std::string_view type_of(const DeadLetterFacts& facts) noexcept;

/// Which letters are meant: those that fit everything that is given. Of several values of one kind, one must fit; of
/// headers, all of them. Without anything every letter is meant.
struct Filter {
    std::optional<WallTime> since; ///< of the letter's timestamp: then or later
    std::optional<WallTime> until; ///< earlier than that
    std::vector<PartitionSpan> spans;
    std::vector<std::string> types; ///< the error type, or the class of the error
    std::vector<std::uint64_t> fingerprints;
    std::vector<std::string> original_topics;
    std::optional<std::string> key_prefix; ///< a null key has none
    std::vector<HeaderMatch> headers;
    /// The same as it was written on the command line; equal for equal filters.
    std::string text;

    bool takes(const Letter& letter, const DeadLetterFacts& facts) const;
};

} // namespace velostream::dlq
