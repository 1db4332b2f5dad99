// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "velostream/core/budget_node.hpp"

namespace velostream {

/// The memory of a tree's nodes, and which of them may have credit in a shard.
///
/// Nodes are reused, never returned before the tree ends. Making one takes a mutex; recycling them and walking them is
/// lock-free.
template <class Atomics>
class BudgetRegistry {
  public:
    using Node = BudgetNode<Atomics>;

    BudgetRegistry() = default;
    BudgetRegistry(const BudgetRegistry&) = delete;
    BudgetRegistry& operator=(const BudgetRegistry&) = delete;
    ~BudgetRegistry();

    /// A node that nobody uses, with closed and empty shards.
    Node& make_room(BudgetTree<Atomics>& tree);

    /// For who took the node out. Whoever ends an account does this, perhaps in the middle of a refusal: no lock.
    void recycle(Node& node) noexcept {
        node.open_marks[live_marks].fetch_and(~node.open_mark);
        live_count_.fetch_sub(1, std::memory_order_relaxed);
        node.next = free_.load();
        while (!free_.compare_exchange_weak(node.next, &node)) continue;
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
        for (auto* block = &first_; block != nullptr; block = block->next.load()) {
            for (auto marks = block->marks[0].load(); marks != 0; marks &= marks - 1) {
                visit(*block->nodes[std::countr_zero(marks)].load());
            }
        }
    }

    /// Calls `visit` for each node that was ever made, also while nobody uses it. What is made meanwhile may be left
    /// out.
    template <class Visit>
    void for_each_place(Visit visit) {
        for (auto* block = &first_; block != nullptr; block = block->next.load()) {
            for (auto& place : block->nodes) {
                auto* const node = place.load();
                if (node == nullptr) return;
                visit(*node);
            }
        }
    }

    /// Calls `visit` for each node that is in place. One that is made or taken out meanwhile may be left out or be
    /// visited; who wants to know more of it than its counters makes himself an owner first (`try_add_owner`).
    template <class Visit>
    void for_each_live(Visit visit) {
        for (auto* block = &first_; block != nullptr; block = block->next.load()) {
            for (auto marks = block->marks[live_marks].load(); marks != 0; marks &= marks - 1) {
                visit(*block->nodes[std::countr_zero(marks)].load());
            }
        }
    }

    /// The same for about `most` of them: those that come after the ones which the last such call with this `place` has
    /// visited. `place` begins as null.
    template <class Visit>
    void for_some_live(std::atomic<void*>& place, std::size_t most, Visit visit) {
        // acquire and release: the block that another thread came to was made before that. Blocks stay.
        auto* const last = static_cast<Block*>(place.load(std::memory_order_acquire));
        auto* const first = last != nullptr ? last : &first_;
        auto* block = first;
        for (std::size_t visited = 0; visited < most;) {
            for (auto marks = block->marks[live_marks].load(); marks != 0; marks &= marks - 1, ++visited) {
                visit(*block->nodes[std::countr_zero(marks)].load());
            }
            auto* const next = block->next.load();
            block = next != nullptr ? next : &first_;
            if (block == first) break;
        }
        place.store(block, std::memory_order_release);
    }

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    /// The second word of marks of a block: bit n says that node n is in place, so that those which are not cost
    /// nothing.
    static constexpr std::size_t live_marks = 1;

    struct Block {
        static constexpr std::size_t size = 64;
        Atomic<std::uint64_t> marks[2]{}; ///< bit n of the first: node n may have credit in a shard; see `live_marks`
        Atomic<Node*> nodes[size]{};
        Block* previous = nullptr;
        Atomic<Block*> next{nullptr};
    };

    Node& make_place(BudgetTree<Atomics>& tree);

    Block first_;
    Atomic<std::uint64_t> open_count_{0};
    std::atomic<std::size_t> live_count_{0}; // relaxed: a hint
    // Nodes that nobody uses. Anybody pushes, only who has the mutex pops: so the first one's `next` stays what it is
    // while he looks at it.
    Atomic<Node*> free_{nullptr};

    std::mutex mutex_; // guards all below, and making nodes
    Block* last_ = &first_;
    std::size_t node_count_ = 0;
};

template <class Atomics>
BudgetRegistry<Atomics>::~BudgetRegistry() {
    for (auto* block = last_;;) {
        for (auto& node : block->nodes) typename Node::Owner{node.load()};
        if (block == &first_) return;
        delete std::exchange(block, block->previous);
    }
}

template <class Atomics>
auto BudgetRegistry<Atomics>::make_room(BudgetTree<Atomics>& tree) -> Node& {
    const std::scoped_lock lock{mutex_};
    auto* node = free_.load();
    while (node != nullptr && !free_.compare_exchange_weak(node, node->next)) continue;
    if (node == nullptr) node = &make_place(tree);
    node->open_marks[live_marks].fetch_or(node->open_mark);
    live_count_.fetch_add(1, std::memory_order_relaxed);
    return *node;
}

template <class Atomics>
auto BudgetRegistry<Atomics>::make_place(BudgetTree<Atomics>& tree) -> Node& {
    auto node = Node::make(tree); // first: without it there must be no empty block
    const auto index = node_count_ % Block::size;
    if (index == 0 && node_count_ != 0) {
        auto* block = new Block;
        block->previous = last_;
        last_->next.store(block);
        last_ = block;
    }
    node->open_marks = last_->marks;
    node->open_mark = std::uint64_t{1} << index;
    ++node_count_;
    last_->nodes[index].store(node.get());
    return *node.release();
}

} // namespace velostream
