// SPDX-License-Identifier: Apache-2.0
// More threads in the middle of an operation of a budget tree than its first slots are made for.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/in_threads.hpp"
#include "velostream/core/budget_tree.hpp"

namespace velostream::budget_slots_test {
namespace {

constexpr int threads = 40;

std::barrier<>* all_have_a_slot = nullptr;
thread_local bool stands_still = false;

/// Lets each thread that wants to stand still do so once: when it has a slot, and before it begins its operation.
struct CrowdedAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    struct Scope {
        Scope() noexcept {}
        template <class... Values>
        void returns(Values...) const noexcept {}
        void returns(std::size_t, std::uint64_t) const noexcept {
            if (std::exchange(stands_still, false)) all_have_a_slot->arrive_and_wait();
        }
    };
    static constexpr std::size_t line_heights = 1;
    static std::size_t line_height(std::uint32_t) noexcept { return 1; }
    static constexpr std::size_t items_at_once = 1;
    static void*& innermost_serving() noexcept {
        thread_local void* innermost = nullptr;
        return innermost;
    }
    static std::size_t shard_count() noexcept { return 1; }
};
using Tree = BudgetTree<CrowdedAtomics>;

TEST(BudgetSlots, EachOfManyOperationsHasItsOwn) {
    constexpr std::uint64_t each = 3, most = each * (threads - 1);
    auto& root = Tree::make("root", most);
    for (int round = 0; round < 3; ++round) {
        std::barrier<> barrier{threads};
        all_have_a_slot = &barrier;
        std::atomic<int> granted = 0;
        testing::in_threads(threads, [&](int) {
            stands_still = true;
            if (Tree::take({.node = &root, .units = each}).granted()) ++granted;
        });

        EXPECT_EQ(granted, threads - 1);
        EXPECT_EQ(root.granted(), most);
        root.give(most);
    }
    EXPECT_EQ(Tree::used(root), 0u);
    Tree::drop_owner(&root);
}

} // namespace
} // namespace velostream::budget_slots_test
