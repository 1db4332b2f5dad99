// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace velostream {

/// Where what came back last lies for whoever comes next, who takes it without the lock of those to whom all the others
/// belong.
///
/// The lock decides who may use it: whoever holds that has it `shut` before he decides anything, and opens it again
/// only where the order of those who come is of no matter, as when nobody waits. While it is shut nothing is put here
/// and nothing is taken: so nobody waits beside what lies here, and nobody is overtaken. That it is shut, that it is
/// empty and what lies here are values of one word: each call is one step, there is no moment between them, and an item
/// is in one hand at a time.
///
/// Memory:  whoever takes an item, by `take` or `shut`, sees what was done with it before it was put here.
/// Threads: `put`, `take` and `has_one` at any time; `shut` and `open` with the lock.
template <class Item, class Memory>
class WarmPlace {
    static_assert(alignof(Item) > 1, "so no address is a mark");

  public:
    /// Shut.
    WarmPlace() noexcept = default;
    WarmPlace(const WarmPlace&) = delete;
    WarmPlace& operator=(const WarmPlace&) = delete;

    /// From now on `item` is whoever takes it's. False where it is not wanted: then it is the caller's still.
    [[nodiscard]] bool put(Item& item) noexcept {
        auto expected = empty;
        if (word_.load(std::memory_order_relaxed) != expected) return false; // relaxed: the swap looks again
        // Release: to whoever takes it.
        return word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&item),
                                             std::memory_order_release, std::memory_order_relaxed);
    }

    /// What lay here, which is the caller's now; null if there was nothing.
    [[nodiscard]] Item* take() noexcept {
        auto seen = word_.load(std::memory_order_relaxed); // relaxed: a guess
        if (!is_item(seen)) return nullptr;
        // Acquire: from whoever put it here last, which may have been somebody else since the guess.
        const bool taken =
            word_.compare_exchange_strong(seen, empty, std::memory_order_acquire, std::memory_order_relaxed);
        return taken ? item_of(seen) : nullptr;
    }

    /// What lay here, which is the caller's now; null if there was nothing. From now on nothing does.
    [[nodiscard]] Item* shut() noexcept {
        const auto seen = word_.exchange(shut_word, std::memory_order_acquire); // acquire: as in `take`
        return is_item(seen) ? item_of(seen) : nullptr;
    }

    /// Only where it is shut.
    void open() noexcept { word_.store(empty, std::memory_order_relaxed); } // relaxed: says nothing of any item

    /// Whether something lies here at this moment.
    bool has_one() const noexcept { return is_item(word_.load(std::memory_order_relaxed)); }

  private:
    static constexpr std::uintptr_t empty = 0, shut_word = 1;
    static bool is_item(std::uintptr_t word) noexcept { return word > shut_word; }
    static Item* item_of(std::uintptr_t word) noexcept { return reinterpret_cast<Item*>(word); }

    // A mark, or the address of an item.
    typename Memory::template Atomic<std::uintptr_t> word_{shut_word};
};

} // namespace velostream
