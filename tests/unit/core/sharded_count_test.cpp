// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/sharded_count.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <thread>
#include <vector>

namespace velostream {
namespace {

TEST(ShardedCount, LosesNoIncrementOfAnyThread) {
    ShardedCount count;
    for (int round = 0; round < 3; ++round) { // those of later ones sit where the first ones sat
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 2 * thread_seats;
             ++i) // more than shards, and half of them not alone at their seats
            threads.emplace_back([&] {
                for (int j = 0; j < 1000; ++j) count.add();
            });
    }

    EXPECT_EQ(count.sum(), 3u * 2 * thread_seats * 1000);
}

} // namespace
} // namespace velostream
