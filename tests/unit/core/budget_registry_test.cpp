// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_registry.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <new>
#include <utility>
#include <vector>

#include "velostream/core/budget_atomics.hpp"
#include "velostream/core/budget_tree.hpp"

namespace velostream {
namespace {

using Tree = BudgetTree<MachineAtomics>;
using Node = Tree::Node;

class BudgetRegistryTest : public ::testing::Test {
  protected:
    ~BudgetRegistryTest() override {
        for (auto* const node : children) Tree::drop_owner(node);
        Tree::drop_owner(&root);
    }
    void make(std::size_t count) {
        while (children.size() < count) children.push_back(&Tree::make_child(root, "child", unlimited_units));
    }
    /// How often each is visited by a look at some.
    std::map<const Node*, int> look_at_some(std::size_t most) {
        std::map<const Node*, int> visits;
        root.tree.registry().for_some_live(place, most, [&](const Node& node) { ++visits[&node]; });
        return visits;
    }

    Node& root = Tree::make("root", unlimited_units);
    std::vector<Node*> children;
    std::atomic<std::uint32_t> place{0};
};

TEST_F(BudgetRegistryTest, ALookAtSomeGoesOnWhereTheLastOneStopped) {
    make(199); // and the root: in four groups of 64

    EXPECT_EQ(look_at_some(100).size(), 128u);
    const auto rest = look_at_some(72);
    EXPECT_EQ(rest.size(), 72u);
    EXPECT_TRUE(rest.contains(children.back()));
    EXPECT_TRUE(look_at_some(1).contains(&root)) << "from the beginning";
}

// The place may be that of a thread which knew more groups, of accounts that were made since.
TEST_F(BudgetRegistryTest, ALookAtSomeVisitsNoneTwiceWhereverItBegins) {
    make(99);
    for (const std::uint32_t begin : {0U, 1U, 2U, 5U}) {
        place = begin;
        const auto visits = look_at_some(1000);

        EXPECT_EQ(visits.size(), 100u);
        for (const auto& [node, count] : visits) EXPECT_EQ(count, 1) << "from " << begin;
    }
}

TEST_F(BudgetRegistryTest, APlaceThatNobodyUsesIsUsedAgain) {
    for (int count = 0; count < 1000; ++count) Tree::drop_owner(&Tree::make_child(root, "child", unlimited_units));

    std::size_t places = 0;
    root.tree.registry().for_each_place([&](const Node&) { ++places; });
    EXPECT_EQ(places, 2u);
}

/// Lets something happen right after a role was read, or before one is written.
struct InterruptedAtomics : MachineAtomics {
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
            const auto value = std::atomic<T>::load(order);
            if constexpr (sizeof(T) == 1) happen(after_load);
            return value;
        }
        void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
            if constexpr (sizeof(T) == 1) happen(before_store);
            std::atomic<T>::store(value, order);
        }
    };
    static void happen(std::function<void()>& what) {
        if (const auto happens = std::exchange(what, nullptr)) happens();
    }
    static inline std::function<void()> after_load, before_store;
};

// Nodes are used again at once: what another thread may see in between.
TEST(BudgetRoles, OneThatTookThePlaceOfAnotherIsNotTakenForIt) {
    using InterruptedTree = BudgetTree<InterruptedAtomics>;
    auto& root = InterruptedTree::make("root", unlimited_units);
    auto* node = &InterruptedTree::make_child(root, "query", unlimited_units, 1);
    auto* const place = node;
    const auto make_plain = [&] {
        InterruptedTree::drop_owner(node);
        node = &InterruptedTree::make_child(root, "plain", unlimited_units);
    };
    InterruptedAtomics::after_load = make_plain;

    EXPECT_FALSE(InterruptedTree::try_own(*place, 1));

    ASSERT_EQ(node, place);
    EXPECT_EQ(node->owner_count(), 1u);
    InterruptedTree::drop_owner(node);
    node = &InterruptedTree::make_child(root, "query", unlimited_units, 1);
    bool is_found = false;
    InterruptedAtomics::before_store = [&] { is_found = InterruptedTree::try_own(*place, 1); };
    make_plain();
    EXPECT_FALSE(is_found);
    ASSERT_EQ(node, place);
    InterruptedTree::drop_owner(node);
    InterruptedTree::drop_owner(&root);
}

struct ScarceAtomics : MachineAtomics {
    static std::size_t shard_count() { // asked first where a node is made
        if (is_scarce) throw std::bad_alloc{};
        return 1;
    }
    static inline bool is_scarce = false;
};

TEST(BudgetRegistryFailures, NoPlaceIsLostWhereThereIsNoMemoryForANode) {
    using ScarceTree = BudgetTree<ScarceAtomics>;
    auto& root = ScarceTree::make("root", unlimited_units);
    ScarceAtomics::is_scarce = true;
    for (int count = 0; count < 3; ++count)
        EXPECT_THROW(ScarceTree::make_child(root, "child", unlimited_units), std::bad_alloc);
    ScarceAtomics::is_scarce = false;

    auto& child = ScarceTree::make_child(root, "child", unlimited_units);

    EXPECT_EQ(child.number, 2u);
    ScarceTree::drop_owner(&child);
    ScarceTree::drop_owner(&root);
}

} // namespace
} // namespace velostream
