// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/item_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <set>
#include <utility>

namespace velostream {
namespace {

struct FourAtOnce {
    template <class T>
    using Atomic = std::atomic<T>;
    static constexpr std::size_t items_at_once = 4;
};
struct Item {
    int content = 0;
    std::atomic<std::uint32_t> next_free{0};
};
using Pool = ItemPool<FourAtOnce, Item>;

TEST(ItemPool, EveryItemThatIsTakenHasAnIndexAndAPlaceOfItsOwn) {
    Pool pool;
    std::set<std::uint32_t> indices;
    std::set<const Item*> items;

    for (int count = 0; count < 1000; ++count) {
        const auto index = pool.take();
        indices.insert(index);
        items.insert(&pool[index]);
    }

    EXPECT_EQ(indices.size(), 1000u);
    EXPECT_EQ(items.size(), 1000u);
    EXPECT_FALSE(indices.contains(0)) << "which names none";
}

TEST(ItemPool, AnItemStaysWhereItIsWhenMoreAreMade) {
    Pool pool;
    const auto first = pool.take();
    const auto* const item = &pool[first];

    for (int count = 0; count < 1000; ++count) pool.take();

    EXPECT_EQ(&pool[first], item);
}

TEST(ItemPool, WhatCameBackIsTakenAgainTheLatestFirst) {
    Pool pool;
    const auto one = pool.take(), two = pool.take(), three = pool.take();

    pool.give_back(one);
    pool.give_back(three);
    pool.give_back(two);

    EXPECT_EQ(pool.take(), two);
    EXPECT_EQ(pool.take(), three);
    EXPECT_EQ(pool.take(), one);
    EXPECT_EQ(pool.take(), 4u) << "a new one";
}

TEST(ItemPool, AnItemThatCameBackIsAsItWasLeft) {
    Pool pool;
    const auto index = pool.take();
    pool[index].content = 7;

    pool.give_back(index);

    EXPECT_EQ(pool[index].content, 7);
    EXPECT_EQ(pool.take(), index);
    EXPECT_EQ(pool[index].content, 7);
}

struct ScarceItem {
    std::atomic<std::uint32_t> next_free{0};
    static inline bool is_scarce = false;
    static void* operator new[](std::size_t size) {
        if (is_scarce) throw std::bad_alloc{};
        return ::operator new[](size);
    }
    static void operator delete[](void* items) noexcept { ::operator delete[](items); }
};

TEST(ItemPool, NothingIsLostWhereThereIsNoMemoryForMore) {
    ItemPool<FourAtOnce, ScarceItem> pool;
    for (int count = 0; count < 4; ++count) pool.take();
    ScarceItem::is_scarce = true;

    EXPECT_THROW(pool.take(), std::bad_alloc);
    EXPECT_THROW(pool.take(), std::bad_alloc);
    pool.give_back(2);
    EXPECT_EQ(pool.take(), 2u) << "what is there can be taken";

    ScarceItem::is_scarce = false;
    EXPECT_EQ(pool.take(), 5u) << "no index was left out";
}

/// Lets something happen right after a thread has looked how many were made, or which is free.
struct InterruptedAtomics : FourAtOnce {
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T load() const noexcept {
            const auto value = std::atomic<T>::load();
            auto& after_load = sizeof(T) == sizeof(std::uint32_t) ? after_made : after_free;
            if (const auto happens = std::exchange(after_load, nullptr)) happens();
            return value;
        }
    };
    static inline std::function<void()> after_made, after_free;
};
struct CountedItem {
    CountedItem() noexcept { ++made; }
    std::atomic<std::uint32_t> next_free{0};
    static inline int made = 0;
};

TEST(ItemPool, MakesRoomForTheIndexThatItGetsWhereAnotherTookTheOneBefore) {
    ItemPool<InterruptedAtomics, CountedItem> pool;
    CountedItem::made = 0;
    for (int count = 0; count < 3; ++count) pool.take();
    InterruptedAtomics::after_made = [&] { EXPECT_EQ(pool.take(), 4u); };

    EXPECT_EQ(pool.take(), 5u);

    EXPECT_EQ(CountedItem::made, 4 + 8);
}

TEST(ItemPool, AnItemThatIsTakenWhileAnotherComesBackIsNotTakenAgain) {
    ItemPool<InterruptedAtomics, CountedItem> pool;
    const auto one = pool.take(), two = pool.take();
    pool.give_back(two);
    InterruptedAtomics::after_free = [&] { EXPECT_EQ(pool.take(), two); };

    pool.give_back(one);

    EXPECT_EQ(pool.take(), one);
    EXPECT_EQ(pool.take(), 3u) << "a new one";
}

TEST(IndexWord, TheSameIndexAgainIsAnotherWord) {
    const auto word = IndexWord::after(0, 5);

    const auto later = IndexWord::after(IndexWord::after(word, 6), 5);

    EXPECT_EQ(IndexWord::index_of(word), 5u);
    EXPECT_EQ(IndexWord::index_of(later), 5u);
    EXPECT_NE(word, later);
}

} // namespace
} // namespace velostream
