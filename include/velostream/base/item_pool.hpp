// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/base/segmented_array.hpp"

namespace velostream {

/// A word that names an item of an `ItemPool` by its index, and tells how often it has changed: who compares and swaps
/// from what it saw long ago fails, although the index may be the same again.
///
/// He would have to sleep, between two instructions, for an exact multiple of 2^32 changes of this word to be wrong.
struct IndexWord {
    using Index = std::uint32_t; ///< 0: none

    static constexpr Index index_of(std::uint64_t word) noexcept { return static_cast<Index>(word); }
    /// What follows `word`, and names `index`.
    static constexpr std::uint64_t after(std::uint64_t word, Index index) noexcept {
        return ((word >> 32) + 1) << 32 | index;
    }
};

/// Items that are found by an index of 32 bits. Who gives one back leaves it to others, as it is; their memory is not
/// returned before the pool ends. So whoever kept an index may look at the item, and must find out by what is in it
/// whether it is still the one that he meant.
///
/// The first request makes `Atomics::items_at_once` of them, a power of two, and each later one that finds none free
/// twice as many as the one before. An `Item` has a member `next_free`, an atomic index that belongs to the pool.
///
/// Threads: safe, lock-free but for the allocation of more items.
template <class Atomics, class Item>
class ItemPool {
  public:
    using Index = IndexWord::Index;

    ItemPool() = default;
    ItemPool(const ItemPool&) = delete;
    ItemPool& operator=(const ItemPool&) = delete;

    /// Of an index that `take` has returned at some time.
    Item& operator[](Index index) const noexcept { return items_[index - 1]; }

    /// An item that nobody uses. Throws `std::bad_alloc`.
    Index take() {
        auto seen = free_.load();
        while (IndexWord::index_of(seen) != 0) {
            const auto index = IndexWord::index_of(seen);
            const auto next = (*this)[index].next_free.load(); // of no meaning if another was faster: the swap fails
            if (free_.compare_exchange_strong(seen, IndexWord::after(seen, next))) return index;
        }
        return make();
    }
    /// Only those up to here have ever been taken.
    Index last() const noexcept { return made_.load(); }
    void give_back(Index index) noexcept {
        auto seen = free_.load();
        do (*this)[index].next_free.store(IndexWord::index_of(seen));
        while (!free_.compare_exchange_strong(seen, IndexWord::after(seen, index)));
    }

  private:
    Index make() {
        auto made = made_.load();
        do items_.reach(made); // first: without memory no index is lost
        while (!made_.compare_exchange_strong(made, made + 1));
        return made + 1;
    }

    SegmentedArray<Item, Atomics::items_at_once> items_;       // by index - 1
    typename Atomics::template Atomic<std::uint64_t> free_{0}; // an index word: the first of those that nobody uses
    typename Atomics::template Atomic<Index> made_{0};
};

} // namespace velostream
