// SPDX-License-Identifier: Apache-2.0
// The control word of a circuit breaker in every order of its steps, and mutants of it that must be noticed.
#include "velostream/core/breaker_control.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
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

enum class Order { limit_first, limit_last };

// Half-open in epoch 2 with the limit `before`; one thread ends that and begins epoch 4, half-open with the limit
// `after` and a probe of its own; one for each of `ends` takes a probe permit in whichever of them it finds, and says
// how the call went.
template <template <class> class Atomic>
std::string broken_by_limits(std::uint16_t before, std::uint16_t after, const std::vector<End>& ends,
                             MemoryModel memory, Order order = Order::limit_first) {
    struct Probes {
        int out = 0, succeeded = 0;
    };
    struct Seen {
        std::uint32_t epoch = 2; // as those know who changed it
        Probes first, second;    // of epoch 2, of epoch 4
        Probes& of(std::uint32_t in) { return in == 2 ? first : second; }
    };
    const auto report = explore(
        [&](Interleaving& run) {
            auto control = std::make_shared<BreakerControl<Atomic>>(before);
            control->change(0, CircuitState::open);
            control->change(1, CircuitState::half_open);
            auto seen = std::make_shared<Seen>();
            const auto limit_of = [=](std::uint32_t epoch) { return int{epoch == 2 ? before : after}; };
            const auto judge = [=, &run](std::uint32_t epoch, End end) {
                const auto verdict = end == End::succeed ? control->succeed_probe(epoch) : control->return_probe(epoch);
                auto& probes = seen->of(epoch);
                if (verdict != ProbeVerdict::late) {
                    --probes.out;
                    if (end == End::succeed) ++probes.succeeded;
                }
                if (verdict == ProbeVerdict::decided) {
                    ++seen->epoch;
                    if (probes.succeeded != limit_of(epoch)) run.fail("closed by another number of successes");
                }
                run.event(epoch * 8 + static_cast<std::uint64_t>(verdict));
            };
            run.begin([seen] { *seen = {}; });
            run.thread([=, &run] {
                if (!control->change(2, CircuitState::open)) return run.event(1); // it has closed
                ++seen->epoch;
                run.event(2);
                if (order == Order::limit_first) control->set_probe_limit(after);
                if (!control->change(3, CircuitState::half_open, 1)) return run.fail("somebody else has changed it");
                ++seen->epoch;
                seen->second.out = 1;
                run.event(3);
                if (order == Order::limit_last) control->set_probe_limit(after);
                judge(4, End::succeed);
            });
            for (const auto end : ends)
                run.thread([=, &run] {
                    const auto epoch = control->load().epoch;
                    if (!control->admit_probe(epoch)) return run.event(4);
                    ++seen->of(epoch).out;
                    run.event(5 + epoch);
                    judge(epoch, end);
                });
            run.always([=, &run] {
                const auto word = control->load();
                if (word.epoch != seen->epoch) return run.fail("the epoch is not that which somebody has made");
                if (word.state != CircuitState::half_open) return;
                const auto probes = seen->of(word.epoch);
                if (probes.out + probes.succeeded > limit_of(word.epoch)) run.fail("more probes than the limit");
                if (word.in_flight != probes.out || word.succeeded != probes.succeeded)
                    run.fail("the word counts other probes than there are");
            });
        },
        {.memory = memory});
    return failure_of(report);
}

TEST(BreakerControlInEveryOrder, AnotherProbeLimitIsThatOfTheNextHalfOpenStateAlone) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak})
        for (const auto& ends : {std::vector{End::succeed, End::succeed}, std::vector{End::succeed, End::give_up}})
            for (const auto& [before, after] : {std::pair{1, 2}, std::pair{2, 1}, std::pair{2, 3}})
                EXPECT_EQ(broken_by_limits<ScheduledAtomic>(static_cast<std::uint16_t>(before),
                                                            static_cast<std::uint16_t>(after), ends, memory),
                          "");
}

TEST(BreakerControlInEveryOrder, AProbeLimitThatComesAfterItsStateIsNoticed) {
    const std::vector both{End::succeed, End::succeed};
    EXPECT_TRUE(is_noticed(broken_by_limits<ScheduledAtomic>(3, 1, both, MemoryModel::sequential, Order::limit_last)));
    EXPECT_TRUE(is_noticed(broken_by_limits<UnpublishedSwap>(3, 1, both, MemoryModel::weak))) << "or is not published";
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
