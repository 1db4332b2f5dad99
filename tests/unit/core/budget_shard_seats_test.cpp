// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstddef>
#include <thread>

#include "velostream/core/budget_atomics.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {
namespace {

std::ptrdiff_t shard_after_a_reservation(const MemoryAccount& account) {
    const auto reservation = account.try_reserve(1);
    EXPECT_TRUE(reservation);
    return thread_shard_offset;
}

TEST(BudgetShardSeats, AThreadThatReservedHasAShard) {
    const MemoryAccount account{"process", 100};

    std::thread{[&] {
        EXPECT_EQ(thread_shard_offset, 0);
        EXPECT_GT(shard_after_a_reservation(account), 0);
    }}.join();
}

TEST(BudgetShardSeats, OneThreadAfterTheOtherTakesTheShardThatNobodyElseHas) {
    const bool everybody_shares = MachineAtomics::shard_count() == 1; // on one processor
    const MemoryAccount account{"process", 100};
    const auto own = shard_after_a_reservation(account);

    for (int count = 0; count < 3; ++count)
        std::thread{[&] { EXPECT_EQ(shard_after_a_reservation(account) == own, everybody_shares); }}.join();
}

} // namespace
} // namespace velostream
