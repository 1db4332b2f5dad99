// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace velostream::testing {

/// A set of many million hashes that only grows: a number each, side by side.
class VisitedStates {
  public:
    /// False if it was there.
    bool insert(std::uint64_t hash) {
        if (4 * size_ >= 3 * places_.size()) grow();
        if (!put(hash == empty ? ~empty : hash)) return false;
        ++size_;
        return true;
    }
    std::size_t size() const noexcept { return size_; }

  private:
    static constexpr std::uint64_t empty = 0;

    bool put(std::uint64_t hash) noexcept {
        for (auto index = hash;; ++index) {
            auto& place = places_[index & (places_.size() - 1)];
            if (place == hash) return false;
            if (place != empty) continue;
            place = hash;
            return true;
        }
    }
    void grow() {
        const auto before = std::exchange(places_, std::vector<std::uint64_t>(2 * places_.size()));
        for (const auto hash : before)
            if (hash != empty) put(hash);
    }

    std::vector<std::uint64_t> places_ = std::vector<std::uint64_t>(1024); // always a power of two
    std::size_t size_ = 0;
};

} // namespace velostream::testing
