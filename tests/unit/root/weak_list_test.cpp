// SPDX-License-Identifier: Apache-2.0
#include "weak_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace velostream {
namespace {

int blocks = 0; // of memory: see CountingAllocator

std::vector<int> seen(WeakList<int>& list) {
    std::vector<int> values;
    for (const auto& entry : list.all()) values.push_back(*entry);
    return values;
}

TEST(WeakList, HasThoseThatAreLeftTheOldestFirst) {
    WeakList<int> list;
    std::vector<std::shared_ptr<int>> entries;
    for (int value = 0; value < 6; ++value) list.add(entries.emplace_back(std::make_shared<int>(value)));
    EXPECT_EQ(seen(list), (std::vector{0, 1, 2, 3, 4, 5}));

    for (const std::size_t gone : {0U, 2U, 3U, 5U}) entries[gone].reset();
    EXPECT_EQ(seen(list), (std::vector{1, 4}));
    list.add(entries[0] = std::make_shared<int>(6));

    EXPECT_EQ(seen(list), (std::vector{1, 4, 6}));
    entries.clear();
    EXPECT_TRUE(seen(list).empty());
}

/// Counts the blocks of memory that entries have: one stays until nobody knows the entry, however weakly.
template <class T>
struct CountingAllocator {
    using value_type = T;
    CountingAllocator() = default;
    template <class Other>
    explicit CountingAllocator(const CountingAllocator<Other>&) noexcept {}
    T* allocate(std::size_t count) { return ++blocks, std::allocator<T>{}.allocate(count); }
    void deallocate(T* at, std::size_t count) noexcept { --blocks, std::allocator<T>{}.deallocate(at, count); }
    bool operator==(const CountingAllocator&) const = default;
};

TEST(WeakList, ForgetsThoseThatEnded) {
    {
        WeakList<int> list;
        const auto kept = std::make_shared<int>(7);
        list.add(kept);
        for (int count = 0; count < 100; ++count) {
            list.add(std::allocate_shared<int>(CountingAllocator<int>{}, count));
            static_cast<void>(list.all());
            EXPECT_LE(blocks, 2) << "but for the newest";
        }
        EXPECT_EQ(seen(list), std::vector{7});
    }
    EXPECT_EQ(blocks, 0);
}

/// Lets something happen right after a thread has looked for the newest.
struct InterruptedAtomics {
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T load() const noexcept {
            const auto value = std::atomic<T>::load();
            if (const auto happens = std::exchange(after_load, nullptr)) happens();
            return value;
        }
    };
    static inline std::function<void()> after_load;
};

TEST(WeakList, KeepsOneThatComesWhileAnotherComes) {
    WeakList<int, InterruptedAtomics> list;
    const auto one = std::make_shared<int>(1), other = std::make_shared<int>(2);
    InterruptedAtomics::after_load = [&] { list.add(other); };

    list.add(one);

    EXPECT_EQ(list.all(), (std::vector{other, one}));
}

TEST(WeakList, KeepsOneThatComesWhileTheNewestIsSeenToHaveEnded) {
    WeakList<int, InterruptedAtomics> list;
    const auto oldest = std::make_shared<int>(1), latest = std::make_shared<int>(2);
    list.add(oldest);
    list.add(std::make_shared<int>(0));
    InterruptedAtomics::after_load = [&] { list.add(latest); };

    EXPECT_EQ(list.all(), std::vector{oldest});

    EXPECT_EQ(list.all(), (std::vector{oldest, latest}));
}

// One goes through while others come and go.
TEST(WeakList, LosesNobodyWhoComesMeanwhile) {
    constexpr int threads = 3, rounds = 2000;
    WeakList<int> list;
    std::vector<std::vector<std::shared_ptr<int>>> kept(threads);
    std::atomic<int> running{threads};
    {
        std::vector<std::jthread> coming;
        for (int thread = 0; thread < threads; ++thread)
            coming.emplace_back([&, thread] {
                for (int round = 0; round < rounds; ++round) {
                    auto entry = std::make_shared<int>(thread * rounds + round);
                    list.add(entry);
                    if (round % 16 == 0) kept[static_cast<std::size_t>(thread)].push_back(std::move(entry));
                }
                --running;
            });
        while (running != 0) static_cast<void>(list.all());
    }

    std::vector<int> expected;
    for (const auto& entries : kept)
        for (const auto& entry : entries) expected.push_back(*entry);
    auto found = seen(list);
    std::ranges::sort(expected);
    std::ranges::sort(found);
    EXPECT_EQ(found, expected);
}

} // namespace
} // namespace velostream
