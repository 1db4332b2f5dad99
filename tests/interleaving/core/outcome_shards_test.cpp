// SPDX-License-Identifier: Apache-2.0
// The counters under a breaker's window in every order of their steps, and mutants of them that must be noticed.
#include "velostream/core/outcome_shards.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "interleaving/core/exploration_failure.hpp"
#include "interleaving/core/torn_swap.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {
namespace {

using testing::explore;
using testing::failure_of;
using testing::Interleaving;
using testing::is_noticed;
using testing::MemoryModel;
using testing::ScheduledAtomic;
using testing::TornSwap;

// Mutants: atomics that do less than the counters need.
template <class T>
struct AcquireReleaseSwap : ScheduledAtomic<T> { // in no order with what other threads load afterwards
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order failure) {
        return ScheduledAtomic<T>::compare_exchange_weak(expected, desired, std::memory_order_acq_rel, failure);
    }
};
template <class T>
struct AcquireLoad : ScheduledAtomic<T> { // the same from the other side
    using ScheduledAtomic<T>::ScheduledAtomic;
    T load(std::memory_order order = std::memory_order_acquire) const {
        return ScheduledAtomic<T>::load(order == std::memory_order_seq_cst ? std::memory_order_acquire : order);
    }
};

// Two threads count, each in its own shard or both in one, and then ask how many there are.
template <template <class> class Atomic>
std::string overlooked(std::array<std::size_t, 2> shard_of, MemoryModel memory) {
    return failure_of(explore(
        [&](Interleaving& run) {
            auto shards = std::make_shared<OutcomeShards<Atomic, 2>>();
            auto told = std::make_shared<std::array<std::uint64_t, 2>>();
            shards->begin_era(1);
            run.begin([told] { *told = {}; });
            for (std::size_t thread = 0; thread < 2; ++thread)
                run.thread([=, &run] {
                    shards->count(shard_of[thread], 1);
                    (*told)[thread] = shards->outcomes();
                    run.event((*told)[thread]);
                });
            run.finally([=, &run] {
                if (shards->outcomes() != 2) run.fail("an outcome is lost");
                if (std::ranges::max(*told) != 2) run.fail("neither was told of both");
            });
        },
        {.memory = memory}));
}

TEST(OutcomeShardsInEveryOrder, OneOfTwoThreadsThatCountIsToldOfBoth) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak}) {
        EXPECT_EQ(overlooked<ScheduledAtomic>({0, 1}, memory), "");
        EXPECT_EQ(overlooked<ScheduledAtomic>({0, 0}, memory), "");
    }
}

TEST(OutcomeShardsInEveryOrder, ACountInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(overlooked<TornSwap>({0, 0}, MemoryModel::sequential)));
}

TEST(OutcomeShardsInEveryOrder, ACountOrALoadThatIsNotSequentiallyConsistentIsNoticed) {
    EXPECT_TRUE(is_noticed(overlooked<AcquireReleaseSwap>({0, 1}, MemoryModel::weak)));
    EXPECT_TRUE(is_noticed(overlooked<AcquireLoad>({0, 1}, MemoryModel::weak)));
}

// One thread begins to watch and asks how many there are, while another counts and asks whether it is watched.
template <template <class> class Atomic>
std::string unseen(std::size_t shard_of_the_other, MemoryModel memory) {
    return failure_of(explore(
        [&](Interleaving& run) {
            auto shards = std::make_shared<OutcomeShards<Atomic, 2>>();
            auto told = std::make_shared<std::uint64_t>();
            auto watched = std::make_shared<bool>();
            shards->begin_era(1);
            shards->unwatch(1);
            run.begin([told, watched] {
                *told = 0;
                *watched = false;
            });
            run.thread([=, &run] {
                shards->watch();
                shards->count(0, 1);
                *told = shards->outcomes();
                run.event(*told);
            });
            run.thread([=, &run] {
                shards->count(shard_of_the_other, 1);
                *watched = shards->is_watched(1);
                run.event(*watched);
            });
            run.finally([=, &run] {
                if (*told != 2 && !*watched) run.fail("neither saw the other");
            });
        },
        {.memory = memory}));
}

// Watching that other threads learn of late.
template <class T>
struct RelaxedStore : ScheduledAtomic<T> {
    using ScheduledAtomic<T>::ScheduledAtomic;
    void store(T value, std::memory_order = std::memory_order_relaxed) {
        ScheduledAtomic<T>::store(value, std::memory_order_relaxed);
    }
};

TEST(OutcomeShardsInEveryOrder, AnOutcomeIsWatchedOrSeenByWhoeverBeganToWatch) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak})
        for (const std::size_t shard : {0U, 1U}) EXPECT_EQ(unseen<ScheduledAtomic>(shard, memory), "");
}

TEST(OutcomeShardsInEveryOrder, AWatchOrALoadThatIsNotSequentiallyConsistentIsNoticed) {
    EXPECT_TRUE(is_noticed(unseen<RelaxedStore>(1, MemoryModel::weak)));
    EXPECT_TRUE(is_noticed(unseen<AcquireLoad>(1, MemoryModel::weak)));
}

// One thread counts in era 1 while another ends it and counts in era 2.
template <template <class> class Atomic>
std::string misplaced() {
    return failure_of(explore(
        [&](Interleaving& run) {
            auto shards = std::make_shared<OutcomeShards<Atomic, 1>>();
            auto counted = std::make_shared<std::array<bool, 2>>();
            shards->begin_era(1);
            run.begin([counted] { *counted = {}; });
            run.thread([=] { shards->count(0, 1); });
            run.thread([=, &run] {
                shards->begin_era(2);
                (*counted)[1] = shards->count(0, 2);
                run.event((*counted)[1]);
            });
            run.finally([=, &run] {
                if (!(*counted)[1]) run.fail("an outcome of the new era is not counted");
                if (shards->outcomes() != 1) run.fail("the new era counts an outcome of the one before");
            });
        },
        {.memory = MemoryModel::weak}));
}

TEST(OutcomeShardsInEveryOrder, AnOutcomeOfAnEarlierEraIsNotCountedInTheNew) {
    EXPECT_EQ(misplaced<ScheduledAtomic>(), "");
    EXPECT_TRUE(is_noticed(misplaced<TornSwap>()));
}

} // namespace
} // namespace velostream
