// SPDX-License-Identifier: Apache-2.0
// What threads keep at hand: a small part of the room that is left, and nothing where that is little.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "velostream/core/memory_account.hpp"

namespace velostream {
namespace {

Bytes at_hand(const MemoryAccount& process) {
    return process.used_at_most() - process.used();
}

void use_often(const MemoryAccount& account) {
    for (int round = 0; round < 1000; ++round) EXPECT_TRUE(account.try_reserve(1000));
}

void use_much(const MemoryAccount& account) {
    std::vector<MemoryReservation> held;
    const auto most = std::min(account.available() / 2, 64_MiB);
    for (Bytes bytes = 0; bytes < most; bytes += 1000) held.push_back(account.try_reserve(1000).value());
}

TEST(MemoryCredit, IsHalfOfTheRoomAtMostAndNeverMoreThanTwoMebibytes) {
    for (const Bytes room : {1_GiB, 64_MiB, 4_MiB, 1_MiB, 100_KiB, 30_KiB, 8_KiB}) {
        const MemoryAccount process{"process", room};
        const auto account = process.child("operator");

        use_often(account);
        EXPECT_LE(at_hand(process), std::min(room / 2, 2_MiB)) << "of a room of " << room;
        use_much(account);
        EXPECT_LE(at_hand(process), std::min(room / 2, 2_MiB)) << "of a room of " << room;
    }
}

TEST(MemoryCredit, IsKeptWhereThereIsMuchRoom) {
    const MemoryAccount process{"process", 64_MiB};
    const auto account = process.child("operator");

    use_often(account);

    EXPECT_GT(at_hand(process), 0u);
}

TEST(MemoryCredit, IsNoneNextToALimitWhicheverLevelHasIt) {
    const MemoryAccount process{"process", 64_MiB};
    const auto query = process.child("query", 10_MiB);
    for (const auto& level : {process, query}) {
        const auto held = level.try_reserve(level.available() - 12'000);
        const auto account = query.child("operator");

        use_often(account);

        EXPECT_EQ(at_hand(process), 0u) << level.name();
        EXPECT_EQ(account.peak(), 1000u) << "exact";
    }
}

} // namespace
} // namespace velostream
