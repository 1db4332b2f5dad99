// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "velostream/core/budget_tree.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {

/// What a budget tree runs on when it is explored. Each `Mutation` is a tree of its own, parts of which the tests
/// specialise to be wrong.
template <class Mutation>
struct ExploredAtomics {
    template <class T>
    using Atomic = testing::ScheduledAtomic<T>;
    using Scope = testing::ForgottenAnswers;
    static constexpr std::size_t items_at_once = 4;
    /// `Mutation::line_heights` if it has any: then every other place is in two lists.
    static constexpr std::size_t line_heights = [] {
        if constexpr (requires { Mutation::line_heights; }) return Mutation::line_heights;
        return std::size_t{1};
    }();
    static std::size_t line_height(std::uint32_t place) noexcept {
        return std::min<std::size_t>(1 + place % 2, line_heights);
    }
    /// No explored waiter gives back as soon as it is granted.
    static void*& innermost_serving() noexcept {
        thread_local void* none = nullptr;
        return none = nullptr;
    }
    static std::size_t shard_count() noexcept { return 1; }
};

template <class Atomics>
std::uint64_t explored_hash(const BudgetOperation<Atomics>& operation) noexcept {
    std::uint64_t hash = 0;
    const auto add = [&](auto word) { hash = (hash ^ (std::uint64_t)word) * 0x9e3779b97f4a7c15 + (hash >> 29); };
    const auto& demand = operation.demand;
    add(demand.extra_count);
    for (std::size_t index = 0; index < demand.part_count(); ++index) {
        add(demand.part(index).node);
        add(demand.part(index).units);
    }
    add(demand.below);
    add(std::uint64_t{operation.takes} << 1 | std::uint64_t{operation.opens});
    add(operation.shard);
    add(operation.turn);
    add(operation.credit_change);
    const auto& step = operation.step;
    add(step.kind);
    add(std::uint64_t{step.card} << 32 | step.place);
    add(step.card_word);
    add(step.place_word);
    return hash;
}

/// Takes and gives as memory accounts do: what the shard can serve is no matter of the tree. One shard is explored.
template <class Atomics>
bool take_units(BudgetNode<Atomics>& node, std::uint64_t units, auto check) {
    testing::ForgottenAnswers answers;
    auto& shard = node.shard(0);
    bool granted = shard.try_take(units);
    answers.returns(granted);
    if (!granted) {
        const auto outcome = BudgetTree<Atomics>::take(node, shard, units);
        check(outcome);
        granted = outcome.granted();
    }
    answers.returns(granted);
    return granted;
}
template <class Atomics>
bool take_units(BudgetNode<Atomics>& node, std::uint64_t units) {
    return take_units(node, units, [](const auto&) {});
}
template <class Atomics>
void give_units(BudgetNode<Atomics>& node, std::uint64_t units) {
    testing::ForgottenAnswers answers;
    auto& shard = node.shard(0);
    const bool put = shard.try_put(units);
    answers.returns(put);
    if (!put) BudgetTree<Atomics>::give(shard, units);
}

/// A budget tree whose every call is written down, and checked against what a tree of limits must do:
///
/// * strict: at every instant, at every level, what is held (granted, and not being given back) and what is granted to
///   that level are within the limit, and the peak is not below either;
/// * honest: a refusal is only given if at some moment of the call a level lacked room, even when every grant under way
///   counts from its beginning and every return under way until its end;
/// * plain: the figures of a refusal show that there was no room;
/// * exact: when all is given back nothing is used, and everything can be taken again, and no more;
/// * open: when nobody decides any more, no level still keeps the shards below it from opening;
/// * ordered: who takes what another gave back sees what was written before it was given back.
template <class Mutation>
class BudgetWorld {
  public:
    using Tree = BudgetTree<ExploredAtomics<Mutation>>;
    using Node = typename Tree::Node;
    using Shard = typename Tree::Shard;
    using Demand = typename Tree::Demand;

    BudgetWorld(testing::Interleaving& run, std::uint64_t limit) : run_(run) {
        nodes_.push_back(&Tree::make("root", limit));
    }
    BudgetWorld(const BudgetWorld&) = delete;
    BudgetWorld& operator=(const BudgetWorld&) = delete;
    ~BudgetWorld() {
        std::for_each(nodes_.rbegin(), nodes_.rend(), [](Node* node) { Tree::drop_owner(node); });
    }

    // ---- the set-up

    Node& root() { return *nodes_.front(); }
    Node& child(Node& parent, std::uint64_t limit = unlimited_units) {
        nodes_.push_back(&Tree::make_child(parent, "child", limit));
        return *nodes_.back();
    }
    /// The next take of the node that its shard cannot serve leaves `credit` there.
    void will_park(Node& node, std::uint64_t credit) { node.shard(0).quantum.store(credit); }
    /// Leaves the node's shard open with `credit`.
    void park(Node& node, std::uint64_t credit) {
        will_park(node, credit);
        take_units(node, 1);
        node.give(1);
    }

    // ---- what threads do (and the set-up may)

    bool take(Node& node, std::uint64_t units) {
        return take({.node = &node, .units = units},
                    [&] { return take_units(node, units, [this](const auto& outcome) { check_figures(outcome); }); });
    }
    bool take_together(const Demand& demand) {
        return take(demand, [&] {
            testing::ForgottenAnswers answers;
            const auto outcome = Tree::take(demand);
            check_figures(outcome);
            answers.returns(outcome.granted());
            return outcome.granted();
        });
    }
    /// Gives back what the latest grant of the node of so many units took.
    void give(Node& node, std::uint64_t units) {
        run_.step();
        const auto began_at = now(3, node, units);
        const auto index = latest(node, units);
        const auto above = calls_[index].above;
        calls_[index].giving_at = began_at;
        if (above != none) calls_[above].giving_at = began_at;
        give_units(node, units);
        const auto given_at = now(4, node, units);
        calls_[index].given_at = given_at;
        if (above != none) calls_[above].given_at = given_at;
    }
    /// Makes the latest grant of `from` one of `to`, if that has room.
    bool transfer(Node& from, Node& to, std::uint64_t units) {
        auto* common = &from;
        while (!to.is_within(*common)) common = common->parent.load();
        run_.step();
        const auto moved = latest(from, units);
        // What the common levels have stays where it is.
        const auto above = calls_.size();
        calls_.push_back(calls_[moved]);
        calls_[above].demand.node = common;
        calls_[above].is_left_by_transfer = true;
        calls_[moved].demand.below = common;
        const auto arrived = calls_.size();
        calls_.push_back({.demand = {.node = &to, .units = units, .below = common}, .above = above});
        calls_[arrived].began_at = now(6, from, units);
        calls_[moved].giving_at = calls_[arrived].began_at; // at the earliest
        testing::ForgottenAnswers answers;
        const bool granted = Tree::transfer(from, to, units).granted();
        answers.returns(granted);
        calls_[arrived].granted = granted;
        calls_[arrived].taken_at = now(granted ? 7 : 8, to, units);
        if (granted) {
            calls_[moved].given_at = calls_[arrived].taken_at;
        } else {
            calls_[moved].giving_at = never;
            calls_[moved].demand.below = nullptr;
            calls_[above].granted = true;
            calls_[above].given_at = calls_[above].giving_at = calls_[above].began_at; // never was
        }
        return granted;
    }
    /// As `take`, of all that there is; then looks at what the last holder left behind, if it was granted.
    bool take_and_look(Node& node, std::uint64_t units) {
        if (!take(node, units)) return false;
        if (contents_.load(std::memory_order_relaxed) != 0) run_.fail("the last holder was not seen to have ended");
        contents_.store(1, std::memory_order_relaxed);
        return true;
    }
    void clean_and_give(Node& node, std::uint64_t units) {
        contents_.store(0, std::memory_order_relaxed);
        give(node, units);
    }
    /// What is held stays within the highest limit of the run; granted is what may be above a lower one.
    void set_limit(Node& node, std::uint64_t limit) {
        limits_change_ = true;
        run_.step();
        run_.event(5);
        const testing::ForgottenAnswers answers;
        Tree::set_limit(node, limit);
    }
    /// A refusal says itself why there was no room, whatever came back meanwhile.
    void check_figures(const typename Tree::Outcome& outcome) {
        if (outcome.granted() || limits_change_ || outcome.waiting > 0) return;
        if (outcome.used + outcome.asked <= outcome.limit) run_.fail("refused with figures that show room");
    }
    void check_used(Node& node, std::uint64_t at_least, std::uint64_t at_most) {
        const auto used = Tree::used(node);
        if (used < at_least) run_.fail("used is too low");
        if (used > at_most) run_.fail("used is too high");
    }
    void check_granted(const Node& node, std::uint64_t at_least, std::uint64_t at_most) {
        const auto granted = node.granted();
        if (granted < at_least) run_.fail("granted is too low");
        if (granted > at_most) run_.fail("granted is too high");
    }
    /// For a level that holds nothing itself, and all that it has in `below`.
    void check_above(const Node& level, const Node& below) {
        const auto before = level.granted();
        const auto in_below = below.granted();
        if (std::min(before, level.granted()) > in_below) run_.fail("came back below before it did above");
    }
    static bool try_now(Node& node, std::uint64_t units) { return take_units(node, units); }

    // ---- for the exploration

    void begin() {
        if (!set_up_) {
            for (auto& call : calls_) call.began_at = 0;
            set_up_ = calls_;
        }
        calls_ = *set_up_;
        moment_ = 0;
        limits_change_ = false;
    }
    void always() {
        for (const auto* node : nodes_) {
            std::uint64_t held = 0;
            for (const auto& call : calls_) {
                if (call.is_held()) held += call.units_at(*node);
            }
            const auto granted = node->granted(), peak = node->peak.load();
            if (held > peak) run_.fail("the peak is below what is held");
            if (!limits_change_ && held > node->limit.load()) run_.fail("more is held than the limit");
            if (!limits_change_ && granted > node->limit.load()) run_.fail("more is granted than the limit");
            if (granted > peak) run_.fail("the peak is below what is granted");
        }
    }
    void finally() {
        for (const auto& call : calls_) {
            if (!call.granted && !limits_change_ && !lacked_room(call))
                run_.fail("refused although there was room all the time");
        }
        for (const auto* node : nodes_) {
            if (node->deciders.load() != 0) run_.fail("somebody is announced for ever");
        }
        for (const auto& call : calls_) {
            if (!call.is_held() || call.is_left_by_transfer) continue;
            for (std::size_t index = 0; index < call.demand.part_count(); ++index)
                give_units(*call.demand.part(index).node, call.demand.part(index).units);
        }
        for (auto* node : nodes_) {
            if (Tree::used(*node) != 0) run_.fail("not everything came back");
            const auto all = smallest_limit(*node);
            if (!take_units(*node, all)) {
                run_.fail("something was lost");
            } else {
                if (node->granted() > all) run_.fail("something was made");
                give_units(*node, all);
            }
        }
    }

  private:
    static constexpr std::size_t never = ~std::size_t{0};

    static constexpr std::size_t none = never;

    struct Call {
        Demand demand;
        std::size_t began_at = 0;
        std::size_t taken_at = never; // when the take returned
        std::size_t giving_at = never;
        std::size_t given_at = never;
        bool granted = false;
        std::size_t above = none;         // what the levels have that a transfer to here left out
        bool is_left_by_transfer = false; // to be given back with what was transferred

        bool is_held() const { return granted && giving_at == never; }
        std::uint64_t units_at(const Node& level) const {
            if (demand.below != nullptr && demand.below->is_within(level)) return 0;
            std::uint64_t sum = 0; // not by the demand, which may be mutated
            for (std::size_t index = 0; index < demand.part_count(); ++index) {
                const auto part = demand.part(index);
                if (part.node->is_within(level)) sum += part.units;
            }
            return sum;
        }
    };

    template <class Take>
    bool take(const Demand& demand, Take take_now) {
        run_.step();
        const auto began_at = now(0, *demand.node, demand.units);
        const auto index = calls_.size();
        calls_.push_back({.demand = demand, .began_at = began_at});
        const bool granted = take_now();
        const auto taken_at = now(granted ? 1 : 2, *demand.node, demand.units);
        calls_[index].granted = granted;
        calls_[index].taken_at = taken_at;
        return granted;
    }

    std::size_t latest(const Node& node, std::uint64_t units) const {
        auto index = calls_.size() - 1;
        while (calls_[index].demand.node != &node || calls_[index].demand.units != units || !calls_[index].is_held() ||
               calls_[index].is_left_by_transfer)
            --index;
        return index;
    }

    // A number for this moment, later than all before. What happens when is part of the explored state.
    std::size_t now(std::uint64_t what, const Node& node, std::uint64_t units) {
        const auto place = static_cast<std::uint64_t>(std::ranges::find(nodes_, &node) - nodes_.begin());
        run_.event(units << 16 | place << 8 | what);
        return ++moment_;
    }

    bool lacked_room(const Call& refused) const {
        bool lacked = false;
        refused.demand.for_each_level([&](const Node& level, std::uint64_t) {
            for (auto moment = refused.began_at; moment <= refused.taken_at && !lacked; ++moment) {
                std::uint64_t used = 0;
                for (const auto& other : calls_) {
                    if (other.granted && other.began_at <= moment && other.given_at > moment)
                        used += other.units_at(level);
                }
                lacked = used + refused.units_at(level) > level.limit.load();
            }
            return !lacked;
        });
        return lacked;
    }

    static std::uint64_t smallest_limit(const Node& node) {
        auto limit = unlimited_units;
        for (const auto* level = &node; level != nullptr; level = level->parent.load())
            limit = std::min(limit, level->limit.load());
        return limit;
    }

    testing::Interleaving& run_;
    testing::ScheduledAtomic<int> contents_{0}; // of the memory that all units together stand for
    std::vector<Node*> nodes_;
    std::vector<Call> calls_;
    std::optional<std::vector<Call>> set_up_;
    std::size_t moment_ = 0;
    bool limits_change_ = false;
};

/// Explores what `threads` do in a world of its own: `threads(run, world)` sets it up and gives `run` its threads.
template <class World>
testing::ExplorationReport explore_world(testing::MemoryModel memory, std::uint64_t limit,
                                         const std::function<void(testing::Interleaving&, World&)>& threads,
                                         std::size_t most_switches = ~std::size_t{0}) {
    return testing::explore(
        [&](testing::Interleaving& run) {
            const auto world = std::make_shared<World>(run, limit);
            run.begin([world] { world->begin(); });
            run.always([world] { world->always(); });
            threads(run, *world);
            run.finally([world] { world->finally(); });
        },
        {.memory = memory, .most_switches = most_switches});
}

} // namespace velostream
