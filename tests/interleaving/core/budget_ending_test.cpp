// SPDX-License-Identifier: Apache-2.0
// Every schedule of a few threads that give back what they hold of a budget tree while its last handle is dropped; then
// the same with one thing wrong each.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "interleaving/core/budget_ending_world.hpp"

namespace velostream {

struct Unchanged {};
struct ArrivalsNotCounted {};
struct NotLookedAtAgain {};
struct GivenWithoutOwning {};
struct NotClosedForGood {};
struct NotCompletedBeforeTheEnd {};
struct PutAlthoughClosed {};
struct TransferredWithoutOwning {};
struct LookedAtWithoutAnOwner {};
struct EndedWithoutASwap {};

template <class Mutation>
using Ending = BudgetEndingWorld<Mutation>;

template <class Node>
Node* noted_as_taken_out(Node& node) noexcept {
    auto* parent = node.parent.load();
    budget_tree_end.take_out(&node, parent == nullptr);
    return parent;
}

template <>
auto Ending<Unchanged>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<ArrivalsNotCounted>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<NotLookedAtAgain>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<GivenWithoutOwning>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<NotClosedForGood>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<NotCompletedBeforeTheEnd>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<PutAlthoughClosed>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}

template <>
auto Ending<TransferredWithoutOwning>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}

template <>
auto Ending<LookedAtWithoutAnOwner>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}
template <>
auto Ending<EndedWithoutASwap>::Tree::take_out(Node& node) noexcept -> Node* {
    return noted_as_taken_out(node);
}

template <>
bool Ending<LookedAtWithoutAnOwner>::Node::try_add_owner() noexcept {
    add_owner();
    return true;
}

template <>
bool Ending<EndedWithoutASwap>::Tree::leave(Node& node) noexcept {
    auto seen = node.owners.load(std::memory_order_acquire);
    for (;;) {
        if (Node::count_of(seen) == 1) {
            node.tree.retire(node);
            if (node.granted() == 0 && node.owners.load() == seen) {
                node.owners.store(0);
                return true;
            }
        }
        if (node.owners.compare_exchange_strong(seen, seen - 1, std::memory_order_acq_rel)) return false;
    }
}

template <>
void Ending<ArrivalsNotCounted>::Node::add_owner() noexcept {
    owners.fetch_add(1, std::memory_order_relaxed);
}

template <>
bool Ending<NotLookedAtAgain>::Tree::leave(Node& node) noexcept {
    auto seen = node.owners.load(std::memory_order_acquire);
    for (;;) {
        if (Node::count_of(seen) == 1) {
            node.tree.retire(node);
            if (node.granted() == 0) return true;
        }
        if (node.owners.compare_exchange_strong(seen, seen - 1, std::memory_order_acq_rel)) return false;
    }
}

template <>
void Ending<GivenWithoutOwning>::Tree::give(Shard& shard, std::uint64_t units) noexcept {
    shard.node->give(units);
}

template <>
void Ending<TransferredWithoutOwning>::Tree::give(Node& node, std::uint64_t units, const Node* below) noexcept {
    node.give(units, below);
}

template <>
void Ending<NotClosedForGood>::Tree::retire(Node& node) noexcept {
    operations_.complete_current();
    close_and_collect(node.shard(0));
    registry_.clear_open(node);
}

template <>
void Ending<NotCompletedBeforeTheEnd>::Tree::retire(Node& node) noexcept {
    node.deciders.fetch_or(Node::retired);
    close_and_collect(node.shard(0));
    registry_.clear_open(node);
}

template <>
bool BudgetShard<MortalAtomics<PutAlthoughClosed>>::try_put(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (credit_of(seen) + units > capacity.load(std::memory_order_relaxed)) return false;
    return word.compare_exchange_strong(seen, seen + units, std::memory_order_release, std::memory_order_relaxed);
}

namespace {

using testing::MemoryModel;

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}

template <class Mutation>
struct Endings {
    using World = Ending<Mutation>;
    using Run = typename World::Run;

    static auto giving_to_an_open_shard(MemoryModel memory) {
        return World::explore(memory, [](Run& run, World& world) {
            world.will_park(4096);
            world.take(world.child(), 100);
            run.thread([&] { World::give(world.child(), 100); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto giving_to_the_tree(MemoryModel memory) {
        return World::explore(memory, [](Run& run, World& world) {
            world.take(world.child(), 100);
            run.thread([&] { World::give(world.child(), 100); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto two_who_give_to_an_open_shard() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.will_park(4096);
            world.take(world.child(), 300);
            run.thread([&] { World::give(world.child(), 100); });
            run.thread([&] { World::give(world.child(), 200); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto two_who_give_to_the_tree() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.take(world.child(), 300);
            run.thread([&] { World::give(world.child(), 100); });
            run.thread([&] { World::give(world.child(), 200); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto giving_to_a_full_shard() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.will_park(4096);
            for (int count = 0; count < 3; ++count) world.take(world.child(), 4000);
            for (int count = 0; count < 2; ++count) World::give(world.child(), 4000);
            run.thread([&] { World::give(world.child(), 4000); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    /// The shard is about to open when the last handle is dropped.
    static auto growing_and_giving() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.take(world.child(), 100);
            world.will_park(4096);
            run.thread([&] {
                World::take(world.child(), 200);
                World::give(world.child(), 300);
            });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto two_handles_and_one_who_gives() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.will_park(4096);
            world.take(world.child(), 100);
            World::add_handle(world.child());
            run.thread([&] { World::drop_handle(world.child()); });
            run.thread([&] { World::drop_handle(world.child()); });
            run.thread([&] { World::give(world.child(), 100); });
        });
    }
    /// Who has the root's handle collects the child's credit, and may be the last.
    static auto giving_while_the_parent_lowers_its_limit() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.will_park(4096);
            world.take(world.child(), 100);
            World::add_handle(world.root());
            run.thread([&] {
                World::give(world.child(), 100);
                World::drop_handle(world.child());
            });
            run.thread([&] {
                World::set_limit(world.root(), 50);
                World::drop_handle(world.root());
            });
        });
    }
    /// Somebody who is refused elsewhere in the tree comes across the child.
    static auto looking_while_the_last_handle_is_dropped(MemoryModel memory) {
        return World::explore(memory, [](Run& run, World& world) {
            World::add_handle(world.root());
            run.thread([&] {
                World::look_at(world.child());
                World::drop_handle(world.root());
            });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    static auto looking_and_giving_while_the_last_handle_is_dropped() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            World::add_handle(world.root());
            world.take(world.child(), 100);
            run.thread([&] {
                World::look_at(world.child());
                World::drop_handle(world.root());
            });
            run.thread([&] { World::give(world.child(), 100); });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
    /// To the root, which the child's last handle would take with it.
    static auto transferring_to_the_parent() {
        return World::explore(MemoryModel::sequential, [](Run& run, World& world) {
            world.will_park(4096);
            world.take(world.child(), 100);
            World::add_handle(world.root());
            run.thread([&] {
                World::transfer(world.child(), world.root(), 100);
                World::drop_handle(world.root());
                World::give(world.root(), 100);
            });
            run.thread([&] { World::drop_handle(world.child()); });
        });
    }
};

using Intact = Endings<Unchanged>;

TEST(BudgetTreeEndings, GivingToAnOpenShard) {
    expect_passed(Intact::giving_to_an_open_shard(MemoryModel::weak));
}
TEST(BudgetTreeEndings, GivingToTheTree) {
    expect_passed(Intact::giving_to_the_tree(MemoryModel::weak));
}
TEST(BudgetTreeEndings, TwoWhoGiveToAnOpenShard) {
    expect_passed(Intact::two_who_give_to_an_open_shard());
}
TEST(BudgetTreeEndings, TwoWhoGiveToTheTree) {
    expect_passed(Intact::two_who_give_to_the_tree());
}
TEST(BudgetTreeEndings, GivingToAFullShard) {
    expect_passed(Intact::giving_to_a_full_shard());
}
TEST(BudgetTreeEndings, GrowingAndGiving) {
    expect_passed(Intact::growing_and_giving());
}
TEST(BudgetTreeEndings, TwoHandlesAndOneWhoGives) {
    expect_passed(Intact::two_handles_and_one_who_gives());
}
TEST(BudgetTreeEndings, GivingWhileTheParentLowersItsLimit) {
    expect_passed(Intact::giving_while_the_parent_lowers_its_limit());
}
TEST(BudgetTreeEndings, LookingWhileTheLastHandleIsDropped) {
    expect_passed(Intact::looking_while_the_last_handle_is_dropped(MemoryModel::weak));
}
TEST(BudgetTreeEndings, LookingAndGivingWhileTheLastHandleIsDropped) {
    expect_passed(Intact::looking_and_giving_while_the_last_handle_is_dropped());
}
TEST(BudgetTreeEndings, TransferringToTheParent) {
    expect_passed(Intact::transferring_to_the_parent());
}

TEST(BudgetTreeEndingMutants, OwnersWhoseArrivalsAreNotCountedAreFound) {
    EXPECT_EQ(Endings<ArrivalsNotCounted>::giving_to_the_tree(MemoryModel::sequential).failure, "not taken out");
}
TEST(BudgetTreeEndingMutants, ALastOwnerWhoDoesNotLookAgainIsFound) {
    EXPECT_EQ(Endings<NotLookedAtAgain>::giving_to_the_tree(MemoryModel::sequential).failure,
              "the tree is used after its end");
}
TEST(BudgetTreeEndingMutants, AGiverWhoDoesNotOwnIsFound) {
    EXPECT_EQ(Endings<GivenWithoutOwning>::giving_to_the_tree(MemoryModel::sequential).failure, "not taken out");
}
TEST(BudgetTreeEndingMutants, ShardsThatAreNotClosedForGoodAreFound) {
    EXPECT_EQ(Endings<NotClosedForGood>::growing_and_giving().failure, "not everything came back");
}
TEST(BudgetTreeEndingMutants, ALastOwnerWhoDoesNotCompleteWhatIsUnderWayIsFound) {
    EXPECT_EQ(Endings<NotCompletedBeforeTheEnd>::growing_and_giving().failure, "not everything came back");
}
TEST(BudgetTreeEndingMutants, APutIntoAClosedShardIsFound) {
    EXPECT_EQ(Endings<PutAlthoughClosed>::giving_to_an_open_shard(MemoryModel::sequential).failure,
              "not everything came back");
}
TEST(BudgetTreeEndingMutants, WhoLooksAtWhatHasNoOwnerIsFound) {
    EXPECT_EQ(
        Endings<LookedAtWithoutAnOwner>::looking_while_the_last_handle_is_dropped(MemoryModel::sequential).failure,
        "looked at after it was taken out");
}
TEST(BudgetTreeEndingMutants, ALastOwnerWhoDoesNotSwapHimselfOutIsFound) {
    EXPECT_EQ(Endings<EndedWithoutASwap>::looking_while_the_last_handle_is_dropped(MemoryModel::sequential).failure,
              "looked at after it was taken out");
}
TEST(BudgetTreeEndingMutants, ATransferThatDoesNotOwnIsFound) {
    EXPECT_EQ(Endings<TransferredWithoutOwning>::transferring_to_the_parent().failure, "not taken out");
}

} // namespace
} // namespace velostream
