// SPDX-License-Identifier: Apache-2.0
#include "velostream/resource_manager.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <concepts>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"
#include "velostream/testing/scripted_connections.hpp"

namespace velostream {
namespace {

using testing::ScriptedConnections;

TEST_F(ResourceManagerTest, AnAllocationIsTransferredToAQueryWithoutTouchingTheLimit) {
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 1}};
    const auto query = resources.open_query({.name = "query"});
    auto whole = resources.allocate_memory("batch", mebibyte);

    EXPECT_TRUE(whole->try_transfer(query->memory()));

    EXPECT_EQ(whole->name(), "query");
    EXPECT_EQ(resources.account("batch").used(), 0u);
    EXPECT_EQ(query->memory().used(), mebibyte);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, mebibyte);
    EXPECT_FALSE(whole->try_transfer(query->state())) << "three quarters of what the query may hold";
    EXPECT_EQ(whole->bytes(), mebibyte);
}

TEST_F(ResourceManagerTest, AnAllocationIsSplitAndMergedWithoutTouchingTheLimit) {
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 1}};
    auto whole = resources.allocate_memory("batch", mebibyte);
    ASSERT_TRUE(whole);

    auto part = whole->split(1000);
    EXPECT_EQ(part.bytes(), 1000u);
    EXPECT_EQ(part.name(), "batch");
    EXPECT_EQ(whole->bytes(), mebibyte - 1000);
    part.release();
    EXPECT_EQ(resources.get_memory_usage().bytes_used, mebibyte - 1000);

    auto rest = whole->split(2 * mebibyte);
    EXPECT_EQ(rest.bytes(), mebibyte - 1000);
    EXPECT_EQ(whole->bytes(), 0u);
    EXPECT_TRUE(whole->merge(std::move(rest)));
    EXPECT_EQ(whole->bytes(), mebibyte - 1000);
    whole->release();
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
}

TEST_F(ResourceManagerTest, AllocationsOfOtherNamesOrManagersAreNotMerged) {
    auto resources = limited(1), others = limited(1);
    auto batch = *resources.allocate_memory("batch", 1000);
    auto sends = *resources.allocate_memory("sends", 100);
    auto elsewhere = *others.allocate_memory("batch", 10);

    for (auto* other : {&sends, &elsewhere}) {
        const auto merged = batch.merge(std::move(*other));
        ASSERT_FALSE(merged);
        EXPECT_EQ(merged.error(), boost::system::errc::invalid_argument);
        EXPECT_NE(merged.error().message().find("'batch'"), std::string::npos) << merged.error().message();
    }

    EXPECT_EQ(batch.bytes(), 1000u);
    EXPECT_EQ(sends.bytes(), 100u);
    EXPECT_EQ(elsewhere.bytes(), 10u);
    batch.release();
    EXPECT_EQ(resources.account("batch").used(), 0u);
    EXPECT_EQ(resources.account("sends").used(), 100u);
    EXPECT_TRUE(batch.merge(std::move(batch))) << "it has nothing to give";
}

TEST_F(ResourceManagerTest, IsMadeFromAnExecutorAndAConfigWithOrWithoutAFactory) {
    const StreamingConfig config{.max_memory_mb = 64};
    ScriptedConnections factory;

    ResourceManager plain{io.get_executor(), config};
    ResourceManager with_factory{io.get_executor(), config, factory};
    ResourceManager with_time{io.get_executor(), config, factory, options(), time};

    static_assert(std::same_as<decltype(plain), ResourceManager<>>);
    static_assert(std::same_as<decltype(with_factory), ResourceManager<ScriptedConnections>>);
    static_assert(std::same_as<decltype(with_time), ResourceManager<ScriptedConnections, ManualTime>>);
    EXPECT_EQ(plain.memory().limit(), 64_MiB);
}

TEST_F(ResourceManagerTest, RefusesAnInvalidConfigWithEveryProblem) {
    const StreamingConfig config{.max_memory_mb = std::numeric_limits<std::uint64_t>::max(), .max_connections = 0};
    try {
        const ResourceManager invalid{io.get_executor(), config, ResourceManagerOptions{.state_share = 1.5}};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text = problem.what();
        EXPECT_NE(text.find("max_memory_mb"), std::string::npos) << text;
        EXPECT_NE(text.find("max_connections"), std::string::npos) << text;
        EXPECT_NE(text.find("state_share"), std::string::npos) << text;
    }
}

TEST_F(ResourceManagerTest, AllocatesExactlyUpToTheLimitOverAllNames) {
    auto resources = limited(1);

    auto windows = resources.allocate_memory("windows", 900'000);
    const auto too_much = resources.allocate_memory("sends", 900'000);
    auto rest = resources.allocate_memory("sends", 1_MiB - 900'000);
    const auto one_more = resources.allocate_memory("windows", 1);

    ASSERT_TRUE(windows);
    EXPECT_FALSE(too_much);
    ASSERT_TRUE(rest);
    EXPECT_FALSE(one_more);
    EXPECT_EQ(windows->bytes(), 900'000u);
    EXPECT_EQ(windows->name(), "windows");
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1_MiB);
    EXPECT_EQ(resources.get_memory_usage().percentage, 100.0);
}

TEST_F(ResourceManagerTest, ARefusalSaysNameAskedUsedAndLimit) {
    auto resources = limited(1);
    const auto held = resources.allocate_memory("windows", 1'000'000);

    const auto refused = resources.allocate_memory("window_buffer", 50'000);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(refused.error().type(), ErrorType::resource_exhausted);
    const auto detail = std::string{refused.error().detail()};
    for (const auto* part : {"window_buffer", "50000", "1000000 of 1048576", "windows 1000000", "waiting could help"}) {
        EXPECT_NE(detail.find(part), std::string::npos) << detail;
    }
}

TEST_F(ResourceManagerTest, AnAllocationGivesItsBytesBackOnceAlsoWhenMovedGrownAndShrunk) {
    static_assert(!std::is_copy_constructible_v<Allocation>);
    auto resources = limited(1);
    {
        auto first = *resources.allocate_memory("a", 1000);
        auto second = *resources.allocate_memory("b", 500);
        EXPECT_TRUE(first.try_grow(1000));
        EXPECT_FALSE(first.try_grow(1_MiB));
        second.shrink(100);
        EXPECT_EQ(resources.get_memory_usage().bytes_used, 2400u);

        first = std::move(second);
        EXPECT_EQ(resources.get_memory_usage().bytes_used, 400u);
        EXPECT_EQ(first.name(), "b");
        first.release();
        first.release();
    }
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
}

TEST_F(ResourceManagerTest, WhatIsAvailableIsTheRestOfTheLimitOrWhatTheMachineLeaves) {
    auto with_limit = limited(2);
    auto without = manager({});

    const auto held = with_limit.allocate_memory("windows", 1_MiB + 1);
    const auto also_held = without.allocate_memory("windows", 1_MiB + 1);

    ASSERT_TRUE(held && also_held);
    EXPECT_EQ(with_limit.get_memory_stats().available_bytes, 1_MiB - 1);
    EXPECT_EQ(without.get_memory_stats().available_bytes, 6144 * mebibyte); // MemAvailable of the fixture
}

TEST_F(ResourceManagerTest, WhereTheLimitFellBelowUseAllIsUsedAndNothingAvailable) {
    auto resources = limited(4);
    const auto held = resources.allocate_memory("windows", 2_MiB);

    for (const auto limit : {1_MiB, Bytes{0}}) {
        resources.memory().set_limit(limit);

        EXPECT_EQ(resources.get_memory_usage().percentage, 100.0) << limit;
        EXPECT_EQ(resources.get_memory_stats().pressure_percentage, 100.0) << limit;
        EXPECT_EQ(resources.get_memory_stats().available_bytes, 0u) << limit;
        EXPECT_EQ(resources.get_memory_stats().available_mb, 0u) << limit;
    }
}

TEST_F(ResourceManagerTest, AnAllocationMayOutliveItsManager) {
    std::optional<Allocation> allocation;
    {
        auto resources = limited(1);
        allocation.emplace(*resources.allocate_memory("a", 1000));
    }
    EXPECT_EQ(allocation->bytes(), 1000u);
    EXPECT_TRUE(allocation->try_grow(1000));
}

TEST_F(ResourceManagerTest, AWaitMayOutliveItsManager) {
    std::optional<Allocation> held;
    std::optional<QueryScope> query;
    std::optional<Result<Allocation>> allocation;
    std::optional<Result<QueryScope>> admitted;
    {
        auto resources =
            manager({.max_memory_mb = 1, .resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 1}});
        held.emplace(*resources.allocate_memory("a", 1_MiB));
        query.emplace(*resources.open_query());
        resources.async_allocate_memory("b", 1000, TimePoint::max(), asio::bind_executor(io, [&](auto result) {
                                            allocation.emplace(std::move(result));
                                        }));
        resources.async_admit({.name = "late"}, TimePoint::max(),
                              asio::bind_executor(io, [&](auto result) { admitted.emplace(std::move(result)); }));
    }

    held->release();
    query.reset();
    io.poll();

    ASSERT_TRUE(allocation && *allocation && admitted && *admitted);
    EXPECT_EQ((*allocation)->name(), "b");
    EXPECT_EQ((*admitted)->state().limit(), 768_KiB);
    EXPECT_TRUE((*allocation)->try_grow(1000));
}

TEST_F(ResourceManagerTest, AnAllocationThatIsMovedToItselfKeepsItsBytes) {
    auto resources = limited(1);
    auto allocation = *resources.allocate_memory("a", 1000);
    auto& itself = allocation;

    allocation = std::move(itself);

    EXPECT_EQ(allocation.bytes(), 1000u);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1000u);
}

TEST_F(ResourceManagerTest, AnAllocationThatWasMovedFromHasNoNameAndNoBytesAndMayBeAssignedTo) {
    auto resources = limited(1);
    auto from = *resources.allocate_memory("a", 1000);
    auto to = std::move(from);

    EXPECT_EQ(from.name(), "");
    EXPECT_EQ(from.bytes(), 0u);
    from.release();
    from = std::move(to);

    EXPECT_EQ(from.name(), "a");
    EXPECT_EQ(from.bytes(), 1000u);
}

TEST_F(ResourceManagerTest, AccountsOfANameAndItsAllocationsAreTheSame) {
    auto resources = limited(1);
    const auto account = resources.account("sends");

    const auto hot = account.try_reserve(1000);
    const auto allocation = resources.allocate_memory("sends", 500);

    EXPECT_EQ(account.used(), 1500u);
    EXPECT_EQ(resources.account("sends"), account);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1500u);
}

TEST_F(ResourceManagerTest, TheNamesStateAndTrafficAreTheirAccounts) {
    auto resources = limited(100);

    EXPECT_EQ(resources.account("state"), resources.state());
    EXPECT_EQ(resources.account("traffic"), resources.traffic());
    EXPECT_FALSE(resources.allocate_memory("traffic", 26_MiB)) << "a quarter of the limit";
}

TEST_F(ResourceManagerTest, StatsShowTheWholeAndEachName) {
    auto resources = limited(100);
    const auto held = resources.allocate_memory("windows", 10_MiB + 1);
    {
        const auto passing = resources.allocate_memory("sends", 5_MiB);
    }
    EXPECT_FALSE(resources.allocate_memory("sends", 200_MiB));

    const auto stats = resources.get_memory_stats();

    EXPECT_EQ(stats.used_mb, 10u);
    EXPECT_EQ(stats.available_mb, 89u);
    EXPECT_NEAR(stats.pressure_percentage, 10.0, 0.001);
    EXPECT_EQ(stats.pressure, PressureLevel::normal);
    EXPECT_EQ(stats.used_bytes, 10_MiB + 1);
    EXPECT_EQ(stats.peak_bytes, 15_MiB + 1);
    EXPECT_EQ(stats.limit_bytes, 100_MiB);
    const auto of = [&](std::string_view name) {
        return *std::ranges::find(stats.names, name, &NamedMemoryStats::name);
    };
    EXPECT_EQ(of("windows").used_bytes, 10_MiB + 1);
    EXPECT_EQ(of("sends").used_bytes, 0u);
    EXPECT_EQ(of("sends").peak_bytes, 5_MiB);
    EXPECT_EQ(of("sends").refusals, 1u);
    EXPECT_EQ(of("windows").refusals, 0u);
}

TEST_F(ResourceManagerTest, WithoutALimitRefusesNothingAndShowsWhatTheMachineLeaves) {
    auto resources = manager({});

    const auto huge = resources.allocate_memory("windows", 1_GiB * 1024);
    const auto stats = resources.get_memory_stats();

    EXPECT_TRUE(huge);
    EXPECT_EQ(resources.get_memory_usage().percentage, 0.0);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1_GiB * 1024);
    EXPECT_EQ(stats.available_mb, 6144u);
    EXPECT_EQ(stats.pressure_percentage, 25.0);
    EXPECT_FALSE(stats.limit_bytes);
}

TEST_F(ResourceManagerTest, LendsConnectionsOfTheConfiguredPool) {
    ScriptedConnections factory{time};
    ResourceManager resources{
        io.get_executor(),
        {.max_connections = 2, .resource_limits = ResourceLimitsConfig{.connection_pool_size = 2}},
        factory,
        options(),
        time};
    std::vector<ConnectionLease<ScriptedConnections::Connection>> leases;
    const auto borrow = [&]() -> asio::awaitable<void> {
        auto lease = co_await resources.get_connection();
        if (lease) leases.push_back(std::move(*lease));
    };
    for (int count = 0; count < 3; ++count) asio::co_spawn(io, borrow(), asio::detached);
    io.poll();

    auto stats = resources.get_connection_pool_stats();
    EXPECT_EQ(stats.active, 2u);
    EXPECT_EQ(stats.waiting, 1u);
    EXPECT_EQ(resources.connections().used(), 2u);

    leases.clear();
    io.restart();
    io.poll();
    stats = resources.get_connection_pool_stats();
    EXPECT_EQ(stats.active, 1u);
    EXPECT_EQ(stats.idle, 1u);
    EXPECT_EQ(stats.total, 2u);
}

TEST_F(ResourceManagerTest, MaxConnectionsBoundsAllPoolsTogether) {
    ScriptedConnections factory{time};
    ResourceManager resources{io.get_executor(), {.max_connections = 3}, factory, options(), time};
    ConnectionPool other{io.get_executor(), {.max_size = 3}, factory, {.places = resources.connections()}, time};
    std::vector<ConnectionLease<ScriptedConnections::Connection>> leases;
    const auto borrow = [&](auto& from) -> asio::awaitable<void> {
        auto lease = co_await from.get_connection();
        if (lease) leases.push_back(std::move(*lease));
    };
    for (int count = 0; count < 2; ++count) asio::co_spawn(io, borrow(resources), asio::detached);
    for (int count = 0; count < 2; ++count) asio::co_spawn(io, borrow(other), asio::detached);
    io.poll();

    EXPECT_EQ(leases.size(), 3u);
    EXPECT_EQ(factory.counts().most_alive, 3u);
    EXPECT_EQ(resources.connections().used(), 3u);
}

TEST_F(ResourceManagerTest, WithoutAFactoryTheConnectionPoolIsAllZero) {
    const ResourceManager resources{io.get_executor(), StreamingConfig{}};

    EXPECT_EQ(resources.get_connection_pool_stats().total, 0u);
}

} // namespace
} // namespace velostream
