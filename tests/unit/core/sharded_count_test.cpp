// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/sharded_count.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace velostream {
namespace {

TEST(ShardedCount, LosesNoIncrementOfAnyThread) {
    ShardedCount count;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 20; ++i) // more threads than shards
        threads.emplace_back([&] {
            for (int j = 0; j < 1000; ++j) count.add();
        });
    threads.clear();

    EXPECT_EQ(count.sum(), 20'000u);
}

TEST(ThreadNumber, IsAnotherOneInEachThreadAndStaysTheSame) {
    std::set<std::size_t> numbers{thread_number()};
    for (int i = 0; i < 3; ++i)
        std::jthread{[&] {
            numbers.insert(thread_number());
            numbers.insert(thread_number());
        }}.join();

    EXPECT_EQ(numbers.size(), 4u);
    EXPECT_TRUE(numbers.contains(thread_number()));
}

} // namespace
} // namespace velostream
