// SPDX-License-Identifier: Apache-2.0
// However a wait for memory ends early, it leaves nothing behind: no bytes, no waiter, no sleeper.
#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "support/cancellation_kinds.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/async_reserve_all.hpp"
#include "velostream/resource_manager.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CancelledReserveTest : public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    CancelledReserveTest() { full = process.try_reserve(100).value(); }

    void poll(asio::io_context& context) {
        context.restart();
        context.poll();
    }
    auto reserve(asio::io_context& context, Bytes bytes) {
        return testing::start(context, async_reserve(account, bytes, time.now() + 1s, time, asio::use_awaitable));
    }
    auto reserve_all(asio::io_context& context, Bytes bytes) {
        return testing::start(context, async_reserve_all({{account, bytes}, {other, bytes}, {slots, 1}},
                                                         time.now() + 1s, time, asio::use_awaitable));
    }
    void expect_nothing_left() {
        full.release();
        EXPECT_EQ(process.used(), 0u);
        EXPECT_EQ(slots.used(), 0u);
        EXPECT_FALSE(process.anyone_waits() || slots.anyone_waits());
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_TRUE(process.try_reserve(100));
        EXPECT_TRUE(slots.try_reserve(1));
    }

    testing::ManualTime time;
    asio::io_context elsewhere;
    std::optional<asio::io_context> io{std::in_place};
    const MemoryAccount process{"process", 100}, slots{"slots", BudgetUnit::queries, 1};
    const MemoryAccount account = process.child("account"), other = process.child("other");
    MemoryReservation full;
};

INSTANTIATE_TEST_SUITE_P(Kinds, CancelledReserveTest, ::testing::ValuesIn(testing::cancellation_kinds));

TEST_P(CancelledReserveTest, AsTheOnlyOne) {
    const auto wait = reserve(*io, 10);

    wait.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, InFrontOfOneWhoFits) {
    const auto wait = reserve(*io, 100), next = reserve(*io, 10);
    full.shrink(50);

    wait.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    EXPECT_EQ(next.value()->bytes(), 10u);
    next.value()->release();
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, BehindOneWhoWaits) {
    const auto first = reserve(*io, 50), wait = reserve(*io, 50);

    wait.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    full.release();
    poll(*io);
    first.value()->release();
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, WhileItsGrantIsOnItsWay) {
    const auto wait = reserve(*io, 10);
    full.release();

    wait.cancel(GetParam());
    poll(*io);

    if (wait.value()) wait.value()->release(); // the grant came first
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, ForSeveralInTheTreeThatIsShort) {
    const auto wait = reserve_all(*io, 10);

    wait.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, ForSeveralWhileTheOtherTreeIsHeld) {
    full.release();
    auto slot = slots.try_reserve(1);
    const auto wait = reserve_all(*io, 10);

    wait.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    EXPECT_EQ(process.used(), 0u);
    slot->release();
    expect_nothing_left();
}

TEST_P(CancelledReserveTest, ForAPlaceAmongTheQueries) {
    const StreamingConfig one_query{.resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 1}};
    ResourceManager<NoConnections, testing::ManualTime> resources{elsewhere.get_executor(), one_query, {}, time};
    auto open = std::optional{resources.open_query()};
    const auto admit = [&resources]() -> asio::awaitable<Result<int>> {
        auto admitting = resources.async_admit({}, asio::use_awaitable);
        const auto query = co_await std::move(admitting);
        co_return query ? Result<int>{1} : query.error();
    };
    const auto wait = testing::start(*io, admit());
    const auto next = testing::start(*io, admit());

    wait.cancel(GetParam());
    poll(*io);
    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    open.reset();
    poll(*io);

    EXPECT_TRUE(next.value());
    EXPECT_EQ(resources.queries().waiting(), 0u);
    full.release();
}

TEST_P(CancelledReserveTest, ForAnAllocationOfAManager) {
    ResourceManager<NoConnections, testing::ManualTime> resources{
        elsewhere.get_executor(), StreamingConfig{.max_memory_mb = 1}, {}, time};
    auto held = resources.allocate_memory("held", mebibyte);
    const auto allocate = [&]() -> asio::awaitable<Result<int>> {
        auto allocating = resources.async_allocate_memory("waits", 100, time.now() + 1s, asio::use_awaitable);
        const auto allocation = co_await std::move(allocating);
        co_return allocation ? Result<int>{1} : allocation.error();
    };
    const auto wait = testing::start(*io, allocate()), next = testing::start(*io, allocate());

    wait.cancel(GetParam());
    poll(*io);
    EXPECT_EQ(wait.value().error(), Errc::cancelled);
    held->release();
    poll(*io);

    EXPECT_TRUE(next.value());
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
    EXPECT_FALSE(resources.memory().anyone_waits());
    expect_nothing_left();
}

// The context ends while somebody waits in it: his frame is destroyed there.
class DestroyedReserve : public CancelledReserveTest {};

INSTANTIATE_TEST_SUITE_P(Once, DestroyedReserve, ::testing::Values(asio::cancellation_type::terminal));

TEST_P(DestroyedReserve, WithTheOneBehindItInAnotherContext) {
    const auto wait = reserve(*io, 100);
    const auto next = reserve(elsewhere, 10);
    full.shrink(50);

    io.reset();
    poll(elsewhere);

    EXPECT_FALSE(wait.ended());
    next.value()->release();
    expect_nothing_left();
}

TEST_P(DestroyedReserve, WhileItsGrantIsOnItsWay) {
    const auto wait = reserve(*io, 10);
    full.release();

    io.reset();

    EXPECT_FALSE(wait.ended());
    expect_nothing_left();
}

TEST_P(DestroyedReserve, OfAPlaceAmongTheQueriesAndOfAnAllocation) {
    const StreamingConfig config{.max_memory_mb = 1,
                                 .resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 1}};
    ResourceManager<NoConnections, testing::ManualTime> resources{elsewhere.get_executor(), config, {}, time};
    auto open = std::optional{resources.open_query()};
    auto held = resources.allocate_memory("held", mebibyte);
    const auto admit = [&]() -> asio::awaitable<bool> {
        auto admitting = resources.async_admit({}, asio::use_awaitable);
        const auto query = co_await std::move(admitting);
        co_return query.has_value();
    };
    const auto allocate = [&]() -> asio::awaitable<bool> {
        auto allocating = resources.async_allocate_memory("waits", 100, asio::use_awaitable);
        const auto allocation = co_await std::move(allocating);
        co_return allocation.has_value();
    };
    const auto waits = testing::start(*io, admit()), granted = testing::start(*io, allocate());
    held->release(); // its grant is on its way

    io.reset();
    open.reset();

    EXPECT_FALSE(waits.ended() || granted.ended());
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
    EXPECT_EQ(resources.queries().used(), 0u);
    EXPECT_FALSE(resources.memory().anyone_waits() || resources.queries().anyone_waits());
    full.release();
}

TEST_P(DestroyedReserve, OfSeveralWhileTheOtherTreeIsHeld) {
    full.release();
    auto slot = slots.try_reserve(1);
    const auto wait = reserve_all(*io, 10);

    io.reset();

    EXPECT_FALSE(wait.ended());
    EXPECT_EQ(process.used(), 0u);
    slot->release();
    expect_nothing_left();
}

} // namespace
} // namespace velostream
