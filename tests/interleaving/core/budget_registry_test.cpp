// SPDX-License-Identifier: Apache-2.0
// Every schedule of threads that make accounts of a tree and let go of them while others look through all of them, each
// thread stopped for ever at any step; and the same with one thing wrong each.
#include "velostream/core/budget_registry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "interleaving/core/budget_world.hpp"

namespace velostream {

struct AsItIs {};
struct WithNewNodes {};
struct EndsAtAGap {};
struct GivesTheNumberBackFirst {};
struct LooksForOwnersUnordered {};
struct LooksForRolesUnordered {};

template <class Mutation>
using ExploredTree = BudgetTree<ExploredAtomics<Mutation>>;
template <class Mutation>
using ExploredNode = BudgetNode<ExploredAtomics<Mutation>>;
template <class Mutation>
using ExploredRegistry = BudgetRegistry<ExploredAtomics<Mutation>>;

/// The nodes that a tree makes while it is explored: all there from the beginning, since executions are repeated.
struct PreparedNodes {
    testing::Interleaving* run = nullptr;
    std::vector<void*> nodes;
    std::size_t next = 0;

    template <class Mutation>
    typename ExploredNode<Mutation>::Owner take(ExploredTree<Mutation>& tree) {
        using Node = ExploredNode<Mutation>;
        using Shard = BudgetShard<ExploredAtomics<Mutation>>;
        while (nodes.size() < 4) {
            auto* const memory = ::operator new(sizeof(Node) + sizeof(Shard), std::align_val_t{alignof(Node)});
            auto* const node = new (memory) Node{tree};
            (new (&node->shard(0)) Shard)->node = node;
            nodes.push_back(node);
        }
        if (next != 0) run->event(0x100 | next); // the first one is the root, and made before
        return typename Node::Owner{static_cast<Node*>(nodes.at(next++))};
    }
};
inline PreparedNodes prepared_nodes;

template <>
auto ExploredNode<WithNewNodes>::make(ExploredTree<WithNewNodes>& owner_tree) -> Owner {
    return prepared_nodes.take<WithNewNodes>(owner_tree);
}
template <>
auto ExploredNode<EndsAtAGap>::make(ExploredTree<EndsAtAGap>& owner_tree) -> Owner {
    return prepared_nodes.take<EndsAtAGap>(owner_tree);
}

template <>
template <class Visit>
void ExploredRegistry<EndsAtAGap>::for_each_place(Visit visit) {
    groups_.for_first(group_count(), [&](Group& group) {
        for (auto& place : group.nodes) {
            auto* const node = place.load();
            if (node == nullptr) return;
            visit(*node);
        }
    });
}

template <>
void ExploredRegistry<GivesTheNumberBackFirst>::recycle(Node& node) noexcept {
    numbers_.give_back(node.number);
    node.open_marks[live_marks].fetch_and(~node.open_mark);
}

template <>
bool ExploredNode<LooksForOwnersUnordered>::try_add_owner() noexcept {
    auto seen = owners.load(std::memory_order_relaxed);
    do {
        if (seen == 0) return false;
    } while (
        !owners.compare_exchange_strong(seen, seen + one_owner, std::memory_order_acquire, std::memory_order_relaxed));
    return true;
}

template <>
bool ExploredTree<LooksForRolesUnordered>::try_own(Node& node, std::uint8_t role) noexcept {
    if (node.role.load(std::memory_order_relaxed) != role || !node.try_add_owner()) return false;
    if (node.role.load(std::memory_order_relaxed) == role) return true;
    drop_owner(&node);
    return false;
}

namespace {

using testing::MemoryModel;

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}

/// A tree of a root whose children are made and dropped.
template <class Mutation>
class Making {
  public:
    using Tree = ExploredTree<Mutation>;
    using Node = ExploredNode<Mutation>;
    using Shard = BudgetShard<ExploredAtomics<Mutation>>;
    using Run = testing::Interleaving;
    static constexpr std::size_t most = 3;

    explicit Making(Run& run) : run_(run) {
        prepared_nodes = {.run = &run};
        root_ = &Tree::make("root", unlimited_units);
        if (!prepared_nodes.nodes.empty()) return;
        std::array<Node*, most> nodes{};
        for (auto& node : nodes) node = &child(0);
        for (auto* const node : nodes) Tree::drop_owner(node);
    }
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;
    ~Making() {
        std::set<void*> in_place;
        registry().for_each_place([&](Node& node) { in_place.insert(&node); });
        for (auto* const node : prepared_nodes.nodes)
            if (!in_place.contains(node)) typename Node::Owner{static_cast<Node*>(node)};
        delete &root_->tree;
    }

    Node& child(std::uint8_t role) { return Tree::make_child(*root_, "child", unlimited_units, role); }

    /// Makes a child that this thread finds among all nodes, and has until it drops it.
    void make(std::size_t number) {
        testing::ForgottenAnswers answers;
        auto& node = child(1);
        bool is_found = false;
        registry().for_each_place([&](Node& one) { is_found |= &one == &node; });
        if (!is_found) run_.fail("a node that was made is not found");
        if (std::ranges::find(of_, &node) != of_.end()) run_.fail("a node is made twice");
        of_[number] = &node;
        run_.event(0x200 | number);
        answers.returns(&node);
    }
    void drop(std::size_t number) {
        const testing::ForgottenAnswers answers;
        auto* const node = std::exchange(of_[number], nullptr);
        run_.event(0x300 | number);
        Tree::drop_owner(node);
    }
    /// What looks for accounts after it has changed something does, or a refusal that looks for the largest.
    bool finds(std::size_t number) {
        testing::ForgottenAnswers answers;
        bool is_found = false;
        registry().for_each_live([&](Node& node) {
            if (!Tree::try_own(node, 1)) return;
            is_found |= &node == of_[number];
            Tree::drop_owner(&node);
        });
        answers.returns(is_found);
        return is_found;
    }
    /// In the end each that is kept is found, and nothing else.
    void finally() {
        std::set<const void*> found, kept{root_};
        registry().for_each_live([&](Node& node) { found.insert(&node); });
        for (const auto* const node : of_)
            if (node != nullptr) kept.insert(node);
        if (found != kept) run_.fail("found are others than those that are kept");
    }
    /// Wherever the other thread stops, this one makes what it wants.
    void another_comes() {
        make(most - 1);
        if (!finds(most - 1)) run_.fail("not found beside one who has stopped");
        drop(most - 1);
    }

    static testing::ExplorationReport explore(const std::function<void(Run&, Making&)>& threads,
                                              MemoryModel memory = MemoryModel::sequential) {
        return testing::explore(
            [&](Run& run) {
                const auto world = std::make_shared<Making>(run);
                const auto prepared = prepared_nodes.next;
                run.begin([world, prepared] {
                    prepared_nodes.next = prepared;
                    world->of_ = {};
                });
                threads(run, *world);
                run.finally([world] { world->finally(); });
            },
            {.memory = memory});
    }

    static auto two_who_make_one() {
        return explore([](Run& run, Making& world) {
            for (const std::size_t number : {0U, 1U}) run.thread([&world, number] { world.make(number); });
        });
    }
    static auto two_who_make_one_and_let_go_of_it() {
        return explore([](Run& run, Making& world) {
            for (const std::size_t number : {0U, 1U}) {
                run.thread([&world, number] {
                    world.make(number);
                    world.drop(number);
                });
            }
            run.stopped([&world](std::size_t) { world.another_comes(); });
        });
    }
    static auto one_who_makes_what_another_lets_go_of() {
        return explore([](Run& run, Making& world) {
            run.thread([&world] {
                world.make(0);
                world.drop(0);
            });
            run.thread([&world] { world.make(1); });
        });
    }
    static auto looking_while_some_come_and_go() {
        return explore([](Run& run, Making& world) {
            run.thread([&world] {
                world.make(0);
                world.drop(0);
                world.make(0);
            });
            run.thread([&world] { world.finds(0); });
        });
    }
    /// Who makes one sees what was changed, or who has changed it finds that one.
    static auto making_while_something_changes(MemoryModel memory) {
        return explore(
            [](Run& run, Making& world) {
                const auto changed = std::make_shared<testing::ScheduledAtomic<int>>(0);
                const auto seen = std::make_shared<std::array<bool, 2>>();
                run.begin([seen] { *seen = {}; });
                run.thread([&run, &world, changed, seen] {
                    world.make(0);
                    (*seen)[0] = changed->load() != 0;
                    run.event((*seen)[0]);
                });
                run.thread([&run, &world, changed, seen] {
                    changed->store(1);
                    (*seen)[1] = world.finds(0);
                    run.event((*seen)[1]);
                });
                run.finally([&run, seen] {
                    if (!(*seen)[0] && !(*seen)[1]) run.fail("neither sees the other");
                });
            },
            memory);
    }

  private:
    auto& registry() { return root_->tree.registry(); }

    Run& run_;
    Node* root_ = nullptr;
    std::array<Node*, most> of_{};
};

TEST(BudgetRegistryInterleavings, TwoWhoMakeOne) {
    expect_passed(Making<AsItIs>::two_who_make_one());
}
TEST(BudgetRegistryInterleavings, TwoWhoMakeANewOne) {
    expect_passed(Making<WithNewNodes>::two_who_make_one());
}
TEST(BudgetRegistryInterleavings, TwoWhoMakeOneAndLetGoOfIt) {
    expect_passed(Making<AsItIs>::two_who_make_one_and_let_go_of_it());
}
TEST(BudgetRegistryInterleavings, TwoWhoMakeANewOneAndLetGoOfIt) {
    expect_passed(Making<WithNewNodes>::two_who_make_one_and_let_go_of_it());
}
TEST(BudgetRegistryInterleavings, OneWhoMakesWhatAnotherLetsGoOf) {
    expect_passed(Making<AsItIs>::one_who_makes_what_another_lets_go_of());
}
TEST(BudgetRegistryInterleavings, LookingWhileSomeComeAndGo) {
    expect_passed(Making<AsItIs>::looking_while_some_come_and_go());
    expect_passed(Making<WithNewNodes>::looking_while_some_come_and_go());
}
TEST(BudgetRegistryInterleavings, MakingWhileSomethingChanges) {
    expect_passed(Making<AsItIs>::making_while_something_changes(MemoryModel::weak));
    expect_passed(Making<WithNewNodes>::making_while_something_changes(MemoryModel::weak));
}

TEST(BudgetRegistryMutants, ALookThatEndsAtAGapIsFound) {
    EXPECT_EQ(Making<EndsAtAGap>::two_who_make_one().failure, "a node that was made is not found");
}
TEST(BudgetRegistryMutants, ANumberThatIsGivenBackBeforeItsMarkIsFound) {
    EXPECT_EQ(Making<GivesTheNumberBackFirst>::one_who_makes_what_another_lets_go_of().failure,
              "found are others than those that are kept");
}
TEST(BudgetRegistryMutants, ALookForOwnersThatIsNotSequentiallyConsistentIsFound) {
    EXPECT_EQ(Making<LooksForOwnersUnordered>::making_while_something_changes(MemoryModel::weak).failure,
              "neither sees the other");
}

TEST(BudgetRegistryMutants, ALookForRolesThatIsNotSequentiallyConsistentIsFound) {
    EXPECT_EQ(Making<LooksForRolesUnordered>::making_while_something_changes(MemoryModel::weak).failure,
              "neither sees the other");
}

} // namespace
} // namespace velostream
