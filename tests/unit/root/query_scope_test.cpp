// SPDX-License-Identifier: Apache-2.0
#include "velostream/query_scope.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <utility>

#include "support/run_coroutine.hpp"
#include "velostream/resource_manager.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

StreamingConfig with_queries(std::size_t most, std::optional<std::uint64_t> max_memory_mb = 100) {
    return {.max_memory_mb = max_memory_mb, .resource_limits = ResourceLimitsConfig{.max_concurrent_queries = most}};
}

class QueryScopeTest : public ::testing::Test {
  protected:
    template <class T>
    auto into(std::optional<Result<T>>& place) {
        return asio::bind_executor(io.get_executor(), [&place](Result<T> result) { place.emplace(std::move(result)); });
    }
    void run() {
        io.restart();
        io.poll();
    }

    asio::io_context io;
    ManualTime time;
    ResourceManager<NoConnections, ManualTime> resources{io.get_executor(), with_queries(2), {}, time};
};

TEST_F(QueryScopeTest, TheQueryAfterTheLastOneIsRefusedAtOnce) {
    auto first = resources.open_query({.name = "first"});
    auto second = resources.open_query({.name = "second"});
    ASSERT_TRUE(first && second);
    EXPECT_EQ(resources.queries().used(), 2u);

    const auto third = resources.open_query({.name = "third"});

    ASSERT_FALSE(third);
    EXPECT_EQ(third.error(), Errc::admission_refused);
    EXPECT_EQ(third.error().message(),
              "query not admitted: max_concurrent_queries: account 'third' asked for 1 query, refused by 'queries': "
              "used 2 of 2; largest: first 1, second 1; waiting could help");
}

TEST_F(QueryScopeTest, APlaceIsFreeWhenAQueryEnds) {
    auto first = resources.open_query();
    auto second = resources.open_query();
    {
        const auto ended = std::move(first);
    }

    EXPECT_TRUE(resources.open_query());
}

TEST_F(QueryScopeTest, HoldsNoMoreThanItsOwnLimit) {
    const auto query = resources.open_query({.name = "small", .max_memory_mb = 10});
    ASSERT_TRUE(query);

    auto most = query->memory().try_reserve(10 * mebibyte);
    EXPECT_TRUE(most);
    const auto refused = query->traffic().try_reserve(1);

    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("refused by 'small'"), std::string::npos) << refused.error().message();
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 10 * mebibyte);
}

TEST_F(QueryScopeTest, WithoutOneOfItsOwnTheLimitIsThatOfTheProcess) {
    const auto query = resources.open_query();

    const auto most = query->memory().try_reserve(100 * mebibyte);

    EXPECT_TRUE(most);
    EXPECT_FALSE(query->traffic().try_reserve(1));
}

TEST_F(QueryScopeTest, ItsStateAndItsTrafficCannotStarveEachOther) {
    const auto query = resources.open_query({.name = "small", .max_memory_mb = 8});

    const auto groups = query->state().try_reserve(6 * mebibyte);
    ASSERT_TRUE(groups);
    EXPECT_FALSE(query->state().try_reserve(1));

    const auto sends = query->traffic().try_reserve(2 * mebibyte);
    EXPECT_TRUE(sends);
    EXPECT_FALSE(query->traffic().try_reserve(1));
}

TEST_F(QueryScopeTest, ItsSharesAreThoseOfTheSmallerLimit) {
    const auto large = resources.open_query({.name = "large", .max_memory_mb = 1000});
    const auto small = resources.open_query({.name = "small", .max_memory_mb = 40});

    EXPECT_EQ(large->state().limit(), 75 * mebibyte) << "of the 100 of the process";
    EXPECT_EQ(large->traffic().limit(), 25 * mebibyte);
    EXPECT_EQ(small->state().limit(), 30 * mebibyte);
}

TEST_F(QueryScopeTest, TheLargestLegalLimitIsTakenAndTheNextIsNot) {
    constexpr auto most = (std::uint64_t{1} << 43) - 1;

    EXPECT_TRUE(resources.open_query({.name = "most", .max_memory_mb = most}));
    EXPECT_FALSE(resources.open_query({.name = "more", .max_memory_mb = most + 1}));
}

TEST_F(QueryScopeTest, WhatItHoldsCountsUntilItComesBack) {
    auto query = resources.open_query({.name = "short"});
    auto held = query->traffic().try_reserve(1000);
    {
        const auto ended = std::move(*query);
    }
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1000u);

    held->release();

    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
}

TEST_F(QueryScopeTest, TheStatsShowWhatEachQueryHoldsAndNothingTwice) {
    auto one = resources.open_query({.name = "one"});
    const auto named = resources.allocate_memory("sends", 1 * mebibyte);
    auto state = one->state().try_reserve(4 * mebibyte);
    const auto traffic = one->traffic().try_reserve(2 * mebibyte);
    const auto operation = one->memory().child("operation").try_reserve(1 * mebibyte);
    const auto other = resources.open_query({.name = "other"});
    EXPECT_FALSE(one->memory().try_reserve(1000 * mebibyte));

    const auto rows = [this] {
        std::string text;
        Bytes sum = 0;
        const auto stats = resources.get_memory_stats();
        for (const auto& row : stats.names) {
            text += row.name + "=" + std::to_string(row.used_bytes / mebibyte) + " ";
            sum += row.used_bytes;
        }
        EXPECT_EQ(sum, stats.used_bytes);
        return text;
    };
    EXPECT_EQ(rows(), "query/one=7 query/other=0 sends=1 state=0 traffic=0 ");
    const auto stats = resources.get_memory_stats();
    EXPECT_GE(stats.names.front().peak_bytes, 7 * mebibyte);
    EXPECT_EQ(stats.names.front().refusals, 1u);

    {
        const auto ended = std::move(*one);
    }
    EXPECT_EQ(rows(), "query/one=7 query/other=0 sends=1 state=0 traffic=0 ") << "it holds something still";
    state->release();
    EXPECT_EQ(rows(), "query/one=3 query/other=0 sends=1 state=0 traffic=0 ");
}

TEST_F(QueryScopeTest, TheStatsShowAQueryThatHasEndedAsLongAsItHoldsSomething) {
    auto query = std::optional{resources.open_query({.name = "one"}).value()};
    const auto held = query->memory().try_reserve(10_MiB);
    query.reset();

    const auto names = resources.get_memory_stats().names;

    EXPECT_EQ(std::ranges::count(names, "query/one", &NamedMemoryStats::name), 1);
}

TEST_F(QueryScopeTest, TheStatsForgetQueriesThatHaveEndedAndHoldNothing) {
    for (int round = 0; round < 100; ++round) {
        const auto query = resources.open_query({.name = "short"});
        const auto held = query->traffic().try_reserve(1000);
    }

    EXPECT_EQ(resources.get_memory_stats().names.size(), 2u) << "state and traffic";
}

TEST_F(QueryScopeTest, AnImpossibleLimitIsAnErrorAndTakesNoPlace) {
    for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{1} << 44}) {
        const auto query = resources.open_query({.name = "wrong", .max_memory_mb = wrong});

        ASSERT_FALSE(query);
        EXPECT_EQ(query.error(), boost::system::errc::invalid_argument);
        EXPECT_NE(query.error().message().find("max_memory_mb = " + std::to_string(wrong) + ": must be 1 to"),
                  std::string::npos)
            << query.error().message();
    }
    EXPECT_EQ(resources.queries().used(), 0u);
}

TEST_F(QueryScopeTest, AnImpossibleLimitDoesNotWaitForAPlace) {
    const auto first = resources.open_query(), second = resources.open_query();
    std::optional<Result<QueryScope>> wrong;
    resources.async_admit({.name = "wrong", .max_memory_mb = 0}, into(wrong));
    EXPECT_FALSE(wrong) << "never inside of the call";
    run();

    ASSERT_TRUE(wrong);
    EXPECT_EQ(wrong->error(), boost::system::errc::invalid_argument);
    EXPECT_FALSE(resources.queries().anyone_waits());
}

TEST_F(QueryScopeTest, WaitsForAPlaceInTurn) {
    auto first = resources.open_query();
    auto second = resources.open_query();
    std::optional<Result<QueryScope>> third, fourth;
    resources.async_admit({.name = "third"}, TimePoint::max(), into(third));
    resources.async_admit({.name = "fourth"}, TimePoint::max(), into(fourth));
    run();
    EXPECT_FALSE(third || fourth);
    EXPECT_NE(resources.open_query().error().message().find("2 waiting"), std::string::npos);

    {
        const auto ended = std::move(first);
    }
    run();

    ASSERT_TRUE(third);
    EXPECT_EQ((*third)->name(), "third");
    EXPECT_FALSE(fourth);
}

TEST_F(QueryScopeTest, AWaitForAPlaceEndsAtItsDeadlineOrWhenItIsCancelled) {
    auto first = resources.open_query();
    auto second = resources.open_query();
    std::optional<Result<QueryScope>> late, cancelled;
    asio::cancellation_signal signal;
    resources.async_admit({}, time.now() + 1s, into(late));
    resources.async_admit({}, time.now() + 5s, asio::bind_cancellation_slot(signal.slot(), into(cancelled)));

    time.advance(1s);
    run();
    signal.emit(asio::cancellation_type::total);
    run();

    ASSERT_TRUE(late && cancelled);
    EXPECT_EQ(late->error(), Errc::deadline_exceeded);
    ASSERT_TRUE(late->error().inner());
    EXPECT_EQ(*late->error().inner(), Errc::admission_refused);
    EXPECT_NE(late->error().message().find("used 2 of 2; largest: query 1, query 1; "), std::string::npos)
        << late->error().message();
    EXPECT_EQ(cancelled->error(), Errc::cancelled);
    EXPECT_EQ(resources.queries().waiting(), 0u);
}

// Awaited in place, with names that fit in no small string.
TEST_F(QueryScopeTest, IsAwaitedWithLimitsMadeInPlace) {
    auto opens = [this]() -> asio::awaitable<std::string> {
        const auto first = co_await resources.async_admit({.name = "orders by customer, all of them"}, time.now() + 1s,
                                                          asio::use_awaitable);
        const auto second = co_await resources.async_admit(
            {.name = "clicks by page and by country", .max_memory_mb = 10}, asio::use_awaitable);
        co_return std::string{first->name()} + ", " + std::string{second->name()} + ", " +
            std::to_string(*second->memory().limit() / mebibyte);
    };

    const auto opening = testing::start(io, opens());

    ASSERT_TRUE(opening.ended());
    EXPECT_EQ(opening.value(), "orders by customer, all of them, clicks by page and by country, 10");
    EXPECT_EQ(resources.queries().used(), 0u);
}

TEST_F(QueryScopeTest, ANameIsCopiedByTheCall) {
    auto first = resources.open_query(), second = resources.open_query();
    std::optional<Result<QueryScope>> third;
    std::string name = "a query whose name fits in no small string";
    resources.async_admit({.name = name}, into(third));
    name.assign(name.size(), 'x');

    {
        const auto ended = std::move(first);
    }
    run();

    ASSERT_TRUE(third && *third);
    EXPECT_EQ((*third)->name(), "a query whose name fits in no small string");
}

TEST_F(QueryScopeTest, AWaitWithoutADeadlineGoesOn) {
    auto first = resources.open_query(), second = resources.open_query();
    std::optional<Result<QueryScope>> third;
    resources.async_admit({}, into(third));

    time.advance(24h);
    run();
    EXPECT_FALSE(third);

    first = Error{Errc::cancelled};
    run();
    EXPECT_TRUE(third && *third);
}

TEST_F(QueryScopeTest, AnAllocationThatWaitsIsCountedUnderItsName) {
    auto held = resources.allocate_memory("windows", 100 * mebibyte);
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory("sends", mebibyte, time.now() + 1s, into(allocation));
    run();
    ASSERT_FALSE(allocation);

    held->release();
    run();

    ASSERT_TRUE(allocation && *allocation);
    EXPECT_EQ((*allocation)->name(), "sends");
    EXPECT_EQ(resources.account("sends").used(), mebibyte);
}

TEST_F(QueryScopeTest, AnAllocationMayWaitWithoutADeadline) {
    auto held = resources.allocate_memory("windows", 100 * mebibyte);
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory("sends", mebibyte, into(allocation));
    time.advance(24h);
    run();
    ASSERT_FALSE(allocation);

    held->release();
    run();

    EXPECT_TRUE(allocation && *allocation);
}

} // namespace
} // namespace velostream
