// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "velostream/base/item_pool.hpp"
#include "velostream/base/segmented_array.hpp"
#include "velostream/core/budget_node.hpp"

namespace velostream {

/// The memory of a tree's nodes, and which of them may have credit in a shard.
///
/// Nodes are reused, never returned before the tree ends. Each has a number, and is found by it in a group of 64 that
/// have their marks in common. A node that nobody uses is claimed by its number, in a pool of those; so whoever makes
/// one, stopped at any step, holds up nobody: he has a number that the others do without.
///
/// Orders: seq_cst throughout.
///
/// Threads: safe, lock-free but for the allocation of memory.
template <class Atomics>
class BudgetRegistry {
  public:
    using Node = BudgetNode<Atomics>;

    BudgetRegistry() = default;
    BudgetRegistry(const BudgetRegistry&) = delete;
    BudgetRegistry& operator=(const BudgetRegistry&) = delete;
    ~BudgetRegistry() {
        for_each_place([](Node& node) { typename Node::Owner{&node}; });
    }

    /// A node that nobody uses, with closed and empty shards. Throws `std::bad_alloc`.
    Node& make_room(BudgetTree<Atomics>& tree);

    /// For who took the node out. Whoever ends an account does this, perhaps in the middle of a refusal: no lock.
    void recycle(Node& node) noexcept {
        node.open_marks[live_marks].fetch_and(~node.open_mark);
        live_count_.fetch_sub(1, std::memory_order_relaxed);
        numbers_.give_back(node.number);
    }
    /// How many nodes are in place. A hint.
    std::size_t live_count() const noexcept { return live_count_.load(std::memory_order_relaxed); }

    /// To be called before the operation that opens a shard of the node, which does so only if it finds the mark.
    void mark_open(const Node& node) noexcept {
        if (node.is_marked_open()) return;
        open_count_.fetch_add(1); // first, so that the count never falls below the number of marks
        if ((node.open_marks->fetch_or(node.open_mark) & node.open_mark) != 0) open_count_.fetch_sub(1);
    }
    /// Only while all its shards are closed and empty and none can open.
    void clear_open(const Node& node) noexcept {
        if ((node.open_marks->fetch_and(~node.open_mark) & node.open_mark) != 0) open_count_.fetch_sub(1);
    }
    /// At least the number of nodes that have an open shard.
    std::uint64_t open_count() const noexcept { return open_count_.load(); }

    /// Calls `visit` for each node that may have credit in a shard.
    template <class Visit>
    void for_each_open(Visit visit) {
        if (open_count_.load() == 0) return;
        groups_.for_first(group_count(), [&](Group& group) { for_each_marked(group, open_marks, visit); });
    }

    /// Calls `visit` for each node that was ever made, also while nobody uses it. What is made meanwhile may be left
    /// out.
    template <class Visit>
    void for_each_place(Visit visit) {
        groups_.for_first(group_count(), [&](Group& group) {
            for (auto& place : group.nodes) {
                if (auto* const node = place.load(); node != nullptr) visit(*node);
            }
        });
    }

    /// Calls `visit` for each node that is in place. One that is made or taken out meanwhile may be left out or be
    /// visited; who wants to know more of it than its counters makes himself an owner first (`try_add_owner`).
    template <class Visit>
    void for_each_live(Visit visit) {
        groups_.for_first(group_count(), [&](Group& group) { for_each_marked(group, live_marks, visit); });
    }

    /// The same for about `most` of them: those that come after the ones which the last such call with this `place` has
    /// visited. `place` begins as 0.
    template <class Visit>
    void for_some_live(std::atomic<std::uint32_t>& place, std::size_t most, Visit visit) {
        const auto groups = group_count();
        // relaxed: a hint; of another thread, which may know of groups that were made since.
        const auto first = place.load(std::memory_order_relaxed) % groups;
        auto next = first;
        for (std::size_t visited = 0; visited < most;) {
            if (auto* const group = groups_.find(next)) visited += for_each_marked(*group, live_marks, visit);
            next = (next + 1) % groups;
            if (next == first) break;
        }
        place.store(next, std::memory_order_relaxed);
    }

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    /// The two words of marks of a group: bit n of the first says that node n may have credit in a shard, of the second
    /// that it is in place. So those that have and are not cost nothing.
    static constexpr std::size_t open_marks = 0, live_marks = 1;

    struct Group {
        static constexpr std::uint32_t size = 64;
        Atomic<std::uint64_t> marks[2]{};
        Atomic<Node*> nodes[size]{}; ///< null where one was never made
    };
    struct Number {
        Atomic<IndexWord::Index> next_free{0};
    };

    std::uint32_t group_count() const noexcept { return (numbers_.last() + Group::size - 1) / Group::size; }

    /// Returns how many it visited.
    template <class Visit>
    static std::size_t for_each_marked(const Group& group, std::size_t which, Visit& visit) {
        const auto marked = group.marks[which].load();
        for (auto marks = marked; marks != 0; marks &= marks - 1) visit(*group.nodes[std::countr_zero(marks)].load());
        return static_cast<std::size_t>(std::popcount(marked));
    }

    Node& node_of(IndexWord::Index number, BudgetTree<Atomics>& tree);

    ItemPool<Atomics, Number> numbers_; // from 1
    SegmentedArray<Group, 1> groups_;   // of the nodes, by number - 1
    Atomic<std::uint64_t> open_count_{0};
    std::atomic<std::size_t> live_count_{0}; // relaxed: a hint
};

template <class Atomics>
auto BudgetRegistry<Atomics>::make_room(BudgetTree<Atomics>& tree) -> Node& {
    const auto number = numbers_.take();
    try {
        auto& node = node_of(number, tree);
        node.open_marks[live_marks].fetch_or(node.open_mark);
        live_count_.fetch_add(1, std::memory_order_relaxed);
        return node;
    } catch (...) {
        numbers_.give_back(number);
        throw;
    }
}

/// For who has the number: makes the node where there was none yet.
template <class Atomics>
auto BudgetRegistry<Atomics>::node_of(IndexWord::Index number, BudgetTree<Atomics>& tree) -> Node& {
    const auto index = number - 1;
    groups_.reach(index / Group::size);
    auto& group = groups_[index / Group::size];
    auto& place = group.nodes[index % Group::size];
    if (auto* const node = place.load(); node != nullptr) return *node;
    auto node = Node::make(tree);
    node->open_marks = group.marks;
    node->open_mark = std::uint64_t{1} << index % Group::size;
    node->number = number;
    place.store(node.get());
    return *node.release();
}

} // namespace velostream
