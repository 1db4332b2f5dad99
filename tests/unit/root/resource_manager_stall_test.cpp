// SPDX-License-Identifier: Apache-2.0
// Somebody waits for memory, or for a query's place, and nothing comes back.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <limits>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"
#include "support/interrupted_executor.hpp"

namespace velostream {
namespace {

class StallTest : public ResourceManagerTest {
  protected:
    // Looks come every 10 s: a stall is told between 40 and 60 s after its beginning.
    ResourceManager<NoConnections, ManualTime> stalling() { return stalling(io.get_executor()); }
    ResourceManager<NoConnections, ManualTime> stalling(const asio::any_io_executor& executor) {
        auto with_timeout = options();
        with_timeout.stall_timeout = 40s;
        const StreamingConfig config{.max_memory_mb = 1,
                                     .resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 1}};
        return ResourceManager<NoConnections, ManualTime>{executor, config, with_timeout, time};
    }
    template <class Manager>
    void ask(Manager& resources, std::string_view name, Bytes bytes) {
        resources.async_allocate_memory(name, bytes, TimePoint::max(), asio::bind_executor(io, [this](auto allocation) {
                                            if (allocation) granted.push_back(std::move(*allocation));
                                        }));
        run();
    }
    void run() {
        io.restart();
        io.poll();
    }
    void advance(Duration by) {
        for (auto left = by; left > Duration{0}; left -= 5s) {
            time.advance(5s);
            run();
        }
    }
    Events stalls() {
        auto events = observer->take();
        std::erase_if(events, [](const auto& event) { return !event.starts_with("stalled"); });
        return events;
    }

    std::vector<Allocation> granted;
};

TEST_F(StallTest, IsToldOnceWhenNothingComesBackForSoLong) {
    auto resources = stalling();
    const auto held = resources.allocate_memory("windows", 1_MiB);
    ask(resources, "groups", 10);
    ask(resources, "groups", 20);
    advance(40s);
    EXPECT_EQ(stalls(), Events{});
    EXPECT_EQ(resources.get_memory_stats().stalls, 0u);

    advance(20s);

    EXPECT_EQ(stalls(), Events{"stalled process, 2 waiting, used 1048576 of 1048576, 40 s"});
    EXPECT_EQ(resources.get_memory_stats().stalls, 1u);
    advance(300s);
    EXPECT_EQ(stalls(), Events{}) << "once";
}

TEST_F(StallTest, IsNoneWhileSomethingComesBack) {
    auto resources = stalling();
    auto held = resources.allocate_memory("windows", 1_MiB);
    ask(resources, "groups", 1000);
    for (int i = 0; i < 20; ++i) {
        advance(30s);
        held->shrink(10);
    }

    EXPECT_EQ(stalls(), Events{});

    advance(60s);
    EXPECT_EQ(stalls().size(), 1u) << "but when that ends, it is one";
    held->shrink(10);
    advance(60s);
    EXPECT_EQ(stalls().size(), 1u) << "and then another one";
}

TEST_F(StallTest, IsToldForEachAccountWhereSomebodyWaits) {
    auto resources = stalling();
    const auto held = resources.allocate_memory("windows", 1000);
    auto busy = resources.allocate_memory("groups", 500);
    resources.account("windows").set_limit(1000);
    resources.account("groups").set_limit(500);
    ask(resources, "windows", 10);
    ask(resources, "groups", 400);
    for (int i = 0; i < 4; ++i) {
        advance(20s);
        busy->shrink(1);
    }

    EXPECT_EQ(stalls(), Events{"stalled windows, 1 waiting, used 1000 of 1000, 40 s"});
}

TEST_F(StallTest, OfTwoAccountsAtOnceAreTwo) {
    auto resources = stalling();
    const auto windows = resources.allocate_memory("windows", 1000), groups = resources.allocate_memory("groups", 500);
    resources.account("windows").set_limit(1000);
    resources.account("groups").set_limit(500);
    ask(resources, "windows", 10);
    ask(resources, "groups", 400);

    advance(60s);

    EXPECT_EQ(stalls().size(), 2u);
    EXPECT_EQ(resources.get_memory_stats().stalls, 2u);
}

// It keeps its place in the query's line while it waits for the process.
TEST_F(StallTest, IsNoneOfAnAccountThatHasRoomWhereTheProcessMoves) {
    auto resources = stalling();
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 1});
    auto all_of_query = *query->memory().try_reserve(1_MiB);
    std::optional<Result<MemoryReservation>> granted_one;
    async_reserve(query->memory(), 1_MiB, // as much as there is room for
                  asio::bind_executor(io, [&](Result<MemoryReservation> one) { granted_one.emplace(std::move(one)); }));
    EXPECT_TRUE(all_of_query.try_transfer(resources.account("other")));
    for (int i = 0; i < 20; ++i) {
        advance(20s);
        all_of_query.shrink(10);
    }

    EXPECT_FALSE(granted_one);
    EXPECT_EQ(stalls(), Events{});
}

TEST_F(StallTest, IsToldOfPlacesForQueries) {
    auto resources = stalling();
    const auto query = resources.open_query({.name = "one"});
    bool is_admitted = false;
    resources.async_admit({.name = "two"}, TimePoint::max(),
                          asio::bind_executor(io, [&](const Result<QueryScope>&) { is_admitted = true; }));

    advance(60s);

    EXPECT_EQ(stalls(), Events{"stalled queries, 1 waiting, used 1 of 1, 40 s"});
    EXPECT_FALSE(is_admitted);
}

TEST_F(StallTest, IsToldOfConnections) {
    auto with_timeout = options();
    with_timeout.stall_timeout = 40s;
    const ResourceManager resources{io.get_executor(), StreamingConfig{.max_connections = 1}, with_timeout, time};
    const auto held = resources.connections().try_reserve(1);
    async_reserve(resources.connections(), 1, asio::bind_executor(io, [](const Result<MemoryReservation>&) {}));

    advance(60s);

    EXPECT_EQ(stalls(), Events{"stalled connections, 1 waiting, used 1 of 1, 40 s"});
}

TEST_F(StallTest, IsToldThoughItBeganWhileAnotherThreadSaidThatNobodyWaits) {
    std::function<void()> interruption;
    auto resources = stalling(InterruptedExecutor{io.get_executor(), interruption});
    auto held = resources.allocate_memory("windows", 1_MiB);
    ask(resources, "groups", 10);
    interruption = [&] {
        std::thread{[&] {
            run();
            ask(resources, "groups", 20);
        }}.join();
    };

    held->shrink(10);
    advance(60s);

    EXPECT_EQ(granted.size(), 1u);
    EXPECT_EQ(stalls(), Events{"stalled process, 1 waiting, used 1048576 of 1048576, 40 s"});
}

TEST_F(StallTest, IsToldThoughAnotherThreadsWordFoundNoMemoryMeanwhile) {
    std::function<void()> interruption;
    auto resources = stalling(InterruptedExecutor{io.get_executor(), interruption, false});
    const auto held = resources.allocate_memory("windows", 1_MiB);
    const auto query = resources.open_query({.name = "one"});
    interruption = [&] {
        std::thread{[&] {
            resources.async_admit({.name = "two"}, TimePoint::max(),
                                  asio::bind_executor(io, [](const Result<QueryScope>&) {}));
        }}.join();
    };

    ask(resources, "groups", 10);
    advance(60s);

    EXPECT_EQ(stalls(), (Events{"stalled process, 1 waiting, used 1048576 of 1048576, 40 s",
                                "stalled queries, 1 waiting, used 1 of 1, 40 s"}));
}

TEST_F(StallTest, AreNotLookedForWhenNobodyWaits) {
    auto resources = stalling();
    auto held = resources.allocate_memory("windows", 1_MiB);
    ask(resources, "groups", 10);
    EXPECT_FALSE(io.stopped());

    held->release();
    run();
    EXPECT_EQ(granted.size(), 1u);
    advance(5s); // pressure has fallen by then

    EXPECT_TRUE(io.stopped()) << "nothing of it keeps the context running";
    advance(300s);
    EXPECT_EQ(stalls(), Events{});
}

TEST_F(StallTest, BeginsAnewWithTheNextOneWhoWaits) {
    auto resources = stalling();
    const auto held = resources.allocate_memory("windows", 1_MiB);
    asio::cancellation_signal signal;
    resources.async_allocate_memory(
        "groups", 10, TimePoint::max(),
        asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::detached)));
    advance(35s);
    signal.emit(asio::cancellation_type::terminal);
    run();
    ask(resources, "groups", 10);

    advance(35s);
    EXPECT_EQ(stalls(), Events{});
    advance(25s);
    EXPECT_EQ(stalls().size(), 1u);
}

TEST_F(StallTest, BeginsAnewThoughItIsLookedForBeforeItIsKnownThatNobodyWaits) {
    auto resources = stalling();
    const auto held = resources.allocate_memory("windows", 1_MiB);
    asio::cancellation_signal signal;
    resources.async_allocate_memory(
        "groups", 10, TimePoint::max(),
        asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::detached)));
    run();
    advance(35s);
    time.advance(5s); // from here on the look is on its way
    signal.emit(asio::cancellation_type::terminal);
    run();
    ask(resources, "groups", 10);

    advance(35s);
    EXPECT_EQ(stalls(), Events{});
    advance(25s);
    EXPECT_EQ(stalls().size(), 1u);
}

TEST_F(StallTest, BeginsAnewWithTheNextOneWhoWaitsThereThoughOthersWaitAllTheTime) {
    auto resources = stalling();
    const auto held = resources.allocate_memory("windows", 1_MiB);
    const auto place = resources.open_query({});
    asio::cancellation_signal signal;
    resources.async_admit({}, TimePoint::max(),
                          asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, asio::detached)));
    ask(resources, "groups", 10);
    advance(35s);
    signal.emit(asio::cancellation_type::terminal);
    advance(10s); // they are looked at meanwhile
    resources.async_admit({}, TimePoint::max(), asio::bind_executor(io, asio::detached));
    advance(35s);
    EXPECT_EQ(stalls().size(), 1u) << "of who waits all the time";

    advance(25s);
    EXPECT_EQ(stalls().size(), 1u) << "of who came later";
}

TEST_F(StallTest, LeaveNoAlarmWhenTheirManagerEnds) {
    std::optional<ResourceManager<NoConnections, ManualTime>> resources;
    auto options_of_it = options();
    resources.emplace(io.get_executor(), StreamingConfig{.max_memory_mb = 1}, options_of_it, time);
    const auto held = resources->allocate_memory("windows", 1_MiB);
    const auto account = resources->account("groups");
    async_reserve(account, 10, asio::bind_executor(io, asio::detached));
    run();
    ASSERT_GE(time.sleepers(), 1u);

    resources.reset();
    run();

    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(StallTest, AreNotToldByAManagerThatHasEnded) {
    std::optional<MemoryAccount> account;
    {
        auto resources = stalling();
        account = resources.account("windows");
    }
    const auto held = account->try_reserve(1_MiB);
    std::optional<Result<MemoryReservation>> waited;

    async_reserve(*account, 10, asio::bind_executor(io, [&](auto result) { waited.emplace(std::move(result)); }));
    advance(300s);

    EXPECT_EQ(stalls(), Events{});
    EXPECT_FALSE(waited);
}

TEST_F(StallTest, MayBeSwitchedOff) {
    auto never = options();
    never.stall_timeout = Duration::max();
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 1}, never, time};
    const auto held = resources.allocate_memory("windows", 1_MiB);
    ask(resources, "groups", 10);

    advance(300s);

    EXPECT_EQ(stalls(), Events{});
}

TEST_F(StallTest, NeedATimeoutAboveZero) {
    auto none = options();
    none.stall_timeout = 0s;
    try {
        const ResourceManager resources{io.get_executor(), StreamingConfig{}, none, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_NE(std::string_view{problem.what()}.find("stall_timeout"), std::string_view::npos) << problem.what();
    }
}

} // namespace
} // namespace velostream
