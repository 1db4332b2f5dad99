// SPDX-License-Identifier: Apache-2.0
// Calls that end while their window is judged, in every order of their steps, and mutants that must be noticed.
#include "velostream/core/latency_window.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "interleaving/core/exploration_failure.hpp"
#include "interleaving/core/torn_swap.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::explore;
using testing::failure_of;
using testing::Interleaving;
using testing::is_noticed;
using testing::MemoryModel;
using testing::ScheduledAtomic;
using testing::TornSwap;

// Mutants: atomics that do less than the window needs.
template <class T>
struct UnpublishedBegin : ScheduledAtomic<T> { // no release
    using ScheduledAtomic<T>::ScheduledAtomic;
    void store(T desired, std::memory_order) { ScheduledAtomic<T>::store(desired, std::memory_order_relaxed); }
};
template <class T>
struct CarelessEpoch : ScheduledAtomic<T> { // no acquire
    using ScheduledAtomic<T>::ScheduledAtomic;
    T load(std::memory_order) const { return ScheduledAtomic<T>::load(std::memory_order_relaxed); }
};

constexpr std::uint32_t needed = 2;

// Three calls of the first epoch end; whoever completes the window judges it, if nobody else does, and begins the next
// one, in which a call of the first epoch must not count.
template <template <class> class Atomic>
std::string judged_wrongly() {
    struct World {
        LatencyWindow<Atomic> window;
        ScheduledAtomic<int> judging{0};
        std::array<int, 3> counted{};
        int judged = 0, judged_calls = 0;
    };
    const auto report = explore([](Interleaving& run) {
        auto world = std::make_shared<World>();
        run.begin([world] {
            world->counted = {};
            world->judged = world->judged_calls = 0;
        });
        for (std::size_t call = 0; call < 3; ++call)
            run.thread([=, &run] {
                using Recorded = typename LatencyWindow<Atomic>::Recorded;
                const auto recorded = world->window.record(0, 1ms, Crowding::quiet, needed);
                world->counted[call] = static_cast<int>(recorded) + 1;
                run.event(static_cast<std::uint64_t>(recorded));
                if (recorded != Recorded::complete) return;
                int free = 0; // try_lock
                if (!world->judging.compare_exchange_strong(free, 1, std::memory_order_acquire,
                                                            std::memory_order_relaxed))
                    return;
                const auto samples = world->window.samples();
                if (samples.count >= needed) {
                    ++world->judged;
                    world->judged_calls = static_cast<int>(samples.count);
                    run.event(100 + samples.count);
                    world->window.begin(1);
                }
                world->judging.store(0, std::memory_order_release);
            });
        run.finally([=, &run] {
            if (world->judged != 1) run.fail("a window was judged " + std::to_string(world->judged) + " times");
            if (world->judged_calls != needed) run.fail("a call is lost, or one too many");
            if (world->window.samples().count != 0) run.fail("a call of another epoch was counted");
        });
    });
    return failure_of(report);
}

TEST(LatencyWindowInEveryOrder, EveryWindowIsJudgedOnceWithTheCallsThatItNeeds) {
    EXPECT_EQ(judged_wrongly<ScheduledAtomic>(), "");
}

TEST(LatencyWindowInEveryOrder, ACountInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(judged_wrongly<TornSwap>()));
}

// Whoever begins a call in an epoch sees the limit that was put in force before it.
template <template <class> class Atomic>
std::string of_an_earlier_limit() {
    const auto report = explore(
        [](Interleaving& run) {
            auto window = std::make_shared<LatencyWindow<Atomic>>();
            auto limit = std::make_shared<ScheduledAtomic<int>>(100);
            run.thread([=] {
                limit->store(50, std::memory_order_relaxed);
                window->begin(1);
            });
            run.thread([=, &run] {
                if (window->epoch() == 1 && limit->load(std::memory_order_relaxed) == 100)
                    run.fail("a call of the new epoch began under the old limit");
            });
        },
        {.memory = MemoryModel::weak});
    return failure_of(report);
}

TEST(LatencyWindowInEveryOrder, ACallOfAnEpochBeginsUnderItsLimit) {
    EXPECT_EQ(of_an_earlier_limit<ScheduledAtomic>(), "");
    EXPECT_TRUE(is_noticed(of_an_earlier_limit<UnpublishedBegin>()));
    EXPECT_TRUE(is_noticed(of_an_earlier_limit<CarelessEpoch>()));
}

} // namespace
} // namespace velostream
