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
    static std::size_t shard_count() noexcept { return 1; }
};

template <class Atomics>
std::uint64_t explored_hash(const BudgetOperation<Atomics>& operation) noexcept {
    std::uint64_t hash = 0;
    for (const auto word : {reinterpret_cast<std::uint64_t>(operation.node), operation.units,
                            std::uint64_t{operation.takes} << 1 | std::uint64_t{operation.opens},
                            reinterpret_cast<std::uint64_t>(operation.shard), operation.turn, operation.credit_change})
        hash = (hash ^ word) * 0x9e3779b97f4a7c15 + (hash >> 29);
    return hash;
}

/// Takes and gives as memory accounts do: what the shard can serve is no matter of the tree. One shard is explored.
template <class Atomics>
bool take_units(BudgetNode<Atomics>& node, std::uint64_t units) {
    testing::ForgottenAnswers answers;
    auto& shard = node.shard(0);
    bool granted = shard.try_take(units);
    answers.returns(granted);
    if (!granted) granted = BudgetTree<Atomics>::take(node, shard, units).granted();
    answers.returns(granted);
    return granted;
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
///   that level are within the limit, and the peak is not below what is held;
/// * honest: a refusal is only given if at some moment of the call a level lacked room, even when every grant under way
///   counts from its beginning and every return under way until its end;
/// * exact: when all is given back nothing is used, and everything can be taken again, and no more;
/// * open: when nobody decides any more, no level still keeps the shards below it from opening;
/// * ordered: who takes what another gave back sees what was written before it was given back.
template <class Mutation>
class BudgetWorld {
  public:
    using Tree = BudgetTree<ExploredAtomics<Mutation>>;
    using Node = typename Tree::Node;
    using Shard = typename Tree::Shard;

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
        run_.step();
        const auto began_at = now(0, node, units);
        const auto index = calls_.size();
        calls_.push_back({.node = &node, .units = units, .began_at = began_at, .taken_at = never});
        const bool granted = take_units(node, units);
        const auto taken_at = now(granted ? 1 : 2, node, units);
        calls_[index].granted = granted;
        calls_[index].taken_at = taken_at;
        return granted;
    }
    /// Gives back what the latest grant of the node of so many units took.
    void give(Node& node, std::uint64_t units) {
        run_.step();
        const auto began_at = now(3, node, units);
        auto index = calls_.size() - 1;
        while (calls_[index].node != &node || calls_[index].units != units || !calls_[index].is_held()) --index;
        calls_[index].giving_at = began_at;
        give_units(node, units);
        calls_[index].given_at = now(4, node, units);
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
    void check_used(Node& node, std::uint64_t at_least, std::uint64_t at_most) {
        const auto used = Tree::used(node);
        if (used < at_least) run_.fail("used is too low");
        if (used > at_most) run_.fail("used is too high");
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
                if (call.is_held() && call.node->is_within(*node)) held += call.units;
            }
            if (held > node->peak.load()) run_.fail("the peak is below what is held");
            if (limits_change_) continue;
            if (held > node->limit.load()) run_.fail("more is held than the limit");
            if (node->granted() > node->limit.load()) run_.fail("more is granted than the limit");
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
            if (call.is_held()) give_units(*call.node, call.units);
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

    struct Call {
        Node* node;
        std::uint64_t units;
        std::size_t began_at = 0;
        std::size_t taken_at = 0; // when the take returned
        std::size_t giving_at = never;
        std::size_t given_at = never;
        bool granted = false;

        bool is_held() const { return granted && giving_at == never; }
    };

    // A number for this moment, later than all before. What happens when is part of the explored state.
    std::size_t now(std::uint64_t what, const Node& node, std::uint64_t units) {
        const auto place = static_cast<std::uint64_t>(std::ranges::find(nodes_, &node) - nodes_.begin());
        run_.event(units << 16 | place << 8 | what);
        return ++moment_;
    }

    bool lacked_room(const Call& refused) const {
        for (const auto* level = refused.node; level != nullptr; level = level->parent.load()) {
            for (auto moment = refused.began_at; moment <= refused.taken_at; ++moment) {
                std::uint64_t used = 0;
                for (const auto& other : calls_) {
                    if (other.granted && other.node->is_within(*level) && other.began_at <= moment &&
                        other.given_at > moment)
                        used += other.units;
                }
                if (used + refused.units > level->limit.load()) return true;
            }
        }
        return false;
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
                                         const std::function<void(testing::Interleaving&, World&)>& threads) {
    return testing::explore(
        [&](testing::Interleaving& run) {
            const auto world = std::make_shared<World>(run, limit);
            run.begin([world] { world->begin(); });
            run.always([world] { world->always(); });
            threads(run, *world);
            run.finally([world] { world->finally(); });
        },
        {.memory = memory});
}

} // namespace velostream
