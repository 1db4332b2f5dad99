// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "velostream/core/budget_card.hpp"
#include "velostream/core/budget_demand.hpp"

namespace velostream {

template <class Atomics>
struct BudgetOutcome;
template <class Atomics>
class BudgetTree;
template <class Atomics>
class BudgetWaiters;
template <class Atomics>
class BudgetWaiting;

/// A request for units that waits until the nodes of a budget tree that it names have room for it. It ends once:
/// granted, refused because no waiting could help any more, or left by its owner.
///
/// Threads:  `on_granted` and `on_refused` are called by whichever thread made room, or came by.
/// Lifetime: shared by its owner and by the tree. It must own its nodes (handles of the accounts do).
template <class Atomics>
class BudgetWaiter {
  public:
    using Node = BudgetNode<Atomics>;
    using Demand = BudgetDemand<Atomics>;
    using Outcome = BudgetOutcome<Atomics>;

    /// Makes its places in lines, so that waiting allocates nothing. `ticket`, not zero, is the order of arrival.
    BudgetWaiter(const Demand& wanted, std::uint64_t ticket)
        : demand(wanted), card_(wanted.node->tree.waiters().lines().make_card(*this, wanted, ticket)) {
        demand.node->add_owner(); // and so the tree stays
    }
    BudgetWaiter(const BudgetWaiter&) = delete;
    BudgetWaiter& operator=(const BudgetWaiter&) = delete;
    virtual ~BudgetWaiter() {
        demand.node->tree.waiters().lines().take_back(card_);
        BudgetTree<Atomics>::drop_owner(demand.node);
    }

    const Demand demand;

  protected:
    friend class BudgetWaiters<Atomics>;
    friend class BudgetWaiting<Atomics>;

    /// The units are the waiter's now. Called once at most, and never together with `on_refused` or after its owner
    /// left. Must not block.
    virtual void on_granted() noexcept = 0;
    virtual void on_refused(const Outcome& outcome) noexcept = 0;

    const IndexWord::Index card_;
    std::shared_ptr<BudgetWaiter> held_; // while it is in lines; of who adds it, then of who ends it
};

} // namespace velostream
