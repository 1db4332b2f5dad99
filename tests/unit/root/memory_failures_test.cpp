// SPDX-License-Identifier: Apache-2.0
// Every request for memory of the memory manager fails once. Nothing fails under a sanitizer. With the machine's clock:
// see steady_memory_failures_test.cpp.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"
#include "support/allocation_count.hpp"
#include "velostream/async_reserve_all.hpp"

namespace velostream {
namespace {

using testing::allocations_until_failure;
using testing::with_each_request_failing;

class MemoryFailuresTest : public ResourceManagerTest {
  protected:
    MemoryFailuresTest() { observer = nullptr; } // it would want memory, too

    // Nothing is held or waited for, and everything can be had.
    void expect_intact(const ManagedMemory& resources) {
        EXPECT_EQ(resources.memory().used(), 0u);
        EXPECT_FALSE(resources.memory().anyone_waits() || resources.queries().anyone_waits());
        EXPECT_TRUE(resources.memory().try_reserve(1_MiB));
        EXPECT_TRUE(resources.queries().try_reserve(100));
    }
    void run() {
        io.restart();
        io.poll();
    }
};

template <class Call>
void without_memory(Call call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
        return;
    }
}

TEST_F(MemoryFailuresTest, AnAllocationIsMadeOrNot) {
    auto resources = limited(1);
    std::string name = "a name that fits in no small string ";
    const auto make = [&] {
        without_memory([&] {
            auto allocation = resources.allocate_memory(name, 1000);
            if (allocation) static_cast<void>(allocation->try_grow(10));
        });
    };
    const auto failures = with_each_request_failing(make, [&] {
        expect_intact(resources);
        name += "x"; // another one, which is not known yet
    });

    EXPECT_GE(failures, 3);
}

// Accounts lie in blocks of 64, and each block is found through the one before.
TEST_F(MemoryFailuresTest, AnAccountThatCannotBeMadeHidesNoOther) {
    constexpr Bytes each = 1_MiB;
    constexpr std::size_t count = 200;
    const MemoryAccount process{"process", count * each};
    std::vector<MemoryAccount> accounts;
    accounts.reserve(count);
    while (accounts.size() < count) {
        const auto before = accounts.size();
        with_each_request_failing(
            [&] { without_memory([&] { accounts.push_back(process.child("an account with a name of its own")); }); },
            [&] { accounts.resize(std::min(accounts.size(), before), process); });
        accounts.push_back(process.child("small"));
    }
    for (const auto& account : accounts) EXPECT_TRUE(account.try_reserve(each)); // leaves credit at hand

    EXPECT_TRUE(process.try_reserve(count * each)) << "credit of an account is not found";
    const auto held = accounts.back().try_reserve(each);
    const auto refused = process.try_reserve(count * each);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().detail().find("largest: small "), std::string_view::npos) << refused.error();
}

TEST_F(MemoryFailuresTest, ARefusalIsGivenWithoutItsReasonAtLeast) {
    auto resources = limited(1);
    std::optional<Result<Allocation>> refused;
    const auto ask = [&] { without_memory([&] { refused.emplace(resources.allocate_memory("x", 2_MiB)); }); };
    const auto failures = with_each_request_failing(ask, [&] {
        if (refused) {
            EXPECT_EQ(refused->error(), Errc::memory_limit_exceeded);
        }
        refused.reset();
        expect_intact(resources);
    });

    EXPECT_GE(failures, 3);
}

TEST_F(MemoryFailuresTest, AQueryIsOpenedOrTakesNoPlace) {
    auto resources = limited(1);
    const QueryLimits limits{.name = "a query whose name fits in no small string"};
    const auto open = [&] { without_memory([&] { static_cast<void>(resources.open_query(limits)); }); };
    const auto failures = with_each_request_failing(open, [&] { expect_intact(resources); });

    EXPECT_GE(failures, 1) << "the account of a try before is used again";
}

TEST_F(MemoryFailuresTest, AWaitIsBegunOrThrows) {
    auto resources = limited(1);
    std::optional<Allocation> held;
    std::vector<Bytes> granted;
    int thrown = 0, begun = 0;
    const auto wait = [&] {
        ++begun;
        auto handler = asio::bind_executor(
            io, [&](const Result<Allocation>& allocation) { granted.push_back(allocation->bytes()); });
        try {
            resources.async_allocate_memory("x", 1000, TimePoint::max(), std::move(handler));
        } catch (const std::bad_alloc&) {
            ++thrown;
        }
    };
    for (const bool has_room : {false, true}) {
        if (!has_room) held.emplace(*resources.allocate_memory("held", 1_MiB));
        const auto failures = with_each_request_failing(wait, [&] {
            held.reset();
            run();
            expect_intact(resources);
            if (!has_room) held.emplace(*resources.allocate_memory("held", 1_MiB));
        });
        EXPECT_GE(failures, 2);
        held.reset();
    }

    EXPECT_GE(thrown, 4);
    EXPECT_EQ(granted, std::vector<Bytes>(static_cast<std::size_t>(begun - thrown), 1000));
}

TEST_F(MemoryFailuresTest, WhoWaitedForAPlaceIsToldAlsoWithoutMemoryForItsAccounts) {
    auto resources = limited(1);
    const QueryLimits limits{.name = "a query whose name fits in no small string"};
    std::optional<Result<QueryScope>> admitted;
    const auto wait = [&] {
        auto handler = asio::bind_executor(io, [&](Result<QueryScope> scope) { admitted.emplace(std::move(scope)); });
        resources.async_admit(limits, std::move(handler));
    };
    int refused = 0;
    wait();
    const auto failures =
        with_each_request_failing([&] { run(); },
                                  [&] {
                                      ASSERT_TRUE(admitted);
                                      if (!*admitted) {
                                          ++refused;
                                          EXPECT_EQ(admitted->error().code(), boost::system::errc::not_enough_memory);
                                      }
                                      admitted.reset();
                                      expect_intact(resources);
                                      wait();
                                  });
    run();

    EXPECT_GE(refused, 1);
    EXPECT_LE(refused, failures);
}

TEST_F(MemoryFailuresTest, AWaitForSeveralBudgetsIsBegunOrThrows) {
    auto resources = limited(1);
    std::optional<Allocation> held;
    int thrown = 0, begun = 0, granted = 0;
    const auto wait = [&] {
        ++begun;
        auto handler = asio::bind_executor(
            io, [&](const Result<std::vector<MemoryReservation>>& reserved) { granted += reserved ? 1 : 0; });
        try {
            async_reserve_all({{resources.memory(), 1000}, {resources.queries(), 1}}, std::move(handler));
        } catch (const std::bad_alloc&) {
            ++thrown;
        }
    };
    for (const bool has_room : {false, true}) {
        if (!has_room) held.emplace(*resources.allocate_memory("held", 1_MiB));
        const auto failures = with_each_request_failing(wait, [&] {
            held.reset();
            run();
            expect_intact(resources);
            if (!has_room) held.emplace(*resources.allocate_memory("held", 1_MiB));
        });
        EXPECT_GE(failures, 5);
        held.reset();
    }

    EXPECT_GE(thrown, 10);
    EXPECT_EQ(granted, begun - thrown);
}

TEST_F(MemoryFailuresTest, PressureIsJudgedNextTime) {
    auto resources = limited(1);
    std::vector<PressureLevel> told;
    const auto listening =
        resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    std::optional<Allocation> held;
    const auto fill = [&] {
        without_memory([&] {
            auto all = resources.allocate_memory("x", 1_MiB);
            if (all) held.emplace(std::move(*all));
            run();
        });
    };
    const auto failures = with_each_request_failing(fill, [&] {
        if (held) static_cast<void>(resources.get_memory_stats());
        run();
        if (held) {
            EXPECT_EQ(told, std::vector{PressureLevel::critical});
        }
        held.reset();
        time.advance(1s); // the level lasts for a while
        static_cast<void>(resources.get_memory_stats());
        run();
        told.clear();
        expect_intact(resources);
    });

    EXPECT_GE(failures, 3);
}

TEST_F(MemoryFailuresTest, AListenerIsToldNextTimeThatTheLevelHasFallen) {
    auto resources = limited(1);
    std::vector<PressureLevel> told;
    const auto listening =
        resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    const auto account = resources.account("x");
    std::optional<MemoryReservation> held;
    const auto fill = [&] {
        held.emplace(*account.try_reserve(1_MiB));
        run();
        time.advance(1s); // the level lasts for a while
    };
    fill();
    const auto empty = [&] {
        held.reset();
        without_memory([&] { run(); });
    };
    const auto failures = with_each_request_failing(empty, [&] {
        run();
        static_cast<void>(resources.allocate_memory("x", 1)); // far below the threshold
        run();
        EXPECT_EQ(told.back(), PressureLevel::normal);
        fill();
        EXPECT_EQ(told.back(), PressureLevel::critical);
    });

    EXPECT_GE(failures, 1);
}

TEST_F(MemoryFailuresTest, ALevelFallsAndIsPolledThoughAnAlarmFoundNoMemory) {
    auto polling = options();
    polling.pressure_poll_interval = 10s;
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 1}, polling, time};
    run();
    const auto account = resources.account("query");
    std::optional<MemoryReservation> held;
    const auto rise_and_fall = [&] {
        without_memory([&] {
            auto reserved = account.try_reserve(900_KiB);
            if (reserved) held.emplace(std::move(*reserved));
            run();
            held.reset();
            run();
        });
    };
    const auto failures = with_each_request_failing(rise_and_fall, [&] {
        held.reset();
        time.advance(1s);
        static_cast<void>(resources.get_memory_stats());
        run();
        EXPECT_EQ(resources.pressure(), PressureLevel::normal);
        time.advance(10s);
        run();
        EXPECT_EQ(time.sleepers(), 1u) << "it is polled still";
        expect_intact(resources);
    });

    EXPECT_GE(failures, 3);
}

TEST_F(MemoryFailuresTest, AReclaimGoesOnOrIsBegunAnew) {
    struct Cache final : Reclaimer {
        explicit Cache(const MemoryAccount& of) : account(of) {}
        ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
        Bytes estimate() const noexcept override { return held.bytes(); }
        asio::awaitable<void> reclaim(Bytes wanted) override {
            held.shrink(wanted);
            co_return;
        }
        MemoryAccount account;
        MemoryReservation held = *account.try_reserve(0);
    };
    auto without_alarms = options(); // `ManualTime` takes memory to stop one
    without_alarms.reclaim_timeout = Duration::max();
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 1}, without_alarms, time};
    const auto cache = std::make_shared<Cache>(resources.account("cache"));
    const auto registered = resources.add_reclaimer(io.get_executor(), cache->account, cache);
    run();
    const auto press = [&] {
        without_memory([&] {
            if (cache->held.try_grow(900_KiB)) run();
        });
    };
    const auto failures = with_each_request_failing(press, [&] {
        time.advance(1s);
        static_cast<void>(resources.get_memory_stats());
        run();
        EXPECT_FALSE(resources.get_reclaim_stats().is_running);
        EXPECT_LT(resources.memory().used(), 840_KiB);
        cache->held.release();
        time.advance(1s);
        static_cast<void>(resources.get_memory_stats());
        run();
        expect_intact(resources);
    });

    EXPECT_GE(failures, 3);
}

} // namespace
} // namespace velostream
#endif
