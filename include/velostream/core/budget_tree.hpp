// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "velostream/core/budget_demand.hpp"
#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_operation.hpp"
#include "velostream/core/budget_outcome.hpp"
#include "velostream/core/budget_registry.hpp"
#include "velostream/core/budget_shard.hpp"
#include "velostream/core/budget_unit.hpp"
#include "velostream/core/budget_verdict.hpp"
#include "velostream/core/budget_waiters.hpp"

namespace velostream {

/// A tree of limits in which units (bytes, connections, slots) are tokens. What holds at every instant, and why, is
/// said at `BudgetShard`, `BudgetNode` and `BudgetOperations`.
///
/// A refusal is honest: at some moment during the call the level that refused lacked room, credit at hand included. Who
/// is about to refuse announces himself at that level, so that no shard below opens; completes the operation under way,
/// which may have been judged before the announcement; collects every shard's credit; and tries once more. What is
/// granted at that level is then all in use. Announcement and `current` are the one place where a store must be seen
/// before a load by both sides (he stores the announcement, then loads `current`; who opens stores `current`, then
/// loads the announcement): both are seq_cst.
///
/// Threads: everything is safe to call concurrently, and lock-free but for the allocation of memory.
template <class Atomics>
class BudgetTree {
  public:
    using Node = BudgetNode<Atomics>;
    using Shard = BudgetShard<Atomics>;
    using Outcome = BudgetOutcome<Atomics>;
    using Demand = BudgetDemand<Atomics>;
    static constexpr std::size_t max_depth = 1000;

    /// A tree of one node, which has one owner.
    static Node& make(std::string name, std::uint64_t limit, std::shared_ptr<WaitingListener> listener = nullptr,
                      BudgetUnit unit = BudgetUnit::bytes);
    /// A node below `parent`, with one owner; it owns its parent. Throws `std::length_error` below the 1000th level.
    /// `role`: of the user's.
    static Node& make_child(Node& parent, std::string name, std::uint64_t limit, std::uint8_t role = 0);
    /// For who only came across the node in the registry: makes him an owner if it is in place with that role. All of
    /// it is seq_cst, see `try_add_owner`.
    static bool try_own(Node& node, std::uint8_t role) noexcept {
        if (node.role.load() != role || !node.try_add_owner()) return false;
        if (node.role.load() == role) return true;
        drop_owner(&node); // another one at the same place
        return false;
    }
    /// The node is taken out when it has neither owners nor units in use; with the root goes the tree.
    static void drop_owner(Node* node) noexcept;

    /// Takes `units` when the credit in `shard`, one of `node`'s, did not suffice. Zero is always granted.
    static Outcome take(Node& node, Shard& shard, std::uint64_t units) noexcept;
    /// Takes all that is demanded, or nothing, past the shards.
    static Outcome take(const Demand& demand) noexcept;
    /// Gives back `units` that `shard`, which they were taken for, did not take. Its node need not have an owner.
    static void give(Shard& shard, std::uint64_t units) noexcept;
    /// Makes `units` of `from` units of `to`, a node of the same tree with an owner. Levels that both have are not
    /// asked; for a moment both nodes have the units. `from` need not have an owner.
    static Outcome transfer(Node& from, Node& to, std::uint64_t units) noexcept;

    /// The figures of `level` for somebody who wants so much of it, and must go behind `waiting` others.
    static Outcome figures(const Node& level, std::uint64_t units, std::uint64_t waiting) noexcept {
        return {&level, level.granted(), level.limit.load(), units, waiting};
    }

    /// Refuses what is more than a limit, which no waiting helps; grants nothing.
    static Outcome impossible(const Demand& demand) noexcept;

    /// Lowering it below what is granted is allowed: after this has returned nothing is granted until enough came back.
    static void set_limit(Node& node, std::uint64_t limit) noexcept;

    /// What is used at the node and below. Exact if nothing changed during the call; else never too low, and too high
    /// by no more than the credit at hand below the node.
    static std::uint64_t used(Node& node) noexcept;

    BudgetRegistry<Atomics>& registry() noexcept { return registry_; }
    BudgetWaiters<Atomics>& waiters() noexcept { return waiters_; }
    /// What is counted.
    BudgetUnit unit() const noexcept { return unit_; }
    BudgetMarks<Atomics>& marks() noexcept { return operations_.marks; }

  private:
    friend class BudgetWaiters<Atomics>;
    friend class BudgetWaiting<Atomics>;
    using Operation = BudgetOperation<Atomics>;
    using Operations = BudgetOperations<Atomics>;
    using Verdict = BudgetVerdict;

    Node& place(Node* parent, std::string name, std::uint64_t limit, std::uint8_t role);
    static bool leave(Node& node) noexcept;
    static Node* take_out(Node& node) noexcept;
    void retire(Node& node) noexcept;

    std::uint64_t next_quantum(const Node& node, Shard& shard) const noexcept;
    bool take_with_refill(Node& node, Shard& shard, std::uint64_t units, std::uint64_t quantum) noexcept;
    static void give(Node& node, std::uint64_t units, const Node* below) noexcept;
    static Node* common_level(Node& one, Node& other) noexcept;
    static Outcome impossible_or_too_early(const Demand& demand) noexcept;
    static Outcome refused(const Node& level, std::uint64_t units) noexcept;
    Outcome take_or_refuse(const Demand& demand, Node* refusing) noexcept;
    void announce_and_collect(Node& node) noexcept;
    void close_and_collect(Shard& shard) noexcept;
    void collect(Shard& shard) noexcept;
    bool make_space(Node& node, Shard& shard, std::uint64_t units) noexcept;

    struct Sight {
        std::uint64_t operation = 0, given = 0, drained = 0, taken = 0, credit = 0, turns = 0;
        bool operator==(const Sight&) const = default;
    };
    Sight look(const Node& node) noexcept;

    BudgetWaiters<Atomics> waiters_{*this};
    Operations operations_{waiters_.lines()};
    BudgetRegistry<Atomics> registry_;
    BudgetUnit unit_ = BudgetUnit::bytes; // written only while nobody knows the tree
};

template <class Atomics>
auto BudgetTree<Atomics>::make(std::string name, std::uint64_t limit, std::shared_ptr<WaitingListener> listener,
                               BudgetUnit unit) -> Node& {
    auto tree = std::make_unique<BudgetTree>();
    tree->unit_ = unit;
    auto& node = tree->place(nullptr, std::move(name), limit, 0);
    tree->marks().watch(node, listener.get());
    tree->waiters_.set_listener(std::move(listener));
    static_cast<void>(tree.release()); // drop_owner deletes it with the root
    return node;
}

template <class Atomics>
auto BudgetTree<Atomics>::make_child(Node& parent, std::string name, std::uint64_t limit, std::uint8_t role) -> Node& {
    if (parent.depth() >= max_depth) throw std::length_error{"budget tree: more than 1000 levels"};
    auto& node = parent.tree.place(&parent, std::move(name), limit, role);
    parent.add_owner();
    return node;
}

template <class Atomics>
auto BudgetTree<Atomics>::place(Node* parent, std::string name, std::uint64_t limit, std::uint8_t role) -> Node& {
    auto& node = registry_.make_room(*this);
    node.name = std::move(name);
    node.role.store(role);
    node.parent.store(parent);
    node.limit.store(std::min(limit, unlimited_units));
    node.peak.store(0);
    node.refusals.store(0);
    node.handed_over.store(0);
    node.overtakers.store(0);
    node.overtaking_units.store(0);
    for (std::size_t index = 0; index < Atomics::shard_count(); ++index) {
        node.shard(index).quantum.store(0);
        node.shard(index).capacity.store(0);
    }
    node.deciders.store(0);
    node.owners.store(Node::one_owner);
    return node;
}

template <class Atomics>
void BudgetTree<Atomics>::drop_owner(Node* node) noexcept {
    while (node != nullptr && leave(*node)) node = take_out(*node);
}

/// Ends an owner. True if nobody else knows the node any more: then it has no owner, and he must take it out.
template <class Atomics>
bool BudgetTree<Atomics>::leave(Node& node) noexcept {
    auto seen = node.owners.load(std::memory_order_acquire);
    for (;;) {
        if (Node::count_of(seen) == 1) {
            node.tree.retire(node);
            if (node.granted() == 0) {
                if (node.owners.compare_exchange_strong(seen, 0)) return true; // nobody makes himself an owner now
                continue;
            }
        }
        if (node.owners.compare_exchange_strong(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire))
            return false;
    }
}

/// Takes out a node that nobody else knows. Returns the parent, which has an owner less to lose.
template <class Atomics>
auto BudgetTree<Atomics>::take_out(Node& node) noexcept -> Node* {
    auto& tree = node.tree;
    auto* parent = node.parent.load();
    if (parent != nullptr) {
        tree.registry_.recycle(node);
    } else {
        delete &tree;
    }
    return parent;
}

/// The shards of this node are closed and empty after this, for good.
template <class Atomics>
void BudgetTree<Atomics>::retire(Node& node) noexcept {
    node.deciders.fetch_or(Node::retired);
    operations_.complete_current(); // its judge may not have seen that
    for (std::size_t index = 0; index < Atomics::shard_count(); ++index) close_and_collect(node.shard(index));
    registry_.clear_open(node);
}

template <class Atomics>
auto BudgetTree<Atomics>::take(Node& node, Shard& shard, std::uint64_t units) noexcept -> Outcome {
    if (units == 0) return {};
    typename Atomics::Scope scope;
    while (shard.holds(units)) { // another thread of this shard was faster
        if (shard.try_take(units)) return {};
    }
    scope.returns(&shard);
    const Demand demand{.node = &node, .units = units};
    const auto outcome = impossible_or_too_early(demand);
    if (!outcome.granted()) return outcome;
    auto& tree = node.tree;
    const auto quantum = tree.next_quantum(node, shard);
    if (quantum >= units && tree.take_with_refill(node, shard, units, quantum)) return {};
    scope.returns(&shard);

    const auto verdict = tree.operations_.run(Operation{.demand = demand});
    if (verdict == Verdict::committed) return {};
    return tree.take_or_refuse(demand, &demand.level(budget_verdict::level_of(verdict)));
}

template <class Atomics>
auto BudgetTree<Atomics>::take(const Demand& demand) noexcept -> Outcome {
    const auto outcome = impossible_or_too_early(demand);
    if (!outcome.granted()) return outcome;
    auto& tree = demand.node->tree;
    const auto verdict = tree.operations_.run(Operation{.demand = demand});
    if (verdict == Verdict::committed) return {};
    return tree.take_or_refuse(demand, &demand.level(budget_verdict::level_of(verdict)));
}

template <class Atomics>
auto BudgetTree<Atomics>::impossible(const Demand& demand) noexcept -> Outcome {
    Outcome outcome;
    demand.for_each_level([&](Node& level, std::uint64_t units) {
        const auto limit = level.limit.load();
        if (units > limit) outcome = {&level, used(level), limit, units};
        return outcome.granted();
    });
    return outcome;
}

/// Refuses what is more than a limit, and what must stand in line.
template <class Atomics>
auto BudgetTree<Atomics>::impossible_or_too_early(const Demand& demand) noexcept -> Outcome {
    const auto outcome = impossible(demand);
    if (!outcome.granted() || !demand.node->tree.waiters_.any()) return outcome;
    const auto line = demand.node->tree.waiters_.first_line(demand);
    return line.node ? figures(*line.node, demand.units_at(*line.node), line.waiting) : outcome;
}

/// The quantum doubles with each refill, so that an account that is used little parks little; and it is a small part of
/// the room left, so that the tree never lacks what lies idle in shards: near the limit nothing is parked.
template <class Atomics>
std::uint64_t BudgetTree<Atomics>::next_quantum(const Node& node, Shard& shard) const noexcept {
    constexpr std::uint64_t smallest = 4096;
    typename Atomics::Scope scope;
    const auto last = shard.quantum.load(std::memory_order_relaxed);
    shard.quantum.store(std::clamp(2 * last, smallest, Shard::max_quantum), std::memory_order_relaxed);

    auto room = unlimited_units;
    for (const auto* level = &node; level != nullptr; level = level->parent.load()) {
        if (level->deciders.load() != 0 || level->waiting_now() != 0) return scope.returns(0), 0;
        const auto limit = level->limit.load();
        room = std::min(room, limit - std::min(limit, level->granted()));
    }
    const auto share = room / (4 * Atomics::shard_count() * (registry_.open_count() + 1));
    auto quantum = std::min(last, share);
    if (quantum < smallest) quantum = 0;
    scope.returns(quantum);
    return quantum;
}

template <class Atomics>
bool BudgetTree<Atomics>::take_with_refill(Node& node, Shard& shard, std::uint64_t units,
                                           std::uint64_t quantum) noexcept {
    registry_.mark_open(node);
    const auto word = shard.close();
    const auto credit = Shard::credit_of(word);
    const auto kept = std::max(credit, quantum);
    shard.capacity.store(2 * quantum, std::memory_order_relaxed);
    return operations_.run(Operation{.demand = {.node = &node, .units = units + kept - credit},
                                     .shard = &shard,
                                     .turn = Shard::turn_of(word),
                                     .credit_change = kept - credit,
                                     .opens = true}) == Verdict::committed;
}

/// He moves up where a level further up is in the way, and stays announced at the others where several parts have some.
template <class Atomics>
auto BudgetTree<Atomics>::take_or_refuse(const Demand& demand, Node* refusing) noexcept -> Outcome {
    typename Atomics::Scope scope;
    std::array<Node*, Demand::most_parts> announced{}; // none of them below another: at most one for each part
    std::size_t count = 0;
    for (;;) {
        scope.returns(refusing, count, announced[0], announced[1]);
        announce_and_collect(*refusing);
        for (std::size_t index = 0; index < count;) {
            if (!announced[index]->is_within(*refusing)) {
                ++index;
                continue;
            }
            announced[index]->deciders.fetch_sub(1);
            announced[index] = announced[--count];
        }
        announced[count++] = refusing;

        const auto verdict = operations_.run(Operation{.demand = demand});
        Outcome outcome;
        if (verdict != Verdict::committed) {
            refusing = &demand.level(budget_verdict::level_of(verdict));
            const auto covers = [&](const Node* level) { return refusing->is_within(*level); };
            if (std::none_of(announced.begin(), announced.begin() + count, covers)) continue; // credit may lie idle
            outcome = refused(*refusing, demand.units_at(*refusing));
        }
        for (std::size_t index = 0; index < count; ++index) announced[index]->deciders.fetch_sub(1);
        scope.returns(outcome.refused_by, outcome.used, outcome.limit);
        return outcome;
    }
}

/// The figures with which `level` lacked room. Some may have come back since: `used` is what there was then, at least.
template <class Atomics>
auto BudgetTree<Atomics>::refused(const Node& level, std::uint64_t units) noexcept -> Outcome {
    auto outcome = figures(level, units, level.waiting_now());
    const auto lacked_room_from = outcome.limit - std::min(units, outcome.limit + 1) + 1;
    outcome.used = std::max(outcome.used, std::min(lacked_room_from, level.peak.load())); // the limit may have changed
    return outcome;
}

/// Afterwards no credit lies idle below `node`, and none will while it is announced.
template <class Atomics>
void BudgetTree<Atomics>::announce_and_collect(Node& node) noexcept {
    const typename Atomics::Scope scope;
    node.deciders.fetch_add(1);
    operations_.complete_current(); // its judge may not have seen the announcement
    registry_.for_each_open([&](Node& open) {
        if (!open.is_within(node)) return;
        for (std::size_t index = 0; index < Atomics::shard_count(); ++index) close_and_collect(open.shard(index));
        registry_.clear_open(open);
    });
}

template <class Atomics>
void BudgetTree<Atomics>::close_and_collect(Shard& shard) noexcept {
    typename Atomics::Scope scope;
    if (!Shard::is_closed(shard.word.load())) shard.close();
    scope.returns(&shard);
    collect(shard);
}

/// Moves the credit of a closed shard to the tree. Returns at once if the shard is open.
template <class Atomics>
void BudgetTree<Atomics>::collect(Shard& shard) noexcept {
    typename Atomics::Scope scope;
    for (;;) {
        scope.returns(&shard);
        const auto word = shard.word.load();
        const auto credit = Shard::credit_of(word);
        if (!Shard::is_closed(word) || credit == 0) return;
        operations_.run(Operation{.demand = {.node = shard.node, .units = credit},
                                  .takes = false,
                                  .shard = &shard,
                                  .turn = Shard::turn_of(word),
                                  .credit_change = std::uint64_t{0} - credit});
    }
}

template <class Atomics>
void BudgetTree<Atomics>::give(Shard& shard, std::uint64_t units) noexcept {
    auto& node = *shard.node;
    typename Atomics::Scope scope;
    while (shard.has_space(units)) { // another thread of this shard was faster
        if (shard.try_put(units)) return;
    }
    scope.returns(&shard);
    if (node.tree.make_space(node, shard, units) && shard.try_put(units)) return;
    scope.returns(&shard);
    give(node, units, nullptr);
}

/// Past the shards, to the levels below `below` or to all.
template <class Atomics>
void BudgetTree<Atomics>::give(Node& node, std::uint64_t units, const Node* below) noexcept {
    node.add_owner(); // these units may be all that keeps it in place
    node.give(units, below);
    node.tree.marks().heed();
    node.tree.waiters_.on_room(node);
    drop_owner(&node);
}

template <class Atomics>
auto BudgetTree<Atomics>::transfer(Node& from, Node& to, std::uint64_t units) noexcept -> Outcome {
    auto* const common = common_level(from, to);
    if (common != &to) {
        const auto outcome = take(Demand{.node = &to, .units = units, .below = common});
        if (!outcome.granted()) return outcome;
    }
    if (common != &from) give(from, units, common);
    return {};
}

/// The lowest level that both have.
template <class Atomics>
auto BudgetTree<Atomics>::common_level(Node& one, Node& other) noexcept -> Node* {
    auto* level = &one;
    while (!other.is_within(*level)) level = level->parent.load();
    return level;
}

/// Returns part of a full shard's credit to the tree, so that the next puts find space again.
template <class Atomics>
bool BudgetTree<Atomics>::make_space(Node& node, Shard& shard, std::uint64_t units) noexcept {
    typename Atomics::Scope scope;
    if (Shard::is_closed(shard.word.load()) || units > shard.quantum.load(std::memory_order_relaxed)) return false;
    const auto quantum = next_quantum(node, shard);
    if (quantum < units) return false;
    registry_.mark_open(node); // a decider may have cleared it since the shard was seen open
    const auto word = shard.close();
    const auto credit = Shard::credit_of(word);
    const auto kept = std::min(credit, quantum);
    shard.capacity.store(2 * quantum, std::memory_order_relaxed);
    return operations_.run(Operation{.demand = {.node = &node, .units = credit - kept},
                                     .takes = false,
                                     .shard = &shard,
                                     .turn = Shard::turn_of(word),
                                     .credit_change = kept - credit,
                                     .opens = true}) == Verdict::committed;
}

template <class Atomics>
void BudgetTree<Atomics>::set_limit(Node& node, std::uint64_t limit) noexcept {
    limit = std::min(limit, unlimited_units);
    const auto before = node.limit.exchange(limit);
    node.tree.operations_.complete_current(); // it may have been judged by the limit before
    if (node.granted() > limit) {
        node.tree.announce_and_collect(node);
        node.deciders.fetch_sub(1);
    }
    if (limit < before)
        node.tree.waiters_.on_lowered_limit();
    else
        node.tree.waiters_.on_room(node);
    node.tree.marks().heed_limit(node);
}

template <class Atomics>
auto BudgetTree<Atomics>::look(const Node& node) noexcept -> Sight {
    Sight sight;
    operations_.complete_current();
    sight.operation = operations_.current();
    sight.given = node.given.load();
    sight.drained = node.drained.value.load();
    sight.taken = node.taken.value.load();
    registry_.for_each_open([&](Node& open) {
        if (!open.is_within(node)) return;
        for (std::size_t index = 0; index < Atomics::shard_count(); ++index) {
            const auto word = open.shard(index).word.load();
            sight.credit += Shard::credit_of(word);
            sight.turns += Shard::turn_of(word);
        }
    });
    return sight;
}

/// Two equal sights had nothing between them: each counter only grows, a take from a shard raises its turn, and a put
/// raises its credit. So what was seen was all there at one moment.
template <class Atomics>
std::uint64_t BudgetTree<Atomics>::used(Node& node) noexcept {
    auto& tree = node.tree;
    auto before = tree.look(node);
    for (int attempt = 0; attempt < 3; ++attempt) {
        const auto after = tree.look(node);
        if (before == after) return after.taken - after.drained - after.given - after.credit;
        before = after;
    }
    return node.granted();
}

} // namespace velostream
