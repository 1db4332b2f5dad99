// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

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
    ~ItemPool() {
        for (auto& block : blocks_) delete[] block.load(std::memory_order_relaxed);
    }

    /// Of an index that `take` has returned at some time.
    Item& operator[](Index index) const noexcept {
        const auto block = block_of(index);
        // acquire: pairs with the release of who made the block
        return blocks_[block].load(std::memory_order_acquire)[place_of(index) - (first_size << block)];
    }

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
    static constexpr std::uint64_t first_size =
        Atomics::items_at_once;                    // each block is twice as large as the one before
    static constexpr std::size_t most_blocks = 33; // enough for all indices

    static std::uint64_t place_of(Index index) noexcept { return std::uint64_t{index} - 1 + first_size; }
    static std::size_t block_of(Index index) noexcept {
        return static_cast<std::size_t>(std::bit_width(place_of(index)) - std::bit_width(first_size));
    }

    Index make() {
        auto made = made_.load();
        do make_block(block_of(made + 1)); // first: without memory no index is lost
        while (!made_.compare_exchange_strong(made, made + 1));
        return made + 1;
    }
    void make_block(std::size_t number) {
        auto& block = blocks_[number];
        if (block.load(std::memory_order_acquire) != nullptr) return;
        auto fresh = std::make_unique<Item[]>(first_size << number);
        Item* none = nullptr;
        if (block.compare_exchange_strong(none, fresh.get())) static_cast<void>(fresh.release());
    }

    std::array<std::atomic<Item*>, most_blocks> blocks_{};
    typename Atomics::template Atomic<std::uint64_t> free_{0}; // an index word: the first of those that nobody uses
    typename Atomics::template Atomic<Index> made_{0};
};

} // namespace velostream
