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
/// Nodes are reused, never returned before the tree ends. Making and recycling nodes is done under a mutex; walking the
/// open ones is lock-free.
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

    void recycle(Node& node) noexcept {
        const std::scoped_lock lock{mutex_};
        node.next = std::exchange(free_, &node);
    }

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
            for (auto marks = block->open.load(); marks != 0; marks &= marks - 1) {
                visit(*block->nodes[std::countr_zero(marks)].load());
            }
        }
    }

    /// Calls `visit` for each node that has an owner. False, and nothing is done, if there are more than `most` or if
    /// somebody is making or dropping one, so that nobody waits. `visit` must not make or drop nodes.
    template <class Visit>
    bool try_for_each(std::size_t most, Visit visit);

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    struct Block {
        static constexpr std::size_t size = 64;
        Atomic<std::uint64_t> open{0}; ///< bit n: node n may have credit in a shard
        Atomic<Node*> nodes[size]{};
        Block* previous = nullptr;
        Atomic<Block*> next{nullptr};
    };

    Block first_;
    Atomic<std::uint64_t> open_count_{0};

    std::mutex mutex_; // guards all below, the nodes' `next`, and making nodes
    Node* free_ = nullptr;
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
    if (free_ != nullptr) return *std::exchange(free_, free_->next);
    const auto index = node_count_ % Block::size;
    if (index == 0 && node_count_ != 0) {
        auto* block = new Block;
        block->previous = last_;
        last_->next.store(block);
        last_ = block;
    }
    auto node = Node::make(tree);
    node->open_marks = &last_->open;
    node->open_mark = std::uint64_t{1} << index;
    ++node_count_;
    last_->nodes[index].store(node.get());
    return *node.release();
}

template <class Atomics>
template <class Visit>
bool BudgetRegistry<Atomics>::try_for_each(std::size_t most, Visit visit) {
    const std::unique_lock lock{mutex_, std::try_to_lock};
    if (!lock || node_count_ > most) return false;
    for (auto* block = &first_; block != nullptr; block = block->next.load()) {
        for (auto& place : block->nodes) {
            if (auto* node = place.load(); node != nullptr && node->owner_count() != 0) visit(*node);
        }
    }
    return true;
}

} // namespace velostream
