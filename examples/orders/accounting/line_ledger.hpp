// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>

namespace orders {

/// Which lines have been taken up, by their number from 0. It recognises a line that Kafka hands out twice (a write
/// that was repeated after a lost answer, a read that was repeated after a rebalance) and knows at the end whether one
/// is missing. Small: it only remembers what lies behind a gap.
class LineLedger {
  public:
    /// True for a line that was not taken up before.
    bool take_up(std::uint64_t line) {
        if (line < first_missing_) return false;
        const auto place = line - first_missing_;
        if (place >= behind_gap_.size()) behind_gap_.resize(place + 1, false);
        if (behind_gap_[place]) return false;
        behind_gap_[place] = true;
        ++count_;
        while (!behind_gap_.empty() && behind_gap_.front()) {
            behind_gap_.pop_front();
            ++first_missing_;
        }
        return true;
    }

    /// How many different lines were taken up.
    std::uint64_t count() const { return count_; }
    /// Every line below this one was taken up.
    std::uint64_t first_missing() const { return first_missing_; }

  private:
    std::uint64_t first_missing_ = 0;
    std::deque<bool> behind_gap_; // [i]: whether line first_missing_ + i was taken up
    std::uint64_t count_ = 0;
};

} // namespace orders
