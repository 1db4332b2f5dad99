// SPDX-License-Identifier: Apache-2.0
// The control word of a circuit breaker in every order of its steps, and mutants of it that must be noticed.
#include "velostream/core/breaker_control.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

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

// Mutants: atomics that do less than the control word needs.
template <class T>
struct EpochBlindSwap
    : ScheduledAtomic<T> { // takes a word of another epoch, with the same probes, for the expected one
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const auto wanted = expected;
        for (;;) {
            if (ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure)) return true;
            if (static_cast<std::uint32_t>(expected) != static_cast<std::uint32_t>(wanted)) return false;
        }
    }
};
template <class T>
struct UnpublishedSwap : ScheduledAtomic<T> { // no release
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order, std::memory_order failure) {
        return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, std::memory_order_acquire, failure);
    }
};
template <class T>
struct CarelessLoad : ScheduledAtomic<T> { // no acquire
    using ScheduledAtomic<T>::ScheduledAtomic;
    T load(std::memory_order = std::memory_order_relaxed) const {
        return ScheduledAtomic<T>::load(std::memory_order_relaxed);
    }
};

enum class End { succeed, fail, give_up, by_hand };

// Half-open, in epoch 2; one thread for each of `ends` that takes a probe permit and says how the call went (or sets
// the state by hand).
template <template <class> class Atomic>
std::string broken(std::uint16_t limit, const std::vector<End>& ends, MemoryModel memory = MemoryModel::sequential) {
    struct Seen {
        int out = 0, succeeded = 0, decided = 0;
        bool closed = false;
    };
    const auto report = explore(
        [&](Interleaving& run) {
            auto control = std::make_shared<BreakerControl<Atomic>>(limit);
            control->change(0, CircuitState::open);
            control->change(1, CircuitState::half_open);
            auto seen = std::make_shared<Seen>();
            run.begin([seen] { *seen = {}; });
            for (const auto end : ends)
                run.thread([=, &run] {
                    if (end == End::by_hand) {
                        if (control->change(2, CircuitState::forced_open)) ++seen->decided;
                        return run.event(1);
                    }
                    if (!control->admit_probe(2)) return;
                    ++seen->out;
                    run.event(2);
                    const auto verdict = end == End::succeed ? control->succeed_probe(2)
                                         : end == End::fail  ? control->fail_probe(2)
                                                             : control->return_probe(2);
                    if (verdict != ProbeVerdict::late) {
                        --seen->out;
                        if (end == End::succeed) ++seen->succeeded;
                    }
                    if (verdict == ProbeVerdict::decided) {
                        ++seen->decided;
                        seen->closed = end == End::succeed;
                    }
                    run.event(3 + static_cast<std::uint64_t>(verdict));
                });
            run.always([=, &run] {
                const auto word = control->load();
                if (word.epoch != 2 + static_cast<std::uint32_t>(seen->decided))
                    return run.fail("the epoch is not the number of changes that somebody was told to have made");
                if (seen->decided > 1) return run.fail("two callers ended one epoch");
                if (seen->decided == 1) {
                    if (seen->closed && (word.state != CircuitState::closed || seen->succeeded != limit))
                        run.fail("closed without as many successes as it needs");
                    if (word.in_flight != 0 || word.succeeded != 0) run.fail("a new epoch begins with old probes");
                    return;
                }
                if (seen->out + seen->succeeded > limit) run.fail("more probes than the limit");
                if (word.in_flight != seen->out || word.succeeded != seen->succeeded)
                    run.fail("the word counts other probes than there are");
            });
        },
        {.memory = memory});
    return failure_of(report);
}

TEST(BreakerControlInEveryOrder, AdmitsJudgesAndChangesExactly) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak})
        for (const auto& ends :
             {std::vector{End::succeed, End::succeed, End::succeed}, std::vector{End::succeed, End::succeed, End::fail},
              std::vector{End::succeed, End::give_up, End::succeed}, std::vector{End::fail, End::fail, End::give_up},
              std::vector{End::succeed, End::succeed, End::by_hand},
              std::vector{End::fail, End::by_hand, End::by_hand}}) {
            EXPECT_EQ(broken<ScheduledAtomic>(1, ends, memory), "");
            EXPECT_EQ(broken<ScheduledAtomic>(2, ends, memory), "");
        }
}

TEST(BreakerControlInEveryOrder, ASwapInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<TornSwap>(2, {End::succeed, End::succeed, End::succeed})));
    EXPECT_TRUE(is_noticed(broken<TornSwap>(1, {End::fail, End::by_hand})));
}

TEST(BreakerControlInEveryOrder, ASwapThatOverlooksTheEpochIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<EpochBlindSwap>(2, {End::by_hand, End::by_hand})));
}

// Whoever sees a state sees what its maker wrote before.
template <template <class> class Atomic>
std::string unpublished() {
    const auto report = explore(
        [&](Interleaving& run) {
            auto control = std::make_shared<BreakerControl<Atomic>>(std::uint16_t{1});
            auto since = std::make_shared<ScheduledAtomic<int>>(0);
            run.thread([=] {
                since->store(1, std::memory_order_relaxed);
                control->change(0, CircuitState::closed);
            });
            run.thread([=, &run] {
                if (control->load().epoch == 1 && since->load(std::memory_order_relaxed) != 1)
                    run.fail("the state is known before what belongs to it");
            });
            run.thread([=, &run] {
                if (control->is_closed_in(1) && since->load(std::memory_order_relaxed) != 1)
                    run.fail("an outcome comes into a window that has not begun");
            });
            run.thread([=, &run] {
                if (control->closed_epoch() == 1 && since->load(std::memory_order_relaxed) != 1)
                    run.fail("a permit is given in a state that has not begun");
            });
        },
        {.memory = MemoryModel::weak});
    return failure_of(report);
}

TEST(BreakerControlInEveryOrder, AStateIsSeenWithWhatBelongsToIt) {
    EXPECT_EQ(unpublished<ScheduledAtomic>(), "");
}

TEST(BreakerControlInEveryOrder, AMissingReleaseOrAcquireIsNoticed) {
    EXPECT_TRUE(is_noticed(unpublished<UnpublishedSwap>()));
    EXPECT_TRUE(is_noticed(unpublished<CarelessLoad>()));
}

} // namespace
} // namespace velostream
