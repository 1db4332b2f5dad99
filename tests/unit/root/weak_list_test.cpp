// SPDX-License-Identifier: Apache-2.0
#include "weak_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace velostream {
namespace {

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

TEST(WeakList, ForgetsThoseThatEnded) {
    WeakList<std::shared_ptr<int>> list;
    const auto content = std::make_shared<int>();
    for (int count = 0; count < 100; ++count) {
        // What an entry is made of goes with the node that knows it.
        list.add(std::make_shared<std::shared_ptr<int>>(content));
        static_cast<void>(list.all());
    }
    EXPECT_EQ(content.use_count(), 1);
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
