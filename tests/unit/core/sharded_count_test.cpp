// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/sharded_count.hpp"

#include <gtest/gtest.h>

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

} // namespace
} // namespace velostream
