// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/table_buckets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <unordered_map>

namespace velostream {
namespace {

using Table = std::unordered_map<int, int>;

Table table_of(int entries) {
    Table table;
    for (int i = 0; i < entries; ++i) table.emplace(i, i);
    return table;
}

TEST(TableBuckets, ATableGivesThemBackAsItEmpties) {
    auto table = table_of(10'000);
    for (int i = 0; i < 10'000; ++i) {
        table.erase(i);
        give_back_buckets(table);
        ASSERT_LE(table.bucket_count(), std::max(fewest_buckets_given_back, 8 * (table.size() + 1))) << i;
    }
}

TEST(TableBuckets, EntriesStayWhereTheyAre) {
    auto table = table_of(1000);
    const auto* const last = &*table.find(999);
    for (int i = 0; i < 999; ++i) table.erase(i);
    give_back_buckets(table);

    EXPECT_EQ(&*table.find(999), last);
    EXPECT_EQ(table.size(), 1u);
}

TEST(TableBuckets, ATableOfRoughlyTheRightSizeStays) {
    auto table = table_of(1000);
    const auto buckets = table.bucket_count();
    for (int i = 0; table.size() >= buckets / 8; ++i) {
        give_back_buckets(table);
        ASSERT_EQ(table.bucket_count(), buckets) << i;
        table.erase(i);
    }
    give_back_buckets(table);
    EXPECT_LT(table.bucket_count(), buckets);
}

TEST(TableBuckets, ASmallTableKeepsThem) {
    auto table = table_of(10);
    const auto buckets = table.bucket_count();
    table.clear();
    give_back_buckets(table);

    EXPECT_EQ(table.bucket_count(), buckets);
}

} // namespace
} // namespace velostream
