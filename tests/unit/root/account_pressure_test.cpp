// SPDX-License-Identifier: Apache-2.0
// Pressure by what is reserved from accounts, past `allocate_memory`; and by what happens while nobody reserves.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream {
namespace {

class AccountPressureTest : public ResourceManagerTest {
  protected:
    void run() {
        io.restart();
        io.poll();
    }
    void advance(Duration by) {
        time.advance(by);
        run();
    }
};

TEST_F(AccountPressureTest, AQueryThatFillsTheProcessIsPressure) {
    auto resources = limited(100);
    const auto query = resources.open_query({.name = "query"});

    const auto held = query->memory().try_reserve(100_MiB);
    EXPECT_EQ(observer->take(), Events{}) << "nobody is told inside of a reservation";
    run();

    EXPECT_EQ(resources.pressure(), PressureLevel::critical);
    EXPECT_EQ(observer->take(), Events{"normal -> critical"});
}

// It may fall later by what threads keep at hand: 2 MiB here.
TEST_F(AccountPressureTest, RisesAtTheThresholdExactlyAndFallsBelowTheHysteresis) {
    auto resources = limited(100);
    const auto account = resources.open_query()->memory();
    auto held = *account.try_reserve(80_MiB - 1);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    EXPECT_TRUE(held.try_grow(1));
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
    EXPECT_TRUE(held.try_grow(15_MiB));
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);

    time.advance(1s);
    held.shrink(5_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);
    held.shrink(3_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
    time.advance(1s);
    held.shrink(12_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
    held.shrink(3_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);
}

TEST_F(AccountPressureTest, FallsThoughItsTimeHadNotComeWhenUseFell) {
    auto resources = limited(100);
    const auto account = resources.memory().child("account");
    auto held = *account.try_reserve(90_MiB);
    run();
    held.shrink(60_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::high);

    advance(250ms);

    EXPECT_EQ(resources.pressure(), PressureLevel::normal);
    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(AccountPressureTest, FallsWhenItsTimeHasComeThoughAnAllocationEndedBeforeAndNobodyCalls) {
    auto resources = limited(100);
    std::vector<PressureLevel> told;
    const auto listening =
        resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    {
        const auto held = resources.allocate_memory("sends", 90_MiB);
        run();
    }
    run();
    EXPECT_EQ(told, std::vector{PressureLevel::high});

    advance(250ms);

    EXPECT_EQ(told, (std::vector{PressureLevel::high, PressureLevel::normal}));
}

TEST_F(AccountPressureTest, SmallReservationsBelowTheThresholdGiveTheExecutorNothingToDo) {
    auto resources = limited(100);
    const auto account = resources.memory().child("account");
    run();
    for (int i = 0; i < 1000; ++i) {
        auto held = account.try_reserve(70_MiB);
        held->shrink(60_MiB);
    }
    io.restart();

    EXPECT_EQ(io.poll(), 0u);
}

TEST_F(AccountPressureTest, ALimitThatIsLoweredBelowUseIsPressure) {
    auto resources = limited(100);
    const auto held = resources.memory().child("account").try_reserve(70_MiB);
    run();
    ASSERT_EQ(resources.pressure(), PressureLevel::normal);

    resources.memory().set_limit(50_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);

    resources.memory().set_limit(0);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);

    time.advance(1s);
    resources.memory().set_limit(200_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    resources.memory().set_limit(std::nullopt);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);
}

TEST_F(AccountPressureTest, OfALimitOfZeroEverythingIsPressureAndNothingIsNone) {
    auto resources = limited(100);
    auto held = *resources.memory().child("account").try_reserve(10_MiB);
    resources.memory().set_limit(0);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);
    advance(250ms);
    held.shrink(9_MiB);
    run();
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);

    held.release();
    run();

    EXPECT_EQ(resources.pressure(), PressureLevel::normal);
}

TEST_F(AccountPressureTest, ALimitThatIsLoweredAboveUseIsWatched) {
    auto resources = limited(1000);
    const auto account = resources.memory().child("account");
    const auto held = account.try_reserve(50_MiB);
    run();
    resources.memory().set_limit(100_MiB);
    run();

    const auto more = account.try_reserve(40_MiB);
    run();

    EXPECT_EQ(resources.pressure(), PressureLevel::high);
}

TEST_F(AccountPressureTest, OfAManagerThatHasEndedNoAlarmIsLeftThoughAnAllocationIs) {
    for (const bool polls : {false, true}) {
        auto with = options();
        if (polls) with.pressure_poll_interval = 1s;
        std::optional<ResourceManager<NoConnections, ManualTime>> resources;
        resources.emplace(io.get_executor(), StreamingConfig{.max_memory_mb = 100}, with, time);
        auto held = resources->allocate_memory("sends", 90_MiB);
        run();
        held->shrink(80_MiB); // its level falls later
        run();
        ASSERT_GE(time.sleepers(), 1u);

        resources.reset();
        run();
        EXPECT_EQ(time.sleepers(), 0u) << polls;
        advance(1s);
        held->shrink(1_MiB);
        run();

        EXPECT_EQ(time.sleepers(), 0u) << polls;
    }
}

TEST_F(AccountPressureTest, SharesFollowTheLimit) {
    auto resources = limited(100);

    resources.memory().set_limit(200_MiB);
    EXPECT_EQ(resources.state().limit(), 150_MiB);
    EXPECT_EQ(resources.traffic().limit(), 50_MiB);

    resources.memory().set_limit(std::nullopt);
    EXPECT_FALSE(resources.state().limit() || resources.traffic().limit());
}

// What another thread would do while one of the shares is just being set.
TEST_F(AccountPressureTest, SharesFollowTheLastOfTwoLimitsThatAreSetAtOnce) {
    struct Request final : MemoryWaiter {
        using MemoryWaiter::MemoryWaiter;
        void on_end(Result<MemoryReservation>) noexcept override { refused(); }
        std::function<void()> refused;
    };
    auto resources = limited(100);
    const auto held = resources.state().try_reserve(70_MiB);
    const auto request = std::make_shared<Request>(resources.state(), 60_MiB);
    request->refused = [&] { resources.memory().set_limit(200_MiB); };
    ASSERT_FALSE(request->try_now());
    MemoryWaiter::wait(request);

    resources.memory().set_limit(72_MiB); // too little for the request only where states are

    EXPECT_EQ(resources.memory().limit(), 200_MiB);
    EXPECT_EQ(resources.state().limit(), 150_MiB);
    EXPECT_EQ(resources.traffic().limit(), 50_MiB);
}

TEST_F(AccountPressureTest, WhatAWaitIsGrantedIsPressure) {
    auto resources = limited(100);
    auto held = resources.memory().child("held").try_reserve(70_MiB);
    const auto account = resources.memory().child("account");
    std::optional<MemoryReservation> granted;
    run();
    async_reserve(account, 85_MiB, asio::bind_executor(io, [&](Result<MemoryReservation> reserved) {
                      if (reserved) granted.emplace(std::move(*reserved));
                  }));
    EXPECT_EQ(resources.pressure(), PressureLevel::normal);

    held->release();
    run();

    EXPECT_TRUE(granted);
    EXPECT_EQ(resources.pressure(), PressureLevel::high);
}

TEST_F(AccountPressureTest, ReclaimersAreAskedAgainWhenUseHasGrownByAHundredth) {
    struct Empty final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::flush; }
        Bytes estimate() const noexcept override { return 1; }
        asio::awaitable<void> reclaim(Bytes) override {
            ++calls;
            co_return;
        }
        int calls = 0;
    };
    auto resources = limited(100);
    const auto account = resources.memory().child("account");
    const auto empty = std::make_shared<Empty>();
    const auto registered = resources.add_reclaimer(io.get_executor(), account, empty);
    auto held = *account.try_reserve(85_MiB);
    run();
    ASSERT_EQ(empty->calls, 1);
    advance(250ms);

    EXPECT_TRUE(held.try_grow(900_KiB));
    run();
    EXPECT_EQ(empty->calls, 1);
    EXPECT_TRUE(held.try_grow(200_KiB));
    run();

    EXPECT_EQ(empty->calls, 2);
}

TEST_F(AccountPressureTest, CreditOfVeryManyAccountsCountsAsUsedUntilItIsCounted) {
    auto resources = limited(1000);
    const auto& process = resources.memory();
    std::vector<MemoryAccount> accounts;
    for (int i = 0; i < 100; ++i) {
        accounts.push_back(process.child("account"));
        for (int j = 0; j < 3; ++j) EXPECT_TRUE(accounts.back().try_reserve(1000));
    }
    ASSERT_FALSE(process.is_used_cheap());
    const auto credit = process.used_at_most() - process.used();
    ASSERT_GT(credit, 2u);
    auto held = resources.allocate_memory("held", 800_MiB - credit / 2);
    run();
    EXPECT_LT(process.used(), 800_MiB);
    EXPECT_EQ(resources.pressure(), PressureLevel::high) << "rather early than late";

    held->shrink(50_MiB);
    advance(250ms);
    static_cast<void>(resources.allocate_memory("next", 1));
    EXPECT_EQ(resources.pressure(), PressureLevel::normal) << "it was counted";
}

TEST_F(AccountPressureTest, AnIdleProcessIsJudgedWhereAnIntervalIsGiven) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "104857600\n");
    auto polling = options();
    polling.pressure_poll_interval = 1s;
    std::optional<ResourceManager<NoConnections, ManualTime>> resources;
    resources.emplace(io.get_executor(), StreamingConfig{.max_memory_mb = 100}, polling, time);
    std::vector<PressureLevel> told;
    const auto listening =
        resources->add_pressure_listener(io.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    run();
    advance(1s);
    EXPECT_TRUE(told.empty());

    write("cgroup/service/memory.current", "1063741824\n"); // 99 %
    advance(999ms);
    EXPECT_TRUE(told.empty());
    advance(1ms);
    EXPECT_EQ(told, std::vector{PressureLevel::critical});
    write("cgroup/service/memory.current", "104857600\n");
    advance(1s);
    EXPECT_EQ(told, (std::vector{PressureLevel::critical, PressureLevel::normal}));

    resources.reset();
    run();
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(AccountPressureTest, WithoutAnIntervalAnIdleProcessHasNoTimer) {
    const auto resources = limited(100);
    const auto held = resources.memory().child("account").try_reserve(90_MiB);
    run();

    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(AccountPressureTest, TheIntervalIsAboveZero) {
    auto none = options();
    none.pressure_poll_interval = 0s;
    try {
        const ResourceManager resources{io.get_executor(), StreamingConfig{}, none, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_NE(std::string_view{problem.what()}.find("pressure_poll_interval"), std::string_view::npos)
            << problem.what();
    }
}

TEST_F(AccountPressureTest, WhereTheManagersExecutorIsStoppedLimitsAndWaitsGoOn) {
    asio::io_context stopped;
    stopped.stop();
    ResourceManager resources{stopped.get_executor(), StreamingConfig{.max_memory_mb = 100}, options(), time};
    auto held = resources.memory().child("account").try_reserve(90_MiB);
    std::optional<Result<Allocation>> waited;
    resources.async_allocate_memory(
        "sends", 20_MiB, TimePoint::max(),
        asio::bind_executor(io, [&](Result<Allocation> allocation) { waited.emplace(std::move(allocation)); }));
    EXPECT_FALSE(resources.allocate_memory("sends", 11_MiB));
    EXPECT_EQ(resources.pressure(), PressureLevel::high) << "judged inside of the call that was refused";

    held->release();
    run();

    ASSERT_TRUE(waited && *waited);
    EXPECT_TRUE(resources.allocate_memory("sends", 11_MiB));
}

} // namespace
} // namespace velostream
