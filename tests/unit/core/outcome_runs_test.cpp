// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_runs.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "velostream/core/accounted_memory.hpp"

namespace velostream {
namespace {

TEST(OutcomeRuns, HoldsWhatASetOfPositionsWouldHold) {
    std::mt19937_64 random{3};
    for (const unsigned density : {1U, 2U, 10U, 100U}) {
        OutcomeRuns runs{*std::pmr::get_default_resource()};
        std::deque<std::uint64_t> reference;
        std::uint64_t position = 0;
        for (int i = 0; i < 5000; ++i) {
            position += 1 + (random() % density == 0 ? random() % 5 : 0);
            runs.push(position);
            reference.push_back(position);
            if (random() % 4 == 0) {
                const auto until = position - random() % 200;
                runs.forget_until(until);
                while (!reference.empty() && reference.front() <= until) reference.pop_front();
            }
            ASSERT_EQ(runs.count(), reference.size()) << i;
        }
    }
}

TEST(OutcomeRuns, AMillionNeighboursTakeNoMoreMemoryThanOne) {
    AccountedResource memory{MemoryAccount{"runs", 1000}};
    OutcomeRuns runs{memory};
    const auto before = memory.account().used();

    for (std::uint64_t position = 1; position <= 1'000'000; ++position) runs.push(position);

    EXPECT_EQ(runs.count(), 1'000'000u);
    EXPECT_EQ(memory.account().used(), before);
}

TEST(OutcomeRuns, WithoutMemoryNothingIsForgottenTooEarly) {
    AccountedResource memory{MemoryAccount{"runs", 300}};
    OutcomeRuns runs{memory};
    std::deque<std::uint64_t> reference;
    for (std::uint64_t position = 2; position <= 2000; position += 2) {
        runs.push(position);
        reference.push_back(position);
        const auto until = position > 100 ? position - 100 : 0;
        runs.forget_until(until);
        while (!reference.empty() && reference.front() <= until) reference.pop_front();
        ASSERT_GE(runs.count(), reference.size());
        ASSERT_LE(runs.count(), position - until) << "there are no more places than that";
    }
    EXPECT_GT(memory.account().refusals(), 0u);

    runs.forget_until(2000);
    EXPECT_EQ(runs.count(), 0u) << "none stays for longer than the newest";
}

TEST(OutcomeRuns, GivesItsMemoryBack) {
    AccountedResource memory{MemoryAccount{"runs"}};
    {
        OutcomeRuns runs{memory};
        for (std::uint64_t position = 2; position <= 2000; position += 2) runs.push(position);
        EXPECT_GE(memory.account().used(), 1000 * 16u);
    }
    EXPECT_EQ(memory.account().used(), 0u);
}

} // namespace
} // namespace velostream
