// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/dlq/filter.hpp"
#include "tools/dlq/letter.hpp"
#include "velostream/core/dead_letter_reader.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::dlq {

/// What is done with a letter.
enum class Fate : std::uint8_t {
    sent,           ///< it goes back
    filtered,       ///< it was not asked for
    over_limit,     ///< it has come back as often as it may
    without_record, ///< key and value were left out when it was written: there is nothing to send
    without_topic,  ///< nobody says where it came from, no topic has that name, or it came from the topic it lies in
};

/// Which letters go back, and where to.
struct RedriveRules {
    Filter filter;
    std::string dead_letter_topic;  ///< empty: they come from a spool
    std::optional<std::string> to;  ///< unset: the topic that each came from
    std::uint32_t max_redrives = 3; ///< letters that came back so often, or more often, stay

    Fate fate_of(const Letter& letter, const DeadLetterFacts& facts) const;
};

/// The record to be sent for a letter: to `to`, where it is given, to a partition chosen by the key; else to the topic
/// and, if it is known, the partition that the record came from. Nothing if the letter has no record.
std::optional<kafka::Record> record_to_send(const Letter& letter, const std::optional<std::string>& to);

/// What letters must have in common to be kept in order.
struct OrderKey {
    std::string topic;
    std::string key;

    friend auto operator<=>(const OrderKey&, const OrderKey&) = default;
};

/// Nothing for a record without a key: it has no order to keep.
std::optional<OrderKey> order_key_of(const kafka::Record& record);

/// Rounds to send records in, one after the other: no two of a round have the same key, and those of one key come in
/// their order. Each round is a list of indexes into `keys`.
std::vector<std::vector<std::size_t>> rounds_of(std::span<const std::optional<OrderKey>> keys);

/// The group that remembers how far a redrive has come, where the user names none: the same for the same topic, filter
/// and target, and another one for others, so that no filter passes over what another one has seen.
std::string default_group(std::string_view dead_letter_topic, const Filter& filter,
                          const std::optional<std::string>& to);

} // namespace velostream::dlq
