// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "velostream/base/item_pool.hpp"
#include "velostream/core/budget_shard.hpp"
#include "velostream/core/operation_counter.hpp"

namespace velostream {

template <class Atomics>
class BudgetTree;

/// The largest limit, and the limit of what is called unlimited: amounts up to here never wrap.
inline constexpr std::uint64_t unlimited_units = ~std::uint64_t{0} >> 1;

/// One level of a budget tree: a limit, what was granted to it, and the credit its threads keep at hand.
///
/// `granted = taken - drained - given` is what is used here and below, plus the credit parked here and below.
/// Invariants, at every instant and for any interleaving:
///
/// * `granted ≤ limit` (unless somebody lowered the limit below it): only a committed operation raises `granted`,
///   and it commits only after it saw room at every level while no other operation could take any.
/// * `used ≤ granted`: units are used only after they were taken, and given back only after their use has ended.
/// * Units are in one place at a time: in use, in a shard's word, or free in the tree. There is no hand in which a
///   stopped thread could keep units that nobody uses.
/// * A node with an open shard is marked in the registry: whoever opens one marks the node first, the operation that
///   opens it looks at the mark, and only who closed and collected its shards while announced clears it.
///
/// The counters are seq_cst throughout: this is the slow path, and one total order keeps its argument simple.
/// The memory of a node is reused for other nodes of the tree but not returned before the tree ends, so that a late
/// helper may look at it; the counters go on where they were.
template <class Atomics>
struct alignas(64) BudgetNode {
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    struct Delete {
        void operator()(BudgetNode* node) const noexcept {
            std::destroy_n(&node->shard(0), Atomics::shard_count());
            std::destroy_at(node);
            ::operator delete(node, std::align_val_t{alignof(BudgetNode)});
        }
    };
    using Owner = std::unique_ptr<BudgetNode, Delete>;

    /// A node with closed and empty shards.
    static Owner make(BudgetTree<Atomics>& owner_tree) {
        const auto size = sizeof(BudgetNode) + Atomics::shard_count() * sizeof(BudgetShard<Atomics>);
        auto* node = new (::operator new(size, std::align_val_t{alignof(BudgetNode)})) BudgetNode{owner_tree};
        for (std::size_t index = 0; index < Atomics::shard_count(); ++index) {
            (new (&node->shard(index)) BudgetShard<Atomics>)->node = node;
        }
        assert(static_cast<void*>(&node->no_shard) == node);
        return Owner{node};
    }

    explicit BudgetNode(BudgetTree<Atomics>& owner_tree) noexcept : tree(owner_tree) {}

    /// For threads that have no shard yet: never open, and at offset 0, where they look.
    BudgetShard<Atomics> no_shard;

    BudgetTree<Atomics>& tree;
    Atomic<BudgetNode*> parent{nullptr};
    Atomic<std::uint64_t> limit{unlimited_units};
    /// Threads that are deciding whether to refuse at this node. While there are any, or anybody waits here, no shard
    /// below opens. The last owner adds `retired`, for good.
    Atomic<std::uint32_t> deciders{0};
    /// Owners (low half): handles, child nodes, whoever gives back units past the shards, until he has done so, and
    /// whoever looks at it to name it in a refusal. High half: how many ever came.
    ///
    /// A node is in place as long as it has an owner or any of its units is in use; so who holds units may look at it
    /// until the very access that puts them back. The last owner closes the shards for good. If then nothing is granted
    /// and nobody came since he was seen to be the last, he swaps himself out; then nobody can become an owner any more
    /// (see `try_add_owner`), and he takes it out. Without the high half he would miss who came, gave back the last
    /// units and left while he looked.
    ///
    /// relaxed up: who came is seen by whoever sees what he gave back. acq_rel down, as usual for reference counts.
    Atomic<std::uint64_t> owners{0};
    std::string name;                            ///< written only while it has no owner, as the next
    Atomic<std::uint8_t> role{0};                ///< what it is for, of the user's
    Atomic<std::uint64_t>* open_marks = nullptr; ///< the registry's word that says whether a shard may be open,
    std::uint64_t open_mark = 0;                 ///< and the bit in it
    IndexWord::Index number = 0;                 ///< by which the registry finds it

    alignas(64) OperationCounter<Atomics> taken;
    OperationCounter<Atomics> drained; ///< credit that an operation moved from a shard back to the tree
    Atomic<std::uint64_t> given{0};    ///< what was given back past the shards; anyone adds
    Atomic<std::uint64_t> peak{0};     ///< of `granted`; only grows
    Atomic<std::uint64_t> refusals{0}; ///< relaxed: a count, publishes nothing
    /// Nodes right below that were seen to hold much, for refusals that cannot look at all, and where the next one goes
    /// on looking. Hints: by now they may be other nodes. release and acquire, since they may have been made meanwhile.
    std::array<std::atomic<BudgetNode*>, 3> largest_seen{};
    std::atomic<std::uint32_t> looked_up_to{0};

    /// Who waits here, in the order of tickets: see `BudgetLines`. Index words, changed by operations only.
    std::array<Atomic<std::uint64_t>, Atomics::line_heights> line{};
    OperationCounter<Atomics> came; ///< how often somebody began to wait here,
    OperationCounter<Atomics> gone; ///< and how often one waited no longer
    /// The ticket of who was seen to wait longest; only where the tree has a listener.
    Atomic<std::uint64_t> first_ticket{0};
    /// What those who waited were granted, here and below; only grows, and only where the tree has a listener.
    Atomic<std::uint64_t> handed_over{0};
    /// How many, with how many units together, may be granted here before the one who waits longest. relaxed: hints of
    /// the user's.
    Atomic<std::uint64_t> overtakers{0};
    Atomic<std::uint64_t> overtaking_units{0};

    /// The shards lie right behind the node, so that finding one costs no load.
    BudgetShard<Atomics>& shard(std::size_t index) noexcept {
        return reinterpret_cast<BudgetShard<Atomics>*>(this + 1)[index];
    }
    BudgetShard<Atomics>& shard_of_this_thread() noexcept {
        return *reinterpret_cast<BudgetShard<Atomics>*>(reinterpret_cast<std::byte*>(this) + Atomics::shard_offset());
    }

    /// Never below what is granted at the time of the last read: what shrinks it is read before what grows it.
    std::uint64_t granted() const noexcept {
        const auto returned = given.load();
        const auto collected = drained.value.load();
        return taken.value.load() - collected - returned;
    }

    /// Gives units back to every level below `below`, or to all; only for an owner. From the top down, so that the
    /// levels above have everything back when this one has.
    void give(std::uint64_t units, const BudgetNode* below = nullptr) noexcept {
        if (this == below) return;
        if (auto* above = parent.load(); above != nullptr) above->give(units, below);
        given.fetch_add(units);
    }

    static constexpr std::uint32_t retired = std::uint32_t{1} << 31;
    static constexpr std::uint64_t one_owner = std::uint64_t{1} << 32 | 1;
    static std::uint32_t count_of(std::uint64_t owners) noexcept { return static_cast<std::uint32_t>(owners); }
    std::uint32_t owner_count() const noexcept { return count_of(owners.load()); }
    /// For who only came across the node in the registry. False if it was taken out, and may be another node when it is
    /// in place again. Where only its units keep it in place it has had owners, which the high half tells. An owner
    /// keeps it in place, and the swap fails if it was taken out meanwhile; whoever swaps an owner in has, by the
    /// acquire, what was written before the node was handed to its first one. What he read of it before, such as its
    /// parent, may be of the node before: he must read it again.
    ///
    /// The load is seq_cst: who comes across the nodes after he has changed something finds each that was handed to its
    /// first owner before that one looked whether it has changed.
    bool try_add_owner() noexcept {
        auto seen = owners.load();
        do {
            if (seen == 0) return false;
        } while (!owners.compare_exchange_strong(seen, seen + one_owner, std::memory_order_acquire,
                                                 std::memory_order_relaxed));
        return true;
    }
    /// For owners, and for who holds units.
    void add_owner() noexcept { owners.fetch_add(one_owner, std::memory_order_relaxed); }

    /// How many wait here. Never too few: what lowers it is read before what raises it.
    std::uint64_t waiting_now() const noexcept {
        const auto gone_by_now = gone.value.load();
        return came.value.load() - gone_by_now;
    }
    /// Whether somebody is linked, be it that he has only not been taken out yet.
    bool has_line() const noexcept { return IndexWord::index_of(line[0].load()) != 0; }
    std::size_t depth() const noexcept {
        std::size_t levels = 0;
        for (const auto* node = parent.load(); node != nullptr; node = node->parent.load()) ++levels;
        return levels;
    }
    /// Whether deciders find the credit of this node's shards.
    bool is_marked_open() const noexcept { return (open_marks->load() & open_mark) != 0; }

    bool is_within(const BudgetNode& subtree) const noexcept {
        const auto* node = this;
        while (node != nullptr && node != &subtree) node = node->parent.load();
        return node != nullptr;
    }
};

} // namespace velostream
