// SPDX-License-Identifier: Apache-2.0
// The window of a retry budget in every order of its steps, and mutants of it that must be noticed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "interleaving/core/exploration_failure.hpp"
#include "interleaving/core/torn_swap.hpp"
#include "velostream/core/retry_budget_window.hpp"
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

constexpr std::size_t buckets = 2;
constexpr std::uint64_t first = buckets; // the lowest bucket

// Mutants: atomics that do less than the window needs.
template <class T>
struct BucketBlindSwap
    : ScheduledAtomic<T> { // takes a word of another bucket, with the same count, for the expected one
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        constexpr T count = (T{1} << 28) - 1;
        const auto wanted = expected;
        for (;;) {
            if (ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure)) return true;
            if ((expected & count) != (wanted & count)) return false;
        }
    }
};
template <class T>
struct CountBlindSwap : ScheduledAtomic<T> { // the other way round: counts what it saw, whatever came between
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const auto wanted = expected;
        for (;;) {
            if (ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure)) return true;
            if (expected >> 28 != wanted >> 28) return false;
        }
    }
};

template <class T>
struct SharedSuccess : ScheduledAtomic<T> { // two threads that store the same both believe that they did it
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure) || expected == desired;
    }
};

// What one thread does, in this order.
struct Caller {
    std::uint64_t bucket = first;
    int calls = 0;
    int retries = 1;
    bool gives_back = false;
};

// Allowed is a retry for each call, and `reserve` more. Every grant is told with the bucket that it counts in.
template <template <class> class Atomic>
std::string broken(const std::vector<Caller>& callers, std::uint64_t reserve,
                   MemoryModel memory = MemoryModel::sequential) {
    using Window = RetryBudgetWindow<Atomic, 1, buckets>;
    constexpr std::size_t numbers = first + 8;
    struct Seen {
        std::array<std::uint64_t, numbers> calls{}, retries{}; // by bucket; calls are counted before they are made
    };
    const auto report = explore(
        [&](Interleaving& run) {
            auto window = std::make_shared<Window>();
            auto seen = std::make_shared<Seen>();
            run.begin([seen] { *seen = {}; });
            const auto in_window = [](const auto& counts, std::uint64_t last) {
                std::uint64_t sum = 0;
                for (std::uint64_t bucket = last + 1 - buckets; bucket <= last; ++bucket) sum += counts[bucket];
                return sum;
            };
            for (const auto& caller : callers)
                run.thread([=, &run] {
                    for (int i = 0; i < caller.calls; ++i) {
                        ++seen->calls[caller.bucket];
                        run.event(1);
                        window->add_call(0, caller.bucket);
                    }
                    for (int i = 0; i < caller.retries; ++i) {
                        const auto granted = window->try_withdraw(
                            caller.bucket, [&](auto retries, auto calls) { return retries <= calls + reserve; });
                        run.event(2 + granted.value_or(0));
                        if (!granted) continue;
                        ++seen->retries[*granted];
                        for (std::uint64_t last = first; last < numbers; ++last)
                            if (seen->retries[last] > 0 &&
                                in_window(seen->retries, last) > in_window(seen->calls, last) + reserve)
                                run.fail("more retries than the calls of the window and the reserve pay for");
                        if (!caller.gives_back) continue;
                        --seen->retries[*granted];
                        run.event(100);
                        window->give_back(*granted);
                    }
                });
            run.always([=, &run] {
                if (window->charged() > 100) run.fail("something was released twice");
            });
            run.finally([=, &run] {
                std::uint64_t latest = first;
                for (const auto& caller : callers)
                    if (caller.retries > 0) latest = std::max(latest, caller.bucket);
                if (window->retries(latest) != in_window(seen->retries, latest))
                    run.fail("the window has other retries than were made");
                // One who comes now is granted exactly what is left.
                const auto allowed = window->calls(latest) + reserve;
                auto left = allowed - std::min(allowed, in_window(seen->retries, latest));
                const auto rule = [&](auto retries, auto calls) { return retries <= calls + reserve; };
                for (; left > 0; --left)
                    if (!window->try_withdraw(latest, rule)) return run.fail("what was given back or has left is lost");
                if (window->try_withdraw(latest, rule)) run.fail("one is granted too many");
            });
        },
        {.memory = memory});
    return failure_of(report);
}

TEST(RetryBudgetInEveryOrder, TwoCallersAreGrantedWhatTheWindowPaysForAndNoMore) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak})
        for (const auto& callers : {std::vector<Caller>{{.calls = 1}, {.calls = 1}},
                                    std::vector<Caller>{{.gives_back = true}, {.bucket = first + 1}},
                                    std::vector<Caller>{{.gives_back = true}, {.bucket = first + 2}},
                                    std::vector<Caller>{{.calls = 1}, {.bucket = first + 2, .calls = 1}}}) {
            EXPECT_EQ(broken<ScheduledAtomic>(callers, 1, memory), "");
            EXPECT_EQ(broken<ScheduledAtomic>(callers, 2, memory), "");
        }
}

TEST(RetryBudgetInEveryOrder, SoAreThree) {
    for (const auto& callers : {std::vector<Caller>{{}, {}, {}}, std::vector<Caller>{{.gives_back = true}, {}, {}},
                                std::vector<Caller>{{}, {.bucket = first + 2}, {.bucket = first + 2}},
                                std::vector<Caller>{{}, {.bucket = first + 1}, {.bucket = first + 2}}})
        EXPECT_EQ(broken<ScheduledAtomic>(callers, 1), "");
}

TEST(RetryBudgetInEveryOrder, ASwapInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<TornSwap>({{}, {}}, 1)));
}

TEST(RetryBudgetInEveryOrder, ASwapThatOverlooksTheBucketOrTheCountIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<BucketBlindSwap>({{.calls = 1, .retries = 1}, {.bucket = first + 2}, {}}, 1)));
    EXPECT_TRUE(is_noticed(broken<CountBlindSwap>({{}, {}}, 1)));
}

TEST(RetryBudgetInEveryOrder, ARetryThatTwoReleaseIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<SharedSuccess>({{}, {.bucket = first + 2}, {.bucket = first + 2}}, 2)));
}

} // namespace
} // namespace velostream
