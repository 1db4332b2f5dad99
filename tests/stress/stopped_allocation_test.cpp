// SPDX-License-Identifier: Apache-2.0
// A thread that stops anywhere in the middle of `allocate_memory`, or of an allocation's end, stops nobody else's.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <string_view>
#include <thread>

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

TEST(StoppedAllocation, HoldsUpNobodyInItsClock) {
    asio::io_context io;
    ResourceManager<NoConnections, BlockingTime> resources{io.get_executor(), StreamingConfig{.max_memory_mb = 100},
                                                           without_system(), BlockingTime{}};
    const auto base = resources.allocate_memory("base", 90_MiB);
    is_blocked = true;
    std::thread victim{[&] {
        is_victim = true;
        static_cast<void>(resources.allocate_memory("victim", 1000));
    }};
    is_inside.wait(false);

    const auto other = resources.allocate_memory("other", 1000);
    static_cast<void>(resources.get_memory_stats());
    EXPECT_EQ(resources.pressure(), PressureLevel::high);

    EXPECT_TRUE(other);
    is_blocked = false;
    is_blocked.notify_all();
    victim.join();
}

} // namespace
} // namespace velostream
