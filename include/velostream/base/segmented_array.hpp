// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace velostream {

/// An array that only grows, in segments of which each is twice as large as the one before: so its items stay where
/// they are. The first one has `first_size` items, a power of two.
///
/// Orders: seq_cst, so that who looks for a segment after he has changed something finds it, or is seen by who put it
/// there and looked afterwards.
///
/// Threads: safe, lock-free but for the allocation of a segment.
template <class Item, std::uint64_t first_size>
class SegmentedArray {
  public:
    SegmentedArray() = default;
    SegmentedArray(const SegmentedArray&) = delete;
    SegmentedArray& operator=(const SegmentedArray&) = delete;
    ~SegmentedArray() {
        for (auto& segment : segments_) delete[] segment.load(std::memory_order_relaxed);
    }

    /// Makes it so large that it has the item of this index. Throws `std::bad_alloc`.
    void reach(std::uint32_t index) {
        const auto number = segment_of(index);
        auto& segment = segments_[number];
        if (segment.load() != nullptr) return;
        auto fresh = std::make_unique<Item[]>(first_size << number);
        Item* none = nullptr;
        if (segment.compare_exchange_strong(none, fresh.get())) static_cast<void>(fresh.release());
    }

    /// Of an index that was reached.
    Item& operator[](std::uint32_t index) const noexcept { return *find(index); }
    /// Null where the index was not reached yet.
    Item* find(std::uint32_t index) const noexcept {
        const auto number = segment_of(index);
        auto* const items = segments_[number].load();
        return items != nullptr ? items + (index + first_size - (first_size << number)) : nullptr;
    }

    /// Calls `visit(item)` for those of the first `count` that were reached.
    template <class Visit>
    void for_first(std::uint64_t count, Visit visit) const {
        for (std::size_t number = 0; count != 0; ++number) {
            auto* const items = segments_[number].load();
            const auto here = std::min(count, first_size << number);
            for (std::uint64_t index = 0; items != nullptr && index < here; ++index) visit(items[index]);
            count -= here;
        }
    }

  private:
    static_assert(std::has_single_bit(first_size));
    static constexpr std::size_t most_segments = 33; // enough for 2^32 items

    static std::size_t segment_of(std::uint32_t index) noexcept {
        return static_cast<std::size_t>(std::bit_width(index + first_size) - std::bit_width(first_size));
    }

    std::array<std::atomic<Item*>, most_segments> segments_{};
};

} // namespace velostream
