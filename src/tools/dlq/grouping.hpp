// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "tools/dlq/letter.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::dlq {

/// What letters of one group have in common.
enum class GroupBy : std::uint8_t {
    fingerprint, ///< fingerprint, type and original topic
    type,        ///< the type
    topic,       ///< the original topic
    hour,        ///< the hour of the letter's timestamp
};

/// The word of the command line.
std::string_view to_string(GroupBy by) noexcept;
std::optional<GroupBy> group_by(std::string_view word) noexcept;

/// Letters that have something in common. What they do not have in common is not said.
struct Group {
    std::optional<std::uint64_t> fingerprint;
    std::optional<std::string> type;           ///< empty: no letter says one
    std::optional<std::string> original_topic; ///< empty: no letter says one
    std::optional<WallTime> hour;
    std::uint64_t count = 0;
    std::optional<WallTime> first, last; ///< of their timestamps; unset if none has one
    Place sample;                        ///< of the one that was read last
    std::optional<std::string> message;  ///< its message
};

/// Counts letters by what they have in common.
class Grouping {
  public:
    explicit Grouping(GroupBy by) noexcept : by_(by) {}

    void add(const Letter& letter, const DeadLetterFacts& facts);

    /// The largest first, those of one size by what they have in common; hours in their order.
    std::vector<Group> groups() const;
    std::uint64_t total() const noexcept { return total_; }

  private:
    using Key = std::tuple<std::string, std::string, std::uint64_t, std::int64_t>;
    Key key_of(const Letter& letter, const DeadLetterFacts& facts) const;

    GroupBy by_;
    std::map<Key, Group> groups_;
    std::uint64_t total_ = 0;
};

} // namespace velostream::dlq
