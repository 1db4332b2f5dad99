// SPDX-License-Identifier: Apache-2.0
// Every schedule of threads that want a work done which one does at a time; and the same with one thing wrong each.
#include "one_at_a_time.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {

template <class Mutation>
struct OneAtATimeAtomics {
    template <class T>
    using Atomic = testing::ScheduledAtomic<T>;
};
struct AsItIs {};
struct LooksBeforeItLeavesWord {};
struct EndsWithoutComparing {};
struct EndsUnordered {};

template <class Mutation>
using Explored = OneAtATime<OneAtATimeAtomics<Mutation>>;

template <>
template <class Work>
void Explored<LooksBeforeItLeavesWord>::run(Work work) noexcept {
    if (word_.load() != 0) {
        word_.fetch_add(1);
        return;
    }
    word_.fetch_add(1);
    std::uint64_t seen;
    do {
        seen = word_.load();
        work();
    } while (!word_.compare_exchange_strong(seen, 0));
}

template <>
template <class Work>
void Explored<EndsWithoutComparing>::run(Work work) noexcept {
    if (word_.fetch_add(1) != 0) return;
    work();
    word_.store(0);
}

template <>
template <class Work>
void Explored<EndsUnordered>::run(Work work) noexcept {
    if (word_.fetch_add(1) != 0) return;
    std::uint64_t seen;
    do {
        seen = word_.load();
        work();
    } while (!word_.compare_exchange_strong(seen, 0, std::memory_order_relaxed));
}

namespace {

/// Each wants something, and has it done: by itself or by who works.
template <class Mutation>
testing::ExplorationReport explore(std::size_t threads) {
    return testing::explore(
        [threads](testing::Interleaving& run) {
            struct World {
                Explored<Mutation> turn;
                testing::ScheduledAtomic<unsigned> wanted{0};
                testing::ScheduledAtomic<unsigned> written{0}; // by who worked last: how often somebody did
                unsigned works = 0, done = 0;
                bool is_working = false;
            };
            const auto world = std::make_shared<World>();
            run.begin([world] {
                world->works = world->done = 0;
                world->is_working = false;
            });
            for (std::size_t number = 0; number < threads; ++number)
                run.thread([&run, world] {
                    world->wanted.fetch_add(1, std::memory_order_relaxed);
                    world->turn.run([&run, world] {
                        if (std::exchange(world->is_working, true)) run.fail("two work at once");
                        run.event(1);
                        if (world->written.load(std::memory_order_relaxed) != world->works)
                            run.fail("what the last one wrote is not seen");
                        world->written.store(++world->works, std::memory_order_relaxed);
                        const auto wanted = world->wanted.load(std::memory_order_relaxed);
                        world->done = wanted;
                        world->is_working = false;
                        run.event(0x100 | wanted);
                    });
                });
            run.finally([&run, world] {
                if (world->done != world->wanted.load()) run.fail("not all is done");
            });
        },
        {.memory = testing::MemoryModel::weak});
}

TEST(OneAtATimeInEveryOrder, AllIsDoneAndByOneAtATime) {
    for (const auto threads : {2U, 3U}) {
        const auto report = explore<AsItIs>(threads);
        EXPECT_TRUE(report.passed()) << report.failure << "\n" << report.trace;
    }
}
TEST(OneAtATimeInEveryOrder, ALookBeforeTheWordIsNoticed) {
    EXPECT_EQ(explore<LooksBeforeItLeavesWord>(2).failure, "not all is done");
}
TEST(OneAtATimeInEveryOrder, AnEndThatOverlooksAWordIsNoticed) {
    EXPECT_EQ(explore<EndsWithoutComparing>(2).failure, "not all is done");
}

TEST(OneAtATimeInEveryOrder, AnEndThatDoesNotShowWhatWasWrittenIsNoticed) {
    EXPECT_EQ(explore<EndsUnordered>(2).failure, "what the last one wrote is not seen");
}

} // namespace
} // namespace velostream
