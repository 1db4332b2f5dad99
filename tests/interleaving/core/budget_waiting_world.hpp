// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
/// * exact: when all is given back nothing is used, and everything can be taken again, and no more;
/// * unhindered: wherever a thread stops for ever, when others come by nobody waits who could be granted, at most one
/// is
///   left for that thread to tell, and who need not wait is not refused.
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
    /// A child of the root that is held whole from the beginning.
    Node& full_child(std::uint64_t limit) {
        auto& node = child(root(), limit);
        hold(node, limit);
        return node;
    }
    /// The next take of the node that its shard cannot serve leaves `credit` there.
    void will_park(Node& node, std::uint64_t credit) { node.shard(0).quantum.store(credit); }
    /// Leaves the node's shard open with `credit`.
    void park(Node& node, std::uint64_t credit) {
        will_park(node, credit);
        hold(node, 1);
        node.give(1);
    }
    /// A request that a thread will make: `wait(index)`.
    void will_want(Node& node, std::uint64_t units) { will_want(BudgetDemand<Atomics>{.node = &node, .units = units}); }
    void will_want(const BudgetDemand<Atomics>& demand) {
        waiters_.push_back(std::make_shared<Waiter>(run_, demand, waiters_.size()));
    }
    void allow_overtaking(Node& node, std::uint64_t most) {
        node.overtakers.store(most);
        node.overtaking_units.store(unlimited_units);
    }
    /// From its next move on the one that will want something keeps its places.
    void will_keep_places(std::size_t index) { waiters_[index]->keep_places(); }

    // ---- what threads do

    void give(Node& node, std::uint64_t units) {
        testing::ForgottenAnswers answers;
        auto& shard = node.shard(0);
        const bool put = shard.try_put(units);
        answers.returns(put);
        if (!put) Tree::give(shard, units);
    }
    bool take(Node& node, std::uint64_t units) {
        const bool granted = take_now({.node = &node, .units = units}) == nullptr;
        run_.event(granted ? 4 : 5);
        return granted;
    }
    void take_and_give(Node& node, std::uint64_t units) {
        if (take_now({.node = &node, .units = units}) == nullptr) give(node, units);
    }
    void wait(std::size_t index) {
        auto& waiter = *waiters_[index];
        const auto* refused_by = take_now(waiter.demand);
        if (refused_by == nullptr) {
            end_without_waiting(waiter);
            waiter.grant();
        } else if (!Tree::impossible(waiter.demand).granted()) {
            end_without_waiting(waiter);
            waiter.is_refused = true;
        } else {
            wait_refused(index, const_cast<Node&>(*refused_by));
        }
    }
    void ask_where_nobody_waits(Node& node) {
        if (node.tree.waiters().first_line({.node = &node, .units = 1}).node != nullptr)
            run_.fail("refused on account of one who has left");
    }
    void ask_where_somebody_waits(Node& node, std::uint64_t units) {
        if (take_now({.node = &node, .units = units}) == nullptr) run_.fail("overtaken by one who came later");
    }
    /// So much that it does not fit beside what the one who waits wants.
    void ask_after(std::size_t index, std::uint64_t units) {
        const auto& waiter = *waiters_[index];
        if (take_now({.node = waiter.demand.node, .units = units}) != nullptr) return;
        if (waiter.grants == 0) run_.fail("overtaken by one who came later");
        give(*waiter.demand.node, units);
    }
    void expect_overtaken(std::size_t first, std::size_t by) {
        if (waiters_[by]->grants == 0) run_.fail("one who may overtake was left asleep");
        if (waiters_[first]->grants != 0) run_.fail("granted more than there is");
    }
    void expect_granted(std::size_t index) {
        if (waiters_[index]->grants == 0) run_.fail("a wake-up was lost");
    }
    void lower_limit(Node& node, std::uint64_t limit) {
        has_lowered_limit_ = true; // what is granted may be more from now on
        Tree::set_limit(node, limit);
    }
    void raise_limit(Node& node, std::uint64_t limit) {
        has_raised_limit_ = true; // who was refused before might have waited
        Tree::set_limit(node, limit);
    }
    void wait_refused(std::size_t index, Node& by) {
        const testing::ForgottenAnswers answers;
        by.tree.waiters().add(waiters_[index], by);
    }
    void leave(std::size_t index) {
        auto& waiter = *waiters_[index];
        waiter.is_leaving = true;
        testing::ForgottenAnswers answers;
        const bool has_left = waiter.demand.node->tree.waiters().leave(waiter);
        answers.returns(has_left);
        waiter.is_leaving = false;
        if (!has_left) return;
        waiter.has_left = true;
        run_.event(index << 8 | 2);
    }

    // ---- for the exploration

    void begin() {
        has_lowered_limit_ = has_raised_limit_ = false;
        for (const auto& waiter : waiters_) waiter->begin_again();
    }
    void always() {
        for (const auto* node : nodes_)
            if (!has_lowered_limit_ && node->granted() > node->limit.load())
                run_.fail("more is granted than the limit");
    }
    void finally() {
        for (const auto& waiter : waiters_) {
            if (waiter->has_left && waiter->grants != 0) run_.fail("granted to one who has left");
            if (waiter->grants > 1) run_.fail("granted twice");
            if (waiter->is_refused && waiter->grants + waiter->has_left != 0) run_.fail("refused, and something else");
            if (waiter->is_refused && !has_raised_limit_ && Tree::impossible(waiter->demand).granted())
                run_.fail("refused although it could wait");
        }
        for (const auto& waiter : waiters_)
            if (!waiter->has_left && !waiter->is_refused && waiter->grants == 0) run_.fail("a wake-up was lost");
        for (const auto& waiter : waiters_)
            if (waiter->grants != 0) give_all(waiter->demand);
        for (auto* node : nodes_) {
            if (Tree::used(*node) != 0) run_.fail("not everything came back");
            const auto is_linked = [](const auto& first) { return IndexWord::index_of(first.load()) != 0; };
            if (node->waiting_now() != 0 || std::ranges::any_of(node->line, is_linked) || node->deciders.load() != 0)
                run_.fail("somebody still counts as waiting");
            const auto all = std::min(node->limit.load(), root().limit.load());
            if (take_now({.node = node, .units = all}) != nullptr) run_.fail("something was lost");
            give(*node, all);
        }
        if (root().tree.waiters().any()) run_.fail("somebody still counts as waiting");
    }
    void stopped() {
        for (auto* node : nodes_) root().tree.waiters().on_room(*node);
        Tree::used(root()); // completes what is under way where nobody waits, so that the figures below are whole
        std::size_t untold = 0;
        for (const auto& waiter : waiters_) {
            if (waiter->is_untold()) run_.fail("nobody tells one that has ended");
            if (waiter->is_over() && !waiter->is_leaving && waiter->grants + waiter->has_left + waiter->is_refused == 0)
                ++untold;
            if (!waiter->waits() || !has_room(waiter->demand)) continue;
            const auto is_earlier = [&](const auto& other) {
                return other->index < waiter->index && other->stands_on_the_way_of(waiter->demand);
            };
            if (std::ranges::none_of(waiters_, is_earlier)) run_.fail("held up by one who has stopped");
        }
        if (untold > 1) run_.fail("two wait to be told by one who has stopped");
        for (auto* node : nodes_) {
            const Demand one{.node = node, .units = 1};
            const auto waits_there = [&](const auto& waiter) { return waiter->stands_on_the_way_of(one); };
            if (!has_room(one) || std::ranges::any_of(waiters_, waits_there)) continue;
            if (take_now(one) != nullptr) run_.fail("refused by one who has stopped");
        }
    }

  private:
    using Demand = BudgetDemand<Atomics>;

    static void end_without_waiting(BudgetWaiter<Atomics>& waiter) { waiter.demand.node->tree.waiters().leave(waiter); }
    static bool has_room(const Demand& demand) {
        bool has = true;
        demand.for_each_level([&](const Node& level, std::uint64_t units) {
            has = has && level.granted() + units <= level.limit.load();
            return has;
        });
        return has;
    }
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
            this->held_.reset();
            grants = 0;
            is_leaving = false;
            has_left = false;
            is_refused = false;
        }
        auto& lines() const noexcept { return this->demand.node->tree.waiters().lines(); }
        std::uint64_t word() const noexcept { return lines().card(this->card_).word.load(); }
        bool waits() const noexcept { return CardWord::is_waiting(word()); }
        bool is_untold() const noexcept { return CardWord::is_untold(word()); }
        bool is_over() const noexcept { return CardWord::state_of(word()) == BudgetWait::ended; }
        bool stands_on_the_way_of(const Demand& other) const noexcept {
            bool stands = false;
            other.for_each_level([&](const Node& level, std::uint64_t) {
                const auto place = lines().place_at(lines().card(this->card_), level);
                stands = stands || (place != 0 && lines().is_waiting(lines().place(place)));
                return !stands;
            });
            return stands;
        }
        void keep_places() noexcept {
            auto& card = lines().card(this->card_).word;
            card.store(CardWord::after(card.load(), BudgetWait::fresh, this->demand.part_count()));
        }
        void grant() noexcept {
            ++grants;
            run.event(index << 8 | 1);
        }
        void on_granted() noexcept override { grant(); }
        void on_refused(const BudgetOutcome<Atomics>& outcome) noexcept override {
            if (!outcome.can_never_be()) run.fail("refused by figures with which it could be granted");
            is_refused = true;
            run.event(index << 8 | 3);
        }

        Run& run;
        const std::size_t index;
        int grants = 0;
        bool is_leaving = false;
        bool has_left = false;
        bool is_refused = false;
    };
    Run& run_;
    bool has_lowered_limit_ = false, has_raised_limit_ = false;
    std::vector<Node*> nodes_;
    std::vector<std::shared_ptr<Waiter>> waiters_;
};

} // namespace velostream
