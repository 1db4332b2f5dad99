// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "offset_tracker.hpp"
#include "velostream/kafka/consumed_record.hpp"

namespace velostream::kafka {

class ConsumerSession;

namespace detail {

/// A partition from its assignment to its revocation. Records keep theirs, so that a completion that comes after the
/// revocation finds out, even if the partition is assigned again meanwhile.
class AssignedPartition : public std::enable_shared_from_this<AssignedPartition> {
  public:
    AssignedPartition(std::shared_ptr<ConsumerSession> owner, std::string topic_name, std::int32_t number)
        : topic(std::move(topic_name)), partition(number), session_(std::move(owner)) {}

    const std::string topic;
    const std::int32_t partition;
    OffsetTracker progress;
    std::optional<std::int64_t> stored; ///< the position that the client library was told last
    std::optional<std::int64_t> next;   ///< one more than the last offset read, or where the end was met
    std::optional<std::int64_t> first;  ///< the first offset read; known where a keeper needs it
    bool is_revoked = false;
    bool is_at_end = false;

    static AssignedPartition& of(const ConsumedRecord& record) noexcept { return *record.partition_; }
    static std::uint64_t number_of(const ConsumedRecord& record) noexcept { return record.sequence_; }

  private:
    std::shared_ptr<ConsumerSession> session_; // a client must not be destroyed before the last message that it gave
};

} // namespace detail

} // namespace velostream::kafka
