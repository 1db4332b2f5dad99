// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "interleaving/core/budget_world.hpp"

namespace velostream {

/// What became of the one tree that is being explored. Nothing is freed, so that an execution can be repeated; that
/// something was, and is used nevertheless, is a failure.
struct BudgetTreeEnd {
    testing::Interleaving* run = nullptr;
    std::vector<const void*> taken_out;
    bool tree_has_ended = false;

    void touched() const {
        if (tree_has_ended) run->fail("the tree is used after its end");
    }
    void looked_at(const void* node) const {
        if (std::ranges::find(taken_out, node) != taken_out.end()) run->fail("looked at after it was taken out");
    }
    void take_out(const void* node, bool is_root) {
        if (std::ranges::find(taken_out, node) != taken_out.end()) run->fail("taken out twice");
        run->event(taken_out.size() << 1 | (is_root ? 1 : 0));
        taken_out.push_back(node);
        tree_has_ended = is_root;
    }
};
inline BudgetTreeEnd budget_tree_end;

/// Of a tree that may end while threads use it.
template <class T>
class MortalAtomic : public testing::ScheduledAtomic<T> {
    using Base = testing::ScheduledAtomic<T>;

  public:
    using Base::Base;
    template <class... Orders>
    T load(Orders... orders) const {
        return touched(Base::load(orders...));
    }
    template <class... Orders>
    void store(T value, Orders... orders) {
        Base::store(value, orders...);
        budget_tree_end.touched();
    }
    template <class... Orders>
    T exchange(T value, Orders... orders) {
        return touched(Base::exchange(value, orders...));
    }
    template <class... Orders>
    T fetch_add(T value, Orders... orders) {
        return touched(Base::fetch_add(value, orders...));
    }
    template <class... Orders>
    T fetch_sub(T value, Orders... orders) {
        return touched(Base::fetch_sub(value, orders...));
    }
    template <class... Orders>
    T fetch_or(T value, Orders... orders) {
        return touched(Base::fetch_or(value, orders...));
    }
    template <class... Orders>
    T fetch_and(T value, Orders... orders) {
        return touched(Base::fetch_and(value, orders...));
    }
    template <class... Orders>
    bool compare_exchange_strong(T& expected, T desired, Orders... orders) {
        return touched(Base::compare_exchange_strong(expected, desired, orders...));
    }

  private:
    template <class Result>
    static Result touched(Result result) {
        budget_tree_end.touched();
        return result;
    }
};

template <class Mutation>
struct MortalAtomics {
    template <class T>
    using Atomic = MortalAtomic<T>;
    using Scope = testing::ForgottenAnswers;
    static constexpr std::size_t items_at_once = 4;
    static constexpr std::size_t line_heights = 1;
    static std::size_t line_height(std::uint32_t) noexcept { return 1; }
    static void*& innermost_serving() noexcept {
        thread_local void* none = nullptr;
        return none = nullptr;
    }
    static std::size_t shard_count() noexcept { return 1; }
};

/// A tree of a root and a child, whose last handles are dropped while threads still give back what they hold of it. In
/// the end both are taken out, once and not before all came back, and nobody uses the tree after that.
template <class Mutation>
class BudgetEndingWorld {
  public:
    using Tree = BudgetTree<MortalAtomics<Mutation>>;
    using Node = typename Tree::Node;
    using Run = testing::Interleaving;

    static constexpr std::uint64_t limit = 65536; // enough that shards open

    BudgetEndingWorld() : root_(Tree::make("root", limit)), node_(Tree::make_child(root_, "child", limit)) {
        Tree::drop_owner(&root_); // the child keeps it
    }
    BudgetEndingWorld(const BudgetEndingWorld&) = delete;
    BudgetEndingWorld& operator=(const BudgetEndingWorld&) = delete;
    ~BudgetEndingWorld() { delete &root_.tree; }

    Node& root() { return root_; }
    Node& child() { return node_; }

    /// The next take of the child that its shard cannot serve leaves `credit` there.
    void will_park(std::uint64_t credit) { node_.shard(0).quantum.store(credit); }

    static void take(Node& node, std::uint64_t units) {
        if (!take_units(node, units)) budget_tree_end.run->fail("refused although there is room");
    }
    static void give(Node& node, std::uint64_t units) { give_units(node, units); }
    static void transfer(Node& from, Node& to, std::uint64_t units) {
        const testing::ForgottenAnswers answers;
        if (!Tree::transfer(from, to, units).granted()) budget_tree_end.run->fail("refused although there is room");
    }
    static void set_limit(Node& node, std::uint64_t to) {
        const testing::ForgottenAnswers answers;
        Tree::set_limit(node, to);
    }
    static void add_handle(Node& node) { node.add_owner(); }
    /// What a refusal does with an account that it comes across, whose name it wants.
    static void look_at(Node& node) {
        if (!node.try_add_owner()) return;
        budget_tree_end.run->step();
        budget_tree_end.looked_at(&node);
        drop_handle(node);
    }
    static void drop_handle(Node& node) {
        const testing::ForgottenAnswers answers;
        Tree::drop_owner(&node);
    }

    static testing::ExplorationReport explore(testing::MemoryModel memory,
                                              const std::function<void(Run&, BudgetEndingWorld&)>& threads) {
        return testing::explore(
            [&](Run& run) {
                budget_tree_end = {&run, {}, false};
                const auto world = std::make_shared<BudgetEndingWorld>();
                run.begin([&run] { budget_tree_end = {&run, {}, false}; });
                threads(run, *world);
                run.finally([&run, world] { world->finally(run); });
            },
            {.memory = memory});
    }

  private:
    void finally(Run& run) {
        budget_tree_end.tree_has_ended = false;
        if (node_.granted() != 0 || root_.granted() != 0) run.fail("not everything came back");
        if (node_.shard(0).word.load() << 28 != std::uint64_t{1} << 63) run.fail("the shard is open or has credit");
        if (budget_tree_end.taken_out != std::vector<const void*>{&node_, &root_}) run.fail("not taken out");
    }

    Node& root_;
    Node& node_;
};

} // namespace velostream
