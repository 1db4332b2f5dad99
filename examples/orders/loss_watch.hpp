// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

namespace orders {

/// Tells lines that Kafka has lost from lines that take their time. Kafka keeps what was acknowledged, so that whoever
/// has read to the end of every partition has met all of it, except for a pause: no broker makes one of a minute.
class LossWatch {
  public:
    using TimePoint = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds longest_pause{60};

    explicit LossWatch(TimePoint now) : last_progress_(now) {}

    /// What the job sees when it looks.
    struct View {
        std::uint64_t written;  ///< lines given to Kafka
        std::uint64_t taken_up; ///< of these, read back
        bool all_acknowledged;  ///< none of them is still on its way to Kafka
        bool at_end;            ///< the consumer stands at the end of every partition
    };

    /// True when lines are missing at every end, and none has come for longer than the longest pause.
    bool are_lost(const View& view, TimePoint now) {
        const bool moved = std::exchange(taken_up_, view.taken_up) != view.taken_up;
        const bool is_missing = view.taken_up < view.written && view.all_acknowledged && view.at_end;
        if (moved || !is_missing) last_progress_ = now;
        return now - last_progress_ > longest_pause;
    }

  private:
    std::uint64_t taken_up_ = 0;
    TimePoint last_progress_;
};

} // namespace orders
