// SPDX-License-Identifier: Apache-2.0
// Every request for memory of the memory manager fails once. Nothing fails under a sanitizer. No deadlines: their
// alarms have strands, which Boost 1.81 does not make whole when memory fails.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

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

} // namespace
} // namespace velostream
#endif
