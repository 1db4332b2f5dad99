// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "velostream/core/budget_demand.hpp"

namespace velostream {

template <class Atomics>
struct BudgetOutcome;
template <class Atomics>
class BudgetWaiters;

/// A request for units that waits until the nodes of a budget tree that it names have room for it. It ends once:
/// granted, refused because no waiting could help any more, or left by its owner.
///
/// Threads:  `leave` from any thread, `on_granted` and `on_refused` from whichever thread made room.
/// Lifetime: shared by its owner and by the tree. It must own its nodes (handles of the accounts do).
template <class Atomics>
class BudgetWaiter {
  public:
    using Node = BudgetNode<Atomics>;
    using Demand = BudgetDemand<Atomics>;
    using Outcome = BudgetOutcome<Atomics>;

    /// Makes room in advance for its place in a queue, so that waiting allocates nothing.
    BudgetWaiter(const Demand& wanted, std::uint64_t its_ticket) : demand(wanted), ticket(its_ticket) {
        Queue one{{ticket, this}};
        place_ = one.extract(one.begin());
    }
    BudgetWaiter(const BudgetWaiter&) = delete;
    BudgetWaiter& operator=(const BudgetWaiter&) = delete;
    virtual ~BudgetWaiter() = default;

    const Demand demand;
    const std::uint64_t ticket; ///< the order of arrival

    /// Ends the wait, for whoever wants it no longer. False if it has ended: then it is or was told otherwise.
    /// Afterwards `BudgetWaiters::remove` must be told.
    bool leave() noexcept { return !ended_.exchange(true); }

  protected:
    friend class BudgetWaiters<Atomics>;
    friend struct BudgetNode<Atomics>;
    using Queue = std::map<std::uint64_t, BudgetWaiter*>;

    /// The units are the waiter's now. Called once at most, and never together with `on_refused` or a true `leave`.
    /// Must not block.
    virtual void on_granted() noexcept = 0;
    virtual void on_refused(const Outcome& outcome) noexcept = 0;

    bool has_ended() const noexcept { return ended_.load(); }

    // All of this is for `BudgetWaiters`.
    typename Atomics::template Atomic<bool> ended_{false};
    // Of the thread that adds it, then of the one that drains.
    BudgetWaiter* next_arrival_ = nullptr;
    Node* refused_by_ = nullptr;
    std::shared_ptr<BudgetWaiter> held_by_queue_;
    // Of the thread that drains.
    Node* queued_at_ = nullptr;       // null while it is in no queue
    typename Queue::node_type place_; // empty while it is in one
    std::uint64_t overtaken_by_ = 0;  // while it was the first
    std::uint64_t overtaken_units_ = 0;
    // Of the thread whose `leave` was true, then of the one that drains.
    BudgetWaiter* next_departure_ = nullptr;
    std::shared_ptr<BudgetWaiter> held_by_departure_;
};

} // namespace velostream
