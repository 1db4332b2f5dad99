// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_waiter.hpp"

namespace velostream {

/// Is told when somebody begins to wait in a tree where nobody waited, and when nobody waits any more.
///
/// Threads: called from any thread, in the middle of a call that takes or gives: it must not block, nor use the tree.
class WaitingListener {
  public:
    virtual ~WaitingListener() = default;
    virtual void on_waiting_changed() noexcept = 0;
};

/// Those who wait for room in a budget tree: in a queue at the node that refused them, first come first served.
///
/// A waiter is granted its units when all levels have room and nobody who came before it waits at any of them. Where
/// another level than the one of its queue stands in its way it goes there, to the place of its ticket: so who waits
/// for a query's limit holds up that query only, and who waits for the process nobody but those behind him.
///
/// Nobody waits for a thread. Whoever makes room, adds a waiter or takes one out notes that down in a list that takes
/// one compare-and-swap, and raises `requests_`; who raised it from zero drains: he alone looks at the queues, until he
/// has brought it back to zero. Others leave at once. (A thread that stops while it drains delays grants, and nothing
/// else: takes, returns, departures go on.)
///
/// No wake-up is lost. A node with a queue is announced like a decider, so that nothing below lies or goes into a
/// shard: every unit that comes back goes past them, through `on_room`. Who queues stores `waiting`, then looks for
/// room; who gives adds to `given`, then loads `waiting`. Both are seq_cst: one of them sees the other.
///
/// Threads: safe. Lock-free, but for the end of an account whose last handle a waiter had.
template <class Atomics>
class BudgetWaiters {
  public:
    using Tree = BudgetTree<Atomics>;
    using Node = BudgetNode<Atomics>;
    using Waiter = BudgetWaiter<Atomics>;

    explicit BudgetWaiters(Tree& tree) noexcept : tree_(tree) {}
    BudgetWaiters(const BudgetWaiters&) = delete;
    BudgetWaiters& operator=(const BudgetWaiters&) = delete;

    /// Only before the tree is shared.
    void set_listener(std::shared_ptr<WaitingListener> listener) noexcept { listener_ = std::move(listener); }

    /// Whether a node may have a queue.
    bool any() const noexcept { return count_.load() != 0; }

    /// Lets `waiter` wait, which `refused_by` had no room for. It may end before this returns. The caller must be an
    /// owner of its nodes besides, here and in `remove`.
    void add(std::shared_ptr<Waiter> waiter, Node& refused_by) noexcept;
    /// Takes out a waiter whose `leave` answered true.
    void remove(std::shared_ptr<Waiter> waiter) noexcept;

    /// Units came back at `node` and above, or its limit was raised. The caller is an owner of it.
    void on_room(Node& node) noexcept {
        if (any() && mark(node)) request();
    }

    /// The first level that somebody waits for; null if there is none.
    static Node* first_with_queue(const BudgetDemand<Atomics>& demand) noexcept;

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    bool mark(Node& node) noexcept;
    void request() noexcept;

    // Only for who drains.
    void drain() noexcept;
    template <class Item>
    static Item* take_in_order(Atomic<Item*>& list, Item* Item::* next) noexcept;
    void serve(Node& node) noexcept;
    bool serve_first(Node& node) noexcept;
    void serve_overtakers(Node& node) noexcept;
    bool grant(Waiter& waiter) noexcept;
    void end(Waiter& waiter) noexcept;
    void enter(Waiter& waiter, Node& node) noexcept;
    void exit(Waiter& waiter) noexcept;
    static Node* where_earlier_one_waits(const Waiter& waiter) noexcept;

    Tree& tree_;
    std::shared_ptr<WaitingListener> listener_;
    Atomic<std::uint64_t> count_{0}; // of waiters that were added and not let go
    Atomic<std::uint64_t> requests_{0};
    // Taken whole by who drains: there is no single pop that another could confuse.
    Atomic<Waiter*> arrivals_{nullptr};
    Atomic<Waiter*> departures_{nullptr};
    Atomic<Node*> marked_{nullptr};
};

template <class Atomics>
void BudgetWaiters<Atomics>::add(std::shared_ptr<Waiter> waiter, Node& refused_by) noexcept {
    auto& added = *waiter;
    added.refused_by_ = &refused_by;
    added.held_by_queue_ = std::move(waiter);
    if (count_.fetch_add(1) == 0 && listener_) listener_->on_waiting_changed();
    added.next_arrival_ = arrivals_.load();
    while (!arrivals_.compare_exchange_strong(added.next_arrival_, &added)) continue;
    request();
}

template <class Atomics>
void BudgetWaiters<Atomics>::remove(std::shared_ptr<Waiter> waiter) noexcept {
    auto& removed = *waiter;
    removed.held_by_departure_ = std::move(waiter);
    removed.next_departure_ = departures_.load();
    while (!departures_.compare_exchange_strong(removed.next_departure_, &removed)) continue;
    request();
}

/// True if there is a queue to be served on the way up.
template <class Atomics>
bool BudgetWaiters<Atomics>::mark(Node& node) noexcept {
    bool any_marked = false;
    for (auto* level = &node; level != nullptr; level = level->parent.load()) {
        if (level->waiting.load() == 0) continue;
        any_marked = true;
        if (level->is_marked.exchange(true)) continue; // it is in the list
        level->next_marked = marked_.load();
        while (!marked_.compare_exchange_strong(level->next_marked, level)) continue;
    }
    return any_marked;
}

template <class Atomics>
auto BudgetWaiters<Atomics>::first_with_queue(const BudgetDemand<Atomics>& demand) noexcept -> Node* {
    Node* found = nullptr;
    demand.for_each_level([&](Node& level, std::uint64_t) {
        if (level.waiting.load() != 0) found = &level;
        return found == nullptr;
    });
    return found;
}

template <class Atomics>
void BudgetWaiters<Atomics>::request() noexcept {
    if (requests_.fetch_add(1) != 0) return;
    for (std::uint64_t seen = 1; seen != 0;) {
        drain();
        seen = requests_.fetch_sub(seen) - seen;
    }
}

template <class Atomics>
void BudgetWaiters<Atomics>::drain() noexcept {
    for (auto* arrival = take_in_order(arrivals_, &Waiter::next_arrival_); arrival != nullptr;) {
        auto& waiter = *std::exchange(arrival, arrival->next_arrival_);
        if (waiter.has_ended()) {
            end(waiter);
        } else {
            enter(waiter, *waiter.refused_by_);
            mark(*waiter.refused_by_);
        }
    }
    for (auto* departure = departures_.exchange(nullptr); departure != nullptr;) {
        auto& waiter = *std::exchange(departure, departure->next_departure_);
        const auto held = std::move(waiter.held_by_departure_);
        if (waiter.queued_at_ == nullptr) continue; // not there yet, or no longer
        mark(*waiter.queued_at_);                   // those behind it may fit
        exit(waiter);
        end(waiter);
    }
    // In order, so lower levels first: who waits there may be in front of those who wait above.
    while (auto* node = take_in_order(marked_, &Node::next_marked)) {
        while (node != nullptr) {
            auto& served = *std::exchange(node, node->next_marked);
            served.is_marked.store(false); // before its figures are read: what changes afterwards marks it again
            serve(served);
        }
    }
}

/// All of a list, that which was pushed first in front.
template <class Atomics>
template <class Item>
Item* BudgetWaiters<Atomics>::take_in_order(Atomic<Item*>& list, Item* Item::* next) noexcept {
    Item* in_order = nullptr;
    for (auto* item = list.exchange(nullptr); item != nullptr;) {
        auto* const behind = std::exchange(item->*next, in_order);
        in_order = std::exchange(item, behind);
    }
    return in_order;
}

template <class Atomics>
void BudgetWaiters<Atomics>::serve(Node& node) noexcept {
    while (!node.queue.empty() && serve_first(node)) continue;
    if (!node.queue.empty() && node.overtakers.load(std::memory_order_relaxed) != 0) serve_overtakers(node);
}

/// Grants to those behind the first one what he leaves, as often and as much as this node allows. Looks at no more of
/// them than may overtake him at all, so that a long queue costs no more than a short one.
template <class Atomics>
void BudgetWaiters<Atomics>::serve_overtakers(Node& node) noexcept {
    auto& first = *node.queue.begin()->second;
    const auto most = node.overtakers.load(std::memory_order_relaxed);
    const auto most_units = node.overtaking_units.load(std::memory_order_relaxed);
    auto place = std::next(node.queue.begin());
    for (std::uint64_t looks = 0; place != node.queue.end() && looks < most; ++looks) {
        auto& waiter = *(place++)->second;
        if (first.overtaken_by_ >= most) return;
        const auto units = waiter.demand.units_at(node);
        if (waiter.has_ended() || units > most_units - std::min(most_units, first.overtaken_units_) ||
            where_earlier_one_waits(waiter) != nullptr)
            continue;
        if (!tree_.take_announced(waiter.demand).granted()) continue;
        exit(waiter);
        if (grant(waiter)) {
            ++first.overtaken_by_;
            first.overtaken_units_ += units;
        }
    }
}

/// False if the one who waits longest at this node must go on waiting.
template <class Atomics>
bool BudgetWaiters<Atomics>::serve_first(Node& node) noexcept {
    auto& waiter = *node.queue.begin()->second;
    if (waiter.has_ended()) {
        exit(waiter);
        end(waiter);
        return true;
    }
    if (auto* other = where_earlier_one_waits(waiter)) {
        exit(waiter);
        enter(waiter, *other);
        return true;
    }
    const auto outcome = tree_.take_announced(waiter.demand);
    if (outcome.granted()) {
        exit(waiter);
        grant(waiter);
        return true;
    }
    auto& refused_by = *const_cast<Node*>(outcome.refused_by);
    if (outcome.can_never_be()) {
        exit(waiter);
        if (waiter.leave()) waiter.on_refused(outcome);
        end(waiter);
        return true;
    }
    if (&refused_by == &node) return false;
    exit(waiter);
    enter(waiter, refused_by);
    mark(refused_by); // that node was not announced when it refused
    return true;
}

/// Hands over what was taken for a waiter that is in no queue any more; false if it left meanwhile.
template <class Atomics>
bool BudgetWaiters<Atomics>::grant(Waiter& waiter) noexcept {
    const bool is_wanted = waiter.leave();
    if (is_wanted) {
        waiter.on_granted();
    } else {
        for (std::size_t index = 0; index < waiter.demand.part_count(); ++index) {
            const auto part = waiter.demand.part(index);
            part.node->give(part.units);
            mark(*part.node);
        }
    }
    end(waiter);
    return is_wanted;
}

/// A level of its way, other than that of its queue, where somebody waits who came before.
template <class Atomics>
auto BudgetWaiters<Atomics>::where_earlier_one_waits(const Waiter& waiter) noexcept -> Node* {
    Node* found = nullptr;
    waiter.demand.for_each_level([&](Node& level, std::uint64_t) {
        const bool has_queue = &level != waiter.queued_at_ && !level.queue.empty();
        if (has_queue && level.queue.begin()->first < waiter.ticket) found = &level;
        return found == nullptr;
    });
    return found;
}

template <class Atomics>
void BudgetWaiters<Atomics>::enter(Waiter& waiter, Node& node) noexcept {
    if (node.queue.empty()) {
        node.waiting.store(1);
        tree_.announce_and_collect(node);
    }
    node.queue.insert(std::move(waiter.place_));
    node.waiting.store(node.queue.size());
    waiter.queued_at_ = &node;
}

template <class Atomics>
void BudgetWaiters<Atomics>::exit(Waiter& waiter) noexcept {
    auto& node = *std::exchange(waiter.queued_at_, nullptr);
    waiter.place_ = node.queue.extract(waiter.ticket);
    node.waiting.store(node.queue.size());
    if (node.queue.empty()) node.deciders.fetch_sub(1);
}

/// Lets go of a waiter that is in no queue and has ended.
template <class Atomics>
void BudgetWaiters<Atomics>::end(Waiter& waiter) noexcept {
    if (count_.fetch_sub(1) == 1 && listener_) listener_->on_waiting_changed();
    const auto held = std::move(waiter.held_by_queue_); // perhaps the last
}

} // namespace velostream
