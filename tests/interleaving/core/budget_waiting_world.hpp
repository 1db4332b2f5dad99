// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "interleaving/core/budget_world.hpp"
#include "velostream/core/budget_tree.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {

/// A budget tree in which some wait, and what must hold:
///
/// * no wake-up is lost: when all threads have ended, nobody waits who could be granted, were he the only one;
/// * once: a waiter is granted or has left, not both; what it was granted counts, and what it left does not;
/// * exact: when all is given back nothing is used, and everything can be taken again, and no more.
template <class Mutation>
class BudgetWaitingWorld {
  public:
    using Atomics = ExploredAtomics<Mutation>;
    using Tree = BudgetTree<Atomics>;
    using Node = typename Tree::Node;
    using Run = testing::Interleaving;

    BudgetWaitingWorld(Run& run, std::uint64_t limit) : run_(run) { nodes_.push_back(&Tree::make("root", limit)); }
    BudgetWaitingWorld(const BudgetWaitingWorld&) = delete;
    BudgetWaitingWorld& operator=(const BudgetWaitingWorld&) = delete;
    ~BudgetWaitingWorld() {
        begin(); // an execution may have been left in the middle
        std::for_each(nodes_.rbegin(), nodes_.rend(), [](Node* node) { Tree::drop_owner(node); });
    }

    // ---- the set-up

    Node& root() { return *nodes_.front(); }
    Node& child(Node& parent, std::uint64_t limit = unlimited_units) {
        nodes_.push_back(&Tree::make_child(parent, "child", limit));
        return *nodes_.back();
    }
    /// Held by a thread from the beginning.
    void hold(Node& node, std::uint64_t units) { Tree::take(node, node.shard(0), units); }
    /// Leaves the node's shard open with `credit`.
    void park(Node& node, std::uint64_t credit) {
        node.shard(0).quantum.store(credit);
        hold(node, 1);
        node.give(1);
    }
    /// A request that a thread will make: `wait(index)`.
    void will_want(Node& node, std::uint64_t units) { will_want(BudgetDemand<Atomics>{.node = &node, .units = units}); }
    void will_want(const BudgetDemand<Atomics>& demand) {
        waiters_.push_back(std::make_shared<Waiter>(run_, demand, waiters_.size()));
    }

    // ---- what threads do

    void give(Node& node, std::uint64_t units) {
        testing::ForgottenAnswers answers;
        auto& shard = node.shard(0);
        const bool put = shard.try_put(units);
        answers.returns(put);
        if (!put) Tree::give(shard, units);
    }
    void wait(std::size_t index) {
        auto& waiter = *waiters_[index];
        const auto* refused_by = take_now(waiter.demand);
        if (refused_by == nullptr) {
            waiter.leave(); // it need not wait
            waiter.grant();
        } else {
            wait_refused(index, const_cast<Node&>(*refused_by));
        }
    }
    void wait_refused(std::size_t index, Node& by) { by.tree.waiters().add(waiters_[index], by); }
    void leave(std::size_t index) {
        auto& waiter = *waiters_[index];
        if (!waiter.leave()) return;
        waiter.has_left = true;
        run_.event(index << 8 | 2);
        waiter.demand.node->tree.waiters().remove(waiters_[index]);
    }

    // ---- for the exploration

    void begin() {
        for (const auto& waiter : waiters_) waiter->begin_again();
    }
    void always() {
        for (const auto* node : nodes_)
            if (node->granted() > node->limit.load()) run_.fail("more is granted than the limit");
    }
    void finally() {
        for (const auto& waiter : waiters_) {
            if (waiter->has_left && waiter->grants != 0) run_.fail("granted to one who has left");
            if (waiter->grants > 1) run_.fail("granted twice");
        }
        for (const auto& waiter : waiters_)
            if (!waiter->has_left && waiter->grants == 0) run_.fail("a wake-up was lost");
        for (const auto& waiter : waiters_)
            if (waiter->grants != 0) give_all(waiter->demand);
        for (auto* node : nodes_) {
            if (Tree::used(*node) != 0) run_.fail("not everything came back");
            if (node->waiting.load() != 0 || node->deciders.load() != 0) run_.fail("somebody still counts as waiting");
            const auto all = std::min(node->limit.load(), root().limit.load());
            if (take_now({.node = node, .units = all}) != nullptr) run_.fail("something was lost");
            give(*node, all);
        }
        if (root().tree.waiters().any()) run_.fail("somebody still counts as waiting");
    }

  private:
    using Demand = BudgetDemand<Atomics>;

    void give_all(const Demand& demand) {
        for (std::size_t index = 0; index < demand.part_count(); ++index)
            give(*demand.part(index).node, demand.part(index).units);
    }
    static const Node* take_now(const Demand& demand) {
        testing::ForgottenAnswers answers;
        const auto outcome = demand.extra_count == 0 ? Tree::take(*demand.node, demand.node->shard(0), demand.units)
                                                     : Tree::take(demand);
        answers.returns(outcome.refused_by);
        return outcome.refused_by;
    }

    struct Waiter final : BudgetWaiter<Atomics> {
        Waiter(Run& its_run, const Demand& wanted, std::size_t its_index)
            : BudgetWaiter<Atomics>(wanted, its_index + 1), run(its_run), index(its_index) {}

        void begin_again() {
            this->demand.for_each_level([&](Node& level, std::uint64_t) {
                if (!this->place_) this->place_ = level.queue.extract(this->ticket);
                return true;
            });
            this->queued_at_ = nullptr;
            this->held_by_queue_.reset();
            this->held_by_departure_.reset();
            grants = 0;
            has_left = false;
        }
        void grant() noexcept {
            ++grants;
            run.event(index << 8 | 1);
        }
        void on_granted() noexcept override { grant(); }
        void on_refused(const BudgetOutcome<Atomics>&) noexcept override { run.fail("refused although it could wait"); }

        Run& run;
        const std::size_t index;
        int grants = 0;
        bool has_left = false;
    };
    Run& run_;
    std::vector<Node*> nodes_;
    std::vector<std::shared_ptr<Waiter>> waiters_;
};

/// What a few threads do in it, for any `Mutation`.
template <class Mutation>
class BudgetWaitingScenarios {
  public:
    using World = BudgetWaitingWorld<Mutation>;
    using Run = testing::Interleaving;
    using Memory = testing::MemoryModel;

    static auto one_who_waits_for_what_another_gives_back(Memory memory = Memory::sequential) {
        return explore(memory, 100, [](Run& run, World& world) {
            world.hold(world.root(), 100);
            world.will_want(world.root(), 60);
            run.thread([&] { world.give(world.root(), 100); });
            run.thread([&] { world.wait(0); });
        });
    }
    /// Refused a moment ago; then a shard opened, with credit that he needs.
    static auto one_who_waits_for_what_went_into_a_shard() {
        return explore(Memory::sequential, 65536, [](Run& run, World& world) {
            auto& owner = world.child(world.root());
            world.hold(world.root(), 10);
            world.park(owner, 4096);
            world.will_want(world.root(), 65536);
            run.thread([&] { world.give(world.root(), 10); });
            run.thread([&] { world.wait_refused(0, world.root()); });
        });
    }
    static auto one_who_leaves_while_another_gives_back() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            world.hold(world.root(), 100);
            world.will_want(world.root(), 60);
            run.thread([&] { world.give(world.root(), 100); });
            run.thread([&] {
                world.wait(0);
                world.leave(0);
            });
        });
    }
    /// The first wants more than there is; when he leaves, the second must be granted.
    static auto one_who_leaves_in_front_of_another() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            world.hold(world.root(), 50);
            world.will_want(world.root(), 60);
            world.will_want(world.root(), 40);
            run.thread([&] {
                world.wait(0);
                world.leave(0);
            });
            run.thread([&] { world.wait(1); });
            run.finally([&] { world.give(world.root(), 50); });
        });
    }
    /// Waits for its query first, then perhaps for the process.
    static auto one_who_waits_at_two_levels() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.child(world.root(), 50);
            world.hold(query, 50);
            world.hold(world.root(), 50);
            world.will_want(query, 40);
            run.thread([&] { world.give(query, 50); });
            run.thread([&] { world.give(world.root(), 50); });
            run.thread([&] { world.wait(0); });
        });
    }
    static auto two_who_wait_for_what_another_gives_back() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            world.hold(world.root(), 100);
            world.will_want(world.root(), 60);
            world.will_want(world.root(), 40);
            run.thread([&] { world.give(world.root(), 100); });
            run.thread([&] {
                world.wait(0);
                world.wait(1);
            });
        });
    }
    static auto one_who_waits_for_two_nodes() {
        return explore(Memory::sequential, 200, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 50);
            auto& right = world.child(world.root(), 50);
            world.hold(left, 50);
            world.hold(right, 50);
            world.will_want({.node = &left, .units = 40, .extra_count = 1, .extra = {{{&right, 30}}}});
            run.thread([&] {
                world.give(left, 50);
                world.give(right, 50);
            });
            run.thread([&] { world.wait(0); });
        });
    }
    static auto one_who_waits_for_what_another_transfers() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 50);
            auto& right = world.child(world.root());
            world.hold(left, 50);
            world.will_want(left, 40);
            run.thread([&] { World::Tree::transfer(left, right, 50); });
            run.thread([&] { world.wait(0); });
            run.finally([&] { world.give(right, 50); });
        });
    }

  private:
    static testing::ExplorationReport explore(Memory memory, std::uint64_t limit,
                                              const std::function<void(Run&, World&)>& threads) {
        return explore_world<World>(memory, limit, threads);
    }
};

} // namespace velostream
