// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_registry.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
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

} // namespace
} // namespace velostream
