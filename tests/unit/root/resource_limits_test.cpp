// SPDX-License-Identifier: Apache-2.0
// What is limited beside memory: records in windows, groups, bytes on disk.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "resource_manager_fixture.hpp"

namespace velostream {
namespace {

class ResourceLimitsTest : public ResourceManagerTest {
  protected:
    ResourceManager<NoConnections, ManualTime> resources = manager(
        {.max_connections = 7,
         .resource_limits = ResourceLimitsConfig{.max_window_buffer_size = 1000, .max_aggregation_groups = 10}});
};

TEST_F(ResourceLimitsTest, OneGroupMoreThanTheMostIsRefused) {
    auto most = resources.groups().try_reserve(10);
    ASSERT_TRUE(most);

    const auto refused = resources.groups().try_reserve(1);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::group_refused);
    EXPECT_TRUE(refused.error().blames_record());
    EXPECT_EQ(refused.error().message(),
              "new group refused: account 'groups' asked for 1 group: used 10 of 10; waiting could help");
    most->shrink(1);
    EXPECT_TRUE(resources.groups().try_reserve(1));
}

TEST_F(ResourceLimitsTest, OneRecordMoreThanTheWindowBufferIsRefused) {
    const auto most = resources.window_records().try_reserve(999);

    const auto refused = resources.window_records().try_reserve(2);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::window_buffer_full);
    EXPECT_FALSE(refused.error().blames_record());
    EXPECT_EQ(refused.error().detail(),
              "account 'window_records' asked for 2 records: used 999 of 1000; waiting could help");
}

TEST_F(ResourceLimitsTest, EachQueryHasLimitsOfItsOwn) {
    const auto orders = resources.open_query({.name = "orders"}), clicks = resources.open_query({.name = "clicks"});
    const auto totals = orders->groups().child("totals"), averages = orders->groups().child("averages");
    const auto held = totals.try_reserve(8), more = averages.try_reserve(2);

    const auto refused = averages.try_reserve(1);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::group_refused);
    EXPECT_EQ(refused.error().detail(),
              "account 'averages' asked for 1 group, refused by 'orders': used 10 of 10; "
              "largest: totals 8, averages 2; waiting could help");
    EXPECT_TRUE(clicks->groups().try_reserve(10));
    EXPECT_TRUE(resources.groups().try_reserve(10));

    EXPECT_TRUE(orders->window_records().try_reserve(1000));
    EXPECT_EQ(orders->window_records().try_reserve(1001).error(), Errc::window_buffer_full);
    EXPECT_TRUE(clicks->window_records().try_reserve(1000));
}

TEST_F(ResourceLimitsTest, WhatAQueryHoldsComesBackWhenItEnds) {
    auto query = std::optional{*resources.open_query({.name = "orders"})};
    const auto groups = query->groups(), records = query->window_records(), memory = query->memory();
    {
        const auto ended = std::move(*query);
        const auto held_groups = groups.try_reserve(10), held_records = records.try_reserve(1000);
        const auto held_memory = ended.state().try_reserve(1_MiB);
        ASSERT_TRUE(held_groups && held_records && held_memory);
        EXPECT_EQ(resources.queries().used(), 1u);
    }

    EXPECT_EQ(resources.queries().used(), 0u);
    EXPECT_EQ(groups.used() + records.used() + memory.used(), 0u);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
}

TEST_F(ResourceLimitsTest, AGroupIsWaitedForAsMemoryIs) {
    auto held = resources.groups().try_reserve(10);
    std::optional<Result<MemoryReservation>> late, granted;
    const auto into = [this](auto& place) {
        return asio::bind_executor(io, [&place](auto result) { place.emplace(std::move(result)); });
    };
    async_reserve(resources.groups(), 10, time.now() + 1s, time, into(late));
    time.advance(1s);
    async_reserve(resources.groups(), 1, into(granted));
    held->shrink(1);
    io.poll();

    ASSERT_TRUE(late && granted);
    EXPECT_EQ(late->error(), Errc::deadline_exceeded);
    EXPECT_EQ(*late->error().inner(), Errc::group_refused);
    EXPECT_TRUE(*granted);
}

TEST_F(ResourceLimitsTest, DiskHasNoLimitUntilItIsGivenOne) {
    EXPECT_EQ(resources.disk().unit(), BudgetUnit::disk_bytes);
    EXPECT_TRUE(resources.disk().try_reserve(1000 * 1_GiB));

    resources.disk().set_limit(1_GiB);
    const auto refused = resources.disk().try_reserve(1_GiB + 1);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::disk_quota_exceeded);
    EXPECT_EQ(refused.error().type(), ErrorType::resource_exhausted);
}

TEST_F(ResourceLimitsTest, ConnectionsAndQueriesAreCountedAsWhatTheyAre) {
    EXPECT_EQ(resources.connections().unit(), BudgetUnit::connections);
    EXPECT_EQ(resources.connections().try_reserve(8).error(), Errc::pool_exhausted);
    EXPECT_EQ(resources.queries().unit(), BudgetUnit::queries);
    EXPECT_EQ(resources.memory().unit(), BudgetUnit::bytes);
}

TEST_F(ResourceLimitsTest, WhoeverWaitsForAGroupIsToldOfInAStall) {
    const auto query = resources.open_query({.name = "orders"});
    const auto held = query->groups().try_reserve(10);
    async_reserve(query->groups(), 1, asio::bind_executor(io, [](const Result<MemoryReservation>&) {}));
    for (int look = 0; look < 8; ++look) {
        io.restart();
        io.poll();
        time.advance(10s);
    }
    io.restart();
    io.poll();

    EXPECT_EQ(resources.get_memory_stats().stalls, 1u);
}

} // namespace
} // namespace velostream
