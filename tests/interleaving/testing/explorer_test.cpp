// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/interleaving_explorer.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace velostream::testing {
namespace {

using Scenario = std::function<void(Interleaving&)>;

TEST(InterleavingExplorer, FindsALostUpdate) {
    const auto report = explore([](Interleaving& run) {
        auto counter = std::make_shared<ScheduledAtomic<int>>(0);
        for (int thread = 0; thread < 2; ++thread) run.thread([counter] { counter->store(counter->load() + 1); });
        run.finally([counter, &run] {
            if (counter->load() != 2) run.fail("an increment was lost");
        });
    });

    EXPECT_EQ(report.failure, "an increment was lost");
    EXPECT_FALSE(report.passed());
}

TEST(InterleavingExplorer, PassesAnUpdateInOneStep) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak}) {
        const auto report = explore(
            [](Interleaving& run) {
                auto counter = std::make_shared<ScheduledAtomic<std::uint8_t>>(std::uint8_t{254});
                for (int thread = 0; thread < 3; ++thread)
                    run.thread([counter] { counter->fetch_add(1, std::memory_order_relaxed); });
                run.finally([counter, &run] {
                    if (counter->load() != 1) run.fail("an increment was lost, or did not wrap");
                });
            },
            {.memory = memory});

        EXPECT_TRUE(report.passed()) << report.failure;
    }
}

TEST(InterleavingExplorer, GoesThroughEveryOrder) {
    std::set<std::vector<int>> orders;

    const auto report = explore([&orders](Interleaving& run) {
        auto order = std::make_shared<std::vector<int>>();
        run.begin([order] { order->clear(); });
        for (int thread = 0; thread < 3; ++thread) {
            run.thread([order, thread, &run] {
                for (int step = 0; step < 2; ++step) {
                    run.step();
                    run.event(static_cast<std::uint64_t>(thread));
                    order->push_back(thread);
                }
            });
        }
        run.finally([order, &orders] { orders.insert(*order); });
    });

    EXPECT_TRUE(report.passed());
    EXPECT_EQ(orders.size(), 90u); // 6! / (2! 2! 2!)
}

// No two of them come to the same state, and each is gone to its end.
TEST(InterleavingExplorer, GoesThroughEveryOrderOfThreeTimesSixStepsAlsoWhereAllDiffer) {
    constexpr int steps = 6;
    std::size_t orders = 0;

    const auto report = explore([&orders](Interleaving& run) {
        auto count = std::make_shared<ScheduledAtomic<int>>(0);
        for (int thread = 0; thread < 3; ++thread)
            run.thread([count] {
                for (int step = 0; step < steps; ++step) count->fetch_add(1);
            });
        run.finally([count, &orders, &run] {
            ++orders;
            if (count->load() != 3 * steps) run.fail("an increment was lost");
        });
    });

    EXPECT_TRUE(report.passed()) << report.failure;
    EXPECT_EQ(orders, 17'153'136u); // 18! / (6! 6! 6!)
}

TEST(InterleavingExplorer, ChecksTheStateBetweenAnyTwoSteps) {
    const auto report = explore([](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        run.thread([value] {
            value->store(1);
            value->store(0);
        });
        run.always([value, &run] {
            if (value->load() == 1) run.fail("it was 1 for a moment");
        });
    });

    EXPECT_EQ(report.failure, "it was 1 for a moment");
}

TEST(InterleavingExplorer, ChecksTheStateAfterTheLastStep) {
    const auto report = explore([](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        run.thread([value] { value->store(1); });
        run.always([value, &run] {
            if (value->load() == 1) run.fail("it is 1 in the end");
        });
    });

    EXPECT_EQ(report.failure, "it is 1 in the end");
}

// A flag that is set after a value was written.
Scenario hand_over(std::memory_order store, std::memory_order load) {
    return [=](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        auto flag = std::make_shared<ScheduledAtomic<bool>>(false);
        run.thread([=] {
            value->store(7, std::memory_order_relaxed);
            flag->store(true, store);
        });
        run.thread([=, &run] {
            if (flag->load(load) && value->load(std::memory_order_relaxed) != 7) run.fail("flag without value");
        });
    };
}

TEST(InterleavingExplorer, FindsAMissingReleaseAndAMissingAcquire) {
    constexpr auto relaxed = std::memory_order_relaxed;
    const Exploration weak{.memory = MemoryModel::weak};

    EXPECT_EQ(explore(hand_over(relaxed, std::memory_order_acquire), weak).failure, "flag without value");
    EXPECT_EQ(explore(hand_over(std::memory_order_release, relaxed), weak).failure, "flag without value");
    EXPECT_TRUE(explore(hand_over(std::memory_order_release, std::memory_order_acquire), weak).passed());
    EXPECT_TRUE(explore(hand_over(relaxed, relaxed), {.memory = MemoryModel::sequential}).passed());
}

TEST(InterleavingExplorer, AReadModifyWriteCarriesOnWhatWasReleasedBefore) {
    const auto scenario = [](std::function<void(ScheduledAtomic<int>&)> between) {
        return [=](Interleaving& run) {
            auto value = std::make_shared<ScheduledAtomic<int>>(0);
            auto flag = std::make_shared<ScheduledAtomic<int>>(0);
            run.thread([=] {
                value->store(7, std::memory_order_relaxed);
                flag->store(1, std::memory_order_release);
            });
            run.thread([=] { between(*flag); });
            run.thread([=, &run] {
                if (flag->load(std::memory_order_acquire) == 2 && value->load(std::memory_order_relaxed) != 7)
                    run.fail("flag without value");
            });
        };
    };
    const Exploration weak{.memory = MemoryModel::weak};
    const auto exchanges = [](ScheduledAtomic<int>& flag) {
        int expected = 1;
        flag.compare_exchange_strong(expected, 2, std::memory_order_relaxed);
    };
    const auto stores = [](ScheduledAtomic<int>& flag) {
        if (flag.load(std::memory_order_relaxed) == 1) flag.store(2, std::memory_order_relaxed);
    };

    EXPECT_TRUE(explore(scenario(exchanges), weak).passed());
    EXPECT_EQ(explore(scenario(stores), weak).failure, "flag without value");
}

// Each thread announces itself, then looks for the other.
Scenario dekker(std::memory_order store, std::memory_order load) {
    return [=](Interleaving& run) {
        auto wants = std::make_shared<std::array<ScheduledAtomic<bool>, 2>>();
        auto inside = std::make_shared<ScheduledAtomic<int>>(0);
        for (std::size_t self = 0; self < 2; ++self) {
            run.thread([=, &run] {
                (*wants)[self].store(true, store);
                if ((*wants)[1 - self].load(load)) return;
                if (inside->fetch_add(1) != 0) run.fail("both are inside");
            });
        }
    };
}

TEST(InterleavingExplorer, FindsAStoreThatALaterLoadOverlooks) {
    const Exploration weak{.memory = MemoryModel::weak};

    EXPECT_EQ(explore(dekker(std::memory_order_release, std::memory_order_acquire), weak).failure, "both are inside");
    EXPECT_EQ(explore(dekker(std::memory_order_seq_cst, std::memory_order_acquire), weak).failure, "both are inside");
    EXPECT_EQ(explore(dekker(std::memory_order_release, std::memory_order_seq_cst), weak).failure, "both are inside");
    EXPECT_TRUE(explore(dekker(std::memory_order_seq_cst, std::memory_order_seq_cst), weak).passed());
}

// Two writers; two readers who look at what they wrote in opposite order.
Scenario two_observers(std::memory_order order) {
    return [=](Interleaving& run) {
        auto values = std::make_shared<std::array<ScheduledAtomic<int>, 2>>();
        auto first_only = std::make_shared<ScheduledAtomic<int>>(0); // readers who saw only what they read first
        for (std::size_t self = 0; self < 2; ++self) {
            run.thread([=] {
                (*values)[self].store(1, order == std::memory_order_acquire ? std::memory_order_release : order);
            });
            run.thread([=] {
                const int mine = (*values)[self].load(order);
                const int other = (*values)[1 - self].load(order);
                if (mine == 1 && other == 0) first_only->fetch_add(1);
            });
        }
        run.finally([=, &run] {
            if (first_only->load() == 2) run.fail("the readers disagree");
        });
    };
}

TEST(InterleavingExplorer, OnlySequentialConsistencyMakesAllAgreeOnOneOrder) {
    const Exploration weak{.memory = MemoryModel::weak};

    EXPECT_EQ(explore(two_observers(std::memory_order_acquire), weak).failure, "the readers disagree");
    EXPECT_TRUE(explore(two_observers(std::memory_order_seq_cst), weak).passed());
}

TEST(InterleavingExplorer, NobodySeesALocationGoBack) {
    const auto report = explore(
        [](Interleaving& run) {
            auto value = std::make_shared<ScheduledAtomic<int>>(0);
            run.thread([=] {
                for (int next = 1; next <= 3; ++next) value->store(next, std::memory_order_relaxed);
            });
            run.thread([=, &run] {
                int last = 0;
                for (int count = 0; count < 3; ++count) {
                    const int now = value->load(std::memory_order_relaxed);
                    if (now < last) run.fail("it went back");
                    last = now;
                }
            });
        },
        {.memory = MemoryModel::weak});

    EXPECT_TRUE(report.passed()) << report.failure;
}

TEST(InterleavingExplorer, AFailedCompareAndSwapMayReportAnOldValue) {
    const auto scenario = [](std::memory_order failure_order) {
        return [=](Interleaving& run) {
            auto value = std::make_shared<ScheduledAtomic<int>>(0);
            auto is_two = std::make_shared<ScheduledAtomic<bool>>(false);
            run.thread([=] {
                value->store(1, std::memory_order_relaxed);
                value->store(2, std::memory_order_relaxed);
                is_two->store(true, std::memory_order_release);
            });
            run.thread([=, &run] {
                const bool was_two = is_two->load(failure_order);
                int expected = 9;
                value->compare_exchange_strong(expected, 10, std::memory_order_seq_cst, failure_order);
                if (was_two && expected != 2) run.fail("an old value");
            });
        };
    };
    const Exploration weak{.memory = MemoryModel::weak};

    EXPECT_EQ(explore(scenario(std::memory_order_relaxed), weak).failure, "an old value");
    EXPECT_TRUE(explore(scenario(std::memory_order_acquire), weak).passed());
}

// A stack of the cells 1 and 2 (1 on top); the head is the cell's number, above a tag that `step` raises.
Scenario pops(int step) {
    return [=](Interleaving& run) {
        struct Stack {
            ScheduledAtomic<int> head{1};
            std::array<ScheduledAtomic<int>, 3> next{0, 2, 0};
            std::array<ScheduledAtomic<int>, 3> takers{0, 0, 0};
        };
        auto stack = std::make_shared<Stack>();
        const auto pop = [=] {
            for (int seen = stack->head.load(); seen % 10 != 0;) {
                const int below = stack->next[static_cast<std::size_t>(seen % 10)].load();
                if (stack->head.compare_exchange_strong(seen, seen - seen % 10 + step + below)) return seen % 10;
            }
            return 0;
        };
        const auto push = [=](int cell) {
            int seen = stack->head.load();
            do {
                stack->next[static_cast<std::size_t>(cell)].store(seen % 10);
            } while (!stack->head.compare_exchange_strong(seen, seen - seen % 10 + step + cell));
        };
        const auto keep = [=, &run](int cell) {
            if (cell != 0 && stack->takers[static_cast<std::size_t>(cell)].fetch_add(1) != 0) run.fail("popped twice");
        };
        run.thread([=] {
            keep(pop());
            keep(pop());
        });
        run.thread([=] {
            const int first = pop();
            keep(pop());
            if (first != 0) push(first);
        });
    };
}

TEST(InterleavingExplorer, FindsAValueThatWentAwayAndCameBack) {
    const auto untagged = explore(pops(0));
    const auto tagged = explore(pops(10));

    EXPECT_EQ(untagged.failure, "popped twice");
    EXPECT_TRUE(tagged.passed()) << tagged.failure << "\n" << tagged.trace;
}

TEST(InterleavingExplorer, TheTraceLeadsToTheFailure) {
    const auto report = explore([](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(5);
        run.thread([=] { value->exchange(6); });
        run.thread([=, &run] {
            if (value->load() == 5) run.fail("it was early");
        });
    });

    EXPECT_EQ(report.failure, "it was early");
    EXPECT_EQ(report.trace, "thread 1: load #0 -> 5\n");
}

TEST(InterleavingExplorer, AThreadThatWaitsForAnotherFails) {
    const auto report = explore([](Interleaving& run) {
        auto flag = std::make_shared<ScheduledAtomic<bool>>(false);
        run.thread([=] {
            while (!flag->load()) continue;
        });
        run.thread([=] { flag->store(true); });
    });

    EXPECT_EQ(report.failure, "no end in sight: a thread waits for another");
}

TEST(InterleavingExplorer, AnExplorationThatGaveUpHasNotPassed) {
    const auto report = explore(hand_over(std::memory_order_release, std::memory_order_acquire),
                                {.memory = MemoryModel::weak, .most_executions = 2});

    EXPECT_EQ(report.executions, 2u);
    EXPECT_EQ(report.failure, "");
    EXPECT_FALSE(report.passed());
}

// Two threads that both look at what the other changes; each keeps, or forgets, what it saw.
Scenario looks(bool forgets) {
    return [=](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        for (int thread = 0; thread < 2; ++thread) {
            run.thread([=, &run] {
                const auto look = [&] {
                    int seen = 0;
                    if (forgets) {
                        ForgottenAnswers answers;
                        for (int count = 0; count < 3; ++count) seen = value->load();
                        answers.returns(seen >= 2);
                    } else {
                        for (int count = 0; count < 3; ++count) seen = value->load();
                    }
                    return seen >= 2;
                };
                const bool late = look();
                value->fetch_add(1);
                if (late && value->load() < 3) run.fail("late, yet not the third");
                value->fetch_add(1);
            });
        }
    };
}

TEST(InterleavingExplorer, ForgottenAnswersLeaveFewerStatesAndTheSameVerdict) {
    const auto kept = explore(looks(false));
    const auto forgotten = explore(looks(true));

    EXPECT_TRUE(kept.passed()) << kept.failure;
    EXPECT_TRUE(forgotten.passed()) << forgotten.failure;
    EXPECT_LT(forgotten.states, kept.states);
}

TEST(InterleavingExplorer, WhatAFunctionReturnedIsNotForgotten) {
    const auto report = explore([](Interleaving& run) {
        auto flag = std::make_shared<ScheduledAtomic<bool>>(false);
        auto count = std::make_shared<ScheduledAtomic<int>>(0);
        run.thread([=] {
            flag->store(true);
            flag->store(false);
        });
        run.thread([=, &run] {
            bool seen = false;
            {
                ForgottenAnswers answers;
                seen = flag->load();
                answers.returns(seen);
            }
            count->fetch_add(1);
            if (seen) run.fail("it was set");
        });
    });

    EXPECT_EQ(report.failure, "it was set");
}

// The answer 0 to an addition, forgotten or not, is another place than behind the function that made it.
TEST(InterleavingExplorer, AForgottenAnswerIsNotTakenForTheEndOfItsFunction) {
    const auto report = explore([](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(0);
        run.thread([=, &run] {
            {
                const ForgottenAnswers answers;
                value->fetch_add(1);
                value->load();
            }
            if (value->load() == 1) run.fail("it went on");
        });
    });

    EXPECT_EQ(report.failure, "it went on");
}

TEST(InterleavingExplorer, AnExecutionBeginsAsTheScenarioWasBuilt) {
    std::vector<int> found;
    const auto report = explore([&found](Interleaving& run) {
        auto value = std::make_shared<ScheduledAtomic<int>>(1);
        value->store(2);
        run.begin([value, &found] { found.push_back(value->load()); });
        for (int thread = 0; thread < 2; ++thread) run.thread([=] { value->fetch_add(1); });
    });

    EXPECT_TRUE(report.passed());
    EXPECT_EQ(found, std::vector<int>(report.executions, 2));
}

TEST(InterleavingExplorer, ExplorationsInSeveralThreadsDoNotDisturbEachOther) {
    ExplorationReport other;
    std::thread thread{[&other] { other = explore(looks(true)); }};
    const auto report = explore(looks(false));
    thread.join();

    EXPECT_TRUE(report.passed()) << report.failure;
    EXPECT_TRUE(other.passed()) << other.failure;
    EXPECT_LT(other.states, report.states);
}

TEST(InterleavingExplorer, RefusesNoThreadsAndMoreThanEight) {
    EXPECT_THROW(explore([](Interleaving&) {}), std::invalid_argument);
    const auto nine = [](Interleaving& run) {
        for (int thread = 0; thread < 9; ++thread) run.thread([] {});
    };
    EXPECT_THROW(explore(nine), std::invalid_argument);
}

enum class Colour : std::uint8_t { red, green };

TEST(ScheduledAtomic, IsAPlainValueWhereNoExploredThreadRuns) {
    int target = 0;
    ScheduledAtomic<int*> pointer;
    ScheduledAtomic<Colour> colour{Colour::red};
    ScheduledAtomic<std::int32_t> number{-1};
    auto expected = Colour::green;

    pointer.store(&target);

    EXPECT_EQ(pointer.load(), &target);
    EXPECT_FALSE(colour.compare_exchange_strong(expected, Colour::green));
    EXPECT_EQ(expected, Colour::red);
    EXPECT_TRUE(colour.compare_exchange_weak(expected, Colour::green, std::memory_order_acq_rel));
    EXPECT_EQ(colour.exchange(Colour::red), Colour::green);
    EXPECT_EQ(number.fetch_sub(1), -1);
    EXPECT_EQ(number.fetch_and(0xff), -2);
    EXPECT_EQ(number.fetch_or(0x100), 0xfe);
    EXPECT_EQ(number.load(), 0x1fe);
}

} // namespace
} // namespace velostream::testing
