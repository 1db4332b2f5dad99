// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumer.hpp"

namespace orders {

/// Tells lines that Kafka has lost from lines that take their time. What the consumer believes of the ends of its
/// partitions may be older than an outage, so that nothing follows from its silence; but Kafka keeps what was
/// acknowledged, and whoever has read as far as the brokers say that there is something has met all of it. Except for a
/// pause, such as after a change of leaders: no broker makes one of half a minute.
class LossWatch {
  public:
    using TimePoint = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds longest_pause{30};

    explicit LossWatch(TimePoint now, velostream::Duration pause = longest_pause)
        : pause_(pause), last_progress_(now) {}

    /// What the job sees when it looks.
    struct View {
        std::uint64_t written;  ///< lines given to Kafka
        std::uint64_t taken_up; ///< of these, read back
        bool all_acknowledged;  ///< none of them is still on its way to Kafka
    };

    /// True when lines are missing and none has come for longer than the longest pause: time to ask the brokers.
    bool is_suspicious(const View& view, TimePoint now) {
        const bool moved = std::exchange(taken_up_, view.taken_up) != view.taken_up;
        const bool is_missing = view.taken_up < view.written && view.all_acknowledged;
        if (moved || !is_missing) {
            last_progress_ = now;
            all_read_since_.reset();
        }
        return now - last_progress_ > pause_;
    }

    /// What the brokers answered: whether the consumer has read everything that they have. True when the lines that are
    /// missing are lost: everything was read, at every answer for longer than the longest pause. Nobody answered counts
    /// as false.
    bool are_lost(bool all_read, TimePoint now) {
        if (!all_read) {
            all_read_since_.reset();
            return false;
        }
        if (!all_read_since_) all_read_since_ = now;
        return now - *all_read_since_ > pause_;
    }

  private:
    velostream::Duration pause_;
    std::uint64_t taken_up_ = 0;
    TimePoint last_progress_;
    std::optional<TimePoint> all_read_since_;
};

/// Whether a consumer with these positions in a topic has read everything that the brokers hold of it.
inline bool all_read(const std::vector<velostream::kafka::OffsetRange>& held,
                     const std::vector<velostream::kafka::PartitionPosition>& positions) {
    return std::ranges::all_of(held, [&positions](const auto& range) {
        const auto position =
            std::ranges::find(positions, range.partition, &velostream::kafka::PartitionPosition::partition);
        const auto next = position == positions.end() ? std::nullopt : position->next;
        return range.end <= std::max(range.first, next.value_or(0));
    });
}

} // namespace orders
