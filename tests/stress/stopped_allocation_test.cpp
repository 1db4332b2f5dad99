// SPDX-License-Identifier: Apache-2.0
// A thread that stops anywhere in the middle of a manager's call stops nobody else's.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "support/stopped_thread.hpp"
#include "velostream/resource_manager.hpp"

namespace velostream {
namespace {

using testing::Victim;

constexpr int stops = 300;

/// A clock that stands still, so that the kernel's figures are read once; a lock of the heap, which that may take, is
/// not ours.
struct FrozenTime : SteadyTime {
    TimePoint now() const noexcept { return at; }
    TimePoint coarse_now() const noexcept { return at; }
    TimePoint at = SteadyTime{}.now();
};

ResourceManagerOptions without_system() {
    return {.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}};
}

// Nothing is refused, and no level changes: the text of a refusal is allocated, and news are posted.
void expect_nobody_held_up(Bytes used) {
    asio::io_context io;
    ResourceManager<NoConnections, FrozenTime> resources{io.get_executor(), StreamingConfig{.max_memory_mb = 100},
                                                         without_system(), FrozenTime{}};
    const auto base = resources.allocate_memory("base", used);
    for (const auto* name : {"victim", "left", "right"}) static_cast<void>(resources.allocate_memory(name, 1));
    io.poll();
    Victim victim{[&] {
        auto allocation = resources.allocate_memory("victim", 1000);
        EXPECT_TRUE(allocation->try_grow(3'000'000)); // past what is at hand
        allocation->shrink(2'500'000);
    }};

    for (int stop = 0; stop < stops; ++stop) {
        victim.while_stopped([&] {
            std::array<std::thread, 2> others;
            for (std::size_t index = 0; index < others.size(); ++index)
                others[index] = std::thread{[&resources, name = index == 0 ? "left" : "right"] {
                    for (int round = 0; round < 20; ++round) {
                        auto allocation = resources.allocate_memory(name, 1000);
                        ASSERT_TRUE(allocation);
                        ASSERT_TRUE(allocation->try_grow(1'000'000));
                    }
                }};
            for (auto& other : others) other.join();
        });
    }
}

TEST(StoppedAllocation, HoldsUpNoAllocationOfOthers) {
    expect_nobody_held_up(10_MiB);
}

TEST(StoppedAllocation, HoldsUpNoAllocationOfOthersWherePressureIsHigh) {
    expect_nobody_held_up(85_MiB);
}

// What needs memory is made before: accounts are used again, and what is to be tended to is on its way.
TEST(StoppedAllocation, HoldsUpNobodyWhoOpensAQueryOrChangesTheLimit) {
    asio::io_context io;
    ResourceManager<NoConnections, FrozenTime> resources{io.get_executor(), StreamingConfig{.max_memory_mb = 100},
                                                         without_system(), FrozenTime{}};
    {
        std::vector<QueryScope> queries;
        for (int count = 0; count < 8; ++count) queries.push_back(resources.open_query().value());
    }
    const auto govern = [&] {
        const auto query = resources.open_query({.name = "query", .max_memory_mb = 40});
        resources.memory().set_limit(90_MiB);
        ASSERT_TRUE(query);
        ASSERT_TRUE(query->memory().try_reserve(1000));
        resources.memory().set_limit(100_MiB);
    };
    govern();
    Victim victim{govern};

    for (int stop = 0; stop < stops; ++stop) {
        victim.while_stopped([&] {
            std::array<std::thread, 2> others;
            for (auto& other : others)
                other = std::thread{[&] {
                    for (int round = 0; round < 5; ++round) govern();
                }};
            for (auto& other : others) other.join();
        });
    }
}

std::atomic<bool> is_blocked{false}, is_inside{false};
thread_local bool is_victim = false;

/// Stops one thread in its clock, whenever it asks for the time.
struct BlockingTime : FrozenTime {
    TimePoint coarse_now() const noexcept {
        if (is_victim) {
            is_inside = true;
            is_inside.notify_all();
            is_blocked.wait(true);
        }
        return at;
    }
};

void expect_nobody_held_up_in_the_clock_of(
    const std::function<void(ResourceManager<NoConnections, BlockingTime>&)>& call) {
    asio::io_context io;
    ResourceManager<NoConnections, BlockingTime> resources{io.get_executor(), StreamingConfig{.max_memory_mb = 100},
                                                           without_system(), BlockingTime{}};
    const auto base = resources.allocate_memory("base", 90_MiB);
    is_inside = false;
    is_blocked = true;
    std::thread victim{[&] {
        is_victim = true;
        call(resources);
    }};
    is_inside.wait(false);

    const auto other = resources.allocate_memory("other", 1000);
    const auto query = resources.open_query({.name = "query"});
    resources.memory().set_limit(96_MiB);
    const auto listener = resources.add_pressure_listener(io.get_executor(), [](PressureLevel) {});
    static_cast<void>(resources.get_reclaim_stats());
    const auto names = resources.get_memory_stats().names;
    EXPECT_EQ(resources.pressure(), PressureLevel::high);

    EXPECT_TRUE(other);
    EXPECT_EQ(std::ranges::count(names, "query/query", &NamedMemoryStats::name), 1);
    is_blocked = false;
    is_blocked.notify_all();
    victim.join();
}

TEST(StoppedAllocation, HoldsUpNobodyInItsClock) {
    expect_nobody_held_up_in_the_clock_of(
        [](auto& resources) { static_cast<void>(resources.allocate_memory("victim", 1000)); });
}

TEST(StoppedAllocation, HoldsUpNobodyInTheClockOfItsStats) {
    expect_nobody_held_up_in_the_clock_of([](auto& resources) { static_cast<void>(resources.get_memory_stats()); });
}

} // namespace
} // namespace velostream
