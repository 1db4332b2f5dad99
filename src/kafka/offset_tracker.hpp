// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace velostream::kafka {

/// Which of the records read from one partition are done, and up to where all of them are.
///
/// Offsets may have gaps (compaction, transactions), so records are counted in the order in which they were read. Each
/// costs 16 bytes from `read` until it and every earlier one is done.
class OffsetTracker {
  public:
    /// The record's number, for `done`.
    std::uint64_t read(std::int64_t offset) {
        if (size_ == ring_.size()) grow();
        at(first_ + size_) = {offset, false};
        return first_ + size_++;
    }

    /// True if the position moved. Done twice, or never read: no effect.
    bool done(std::uint64_t number) noexcept {
        if (number < first_ || number >= first_ + size_) return false;
        at(number).is_done = true;
        const auto before = first_;
        while (size_ > 0 && at(first_).is_done) {
            position_ = at(first_).offset + 1;
            ++first_;
            --size_;
        }
        return first_ != before;
    }

    /// The offset to go on from after a restart: one more than the last record of which it and all before it are done.
    /// Unset while there is none.
    std::optional<std::int64_t> position() const noexcept { return position_; }

    /// Records read that are not done, or lie behind one that is not.
    std::size_t open() const noexcept { return size_; }

  private:
    struct Read {
        std::int64_t offset;
        bool is_done;
    };

    Read& at(std::uint64_t number) noexcept { return ring_[number & (ring_.size() - 1)]; }

    void grow() {
        std::vector<Read> larger(ring_.empty() ? 64 : ring_.size() * 2);
        for (auto number = first_; number != first_ + size_; ++number)
            larger[number & (larger.size() - 1)] = at(number);
        ring_.swap(larger);
    }

    std::vector<Read> ring_; // its size is a power of two, or zero
    std::uint64_t first_ = 0;
    std::size_t size_ = 0;
    std::optional<std::int64_t> position_;
};

} // namespace velostream::kafka
