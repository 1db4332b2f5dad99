// SPDX-License-Identifier: Apache-2.0
// Every schedule of two threads that take items of a pool and give them back.
#include "velostream/base/item_pool.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "interleaving/core/budget_world.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {

template <class Mutation>
struct ExploredItem {
    testing::ScheduledAtomic<std::uint32_t> next_free{0};
};
template <class Mutation>
using ExploredPool = ItemPool<ExploredAtomics<Mutation>, ExploredItem<Mutation>>;

struct CountsNoChanges {};
struct TakesInTwoSteps {};
struct MakesInTwoSteps {};

// The first free one may be the same again while another is behind it.
template <>
auto ExploredPool<CountsNoChanges>::take() -> Index {
    auto seen = free_.load();
    while (seen != 0) {
        const auto index = IndexWord::index_of(seen);
        if (free_.compare_exchange_strong(seen, (*this)[index].next_free.load())) return index;
    }
    return make();
}
template <>
void ExploredPool<CountsNoChanges>::give_back(Index index) noexcept {
    auto seen = free_.load();
    do (*this)[index].next_free.store(IndexWord::index_of(seen));
    while (!free_.compare_exchange_strong(seen, index));
}

template <>
auto ExploredPool<TakesInTwoSteps>::take() -> Index {
    const auto seen = free_.load();
    const auto index = IndexWord::index_of(seen);
    if (index == 0) return make();
    free_.store(IndexWord::after(seen, (*this)[index].next_free.load()));
    return index;
}

template <>
auto ExploredPool<MakesInTwoSteps>::make() -> Index {
    const auto made = made_.load();
    items_.reach(made);
    made_.store(made + 1);
    return made + 1;
}

namespace {

struct Intact {};

/// Nobody has an item that another has.
template <class Mutation>
struct PoolWorld {
    explicit PoolWorld(testing::Interleaving& its_run) : run(its_run) {
        const auto one = pool.take(), two = pool.take();
        pool.give_back(one);
        pool.give_back(two);
    }
    std::uint32_t take() {
        testing::ForgottenAnswers answers;
        const auto index = pool.take();
        answers.returns(index);
        run.event(index);
        if (users[index]++ != 0) run.fail("an item has two users");
        return index;
    }
    void give_back(std::uint32_t index) {
        run.event(std::uint64_t{index} << 8);
        --users[index];
        pool.give_back(index);
    }

    testing::Interleaving& run;
    ExploredPool<Mutation> pool;
    std::array<int, 5> users{};
};

/// Two are free; together they need as many, or more.
template <class Mutation>
testing::ExplorationReport two_who_take(std::size_t more) {
    return testing::explore([more](testing::Interleaving& run) {
        const auto world = std::make_shared<PoolWorld<Mutation>>(run);
        run.begin([world] { world->users = {}; });
        run.thread([world, more] {
            for (std::size_t count = 0; count < 1 + more; ++count) world->take();
        });
        run.thread([world] {
            const auto one = world->take();
            world->take();
            world->give_back(one);
        });
    });
}

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}

TEST(ItemPoolInterleavings, NobodyHasAnItemOfAnother) {
    expect_passed(two_who_take<Intact>(0));
}
TEST(ItemPoolInterleavings, NobodyHasAnItemOfAnotherWhereMoreAreMade) {
    expect_passed(two_who_take<Intact>(1));
}

TEST(ItemPoolMutants, ATakeThatMissesThatTheFirstOneWasAwayIsFound) {
    EXPECT_EQ(two_who_take<CountsNoChanges>(1).failure, "an item has two users");
}
TEST(ItemPoolMutants, ATakeInTwoStepsIsFound) {
    EXPECT_EQ(two_who_take<TakesInTwoSteps>(0).failure, "an item has two users");
}
TEST(ItemPoolMutants, AnItemThatIsMadeInTwoStepsIsFound) {
    EXPECT_EQ(two_who_take<MakesInTwoSteps>(1).failure, "an item has two users");
}

} // namespace
} // namespace velostream
