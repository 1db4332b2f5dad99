// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What is wanted of one account, together with what is wanted of others.
struct MemoryDemand {
    MemoryAccount account;
    Bytes bytes = 0;
};

/// Demands on accounts of one tree, which are granted together.
class JointDemand {
  public:
    using Reservations = std::vector<MemoryReservation>;

    /// Allocates all that granting needs. Throws `std::invalid_argument` for no demand, for more than `most`, and for
    /// accounts of different trees.
    explicit JointDemand(std::vector<MemoryDemand> demands);

    static constexpr std::size_t most = BudgetDemand<MachineAtomics>::most_parts;
    /// Throws as the constructor if this is no number of demands on one tree.
    static void check_count(std::size_t demands);

    /// The same for all accounts of a tree; trees are ordered by it.
    static const void* tree_of(const MemoryAccount& account) noexcept { return &account.node_->tree; }

    /// Once.
    Result<Reservations> try_reserve() noexcept;

  private:
    friend class JointWaiter;
    using Tree = BudgetTree<MachineAtomics>;

    Tree::Outcome take() const noexcept;
    Reservations granted() noexcept;
    Error refusal(const Tree::Outcome& outcome) const noexcept;
    // The same for a call that does not wait; the tree's listener is told.
    Error refused(const Tree::Outcome& outcome) const noexcept;

    std::vector<MemoryDemand> demands_;
    BudgetDemand<MachineAtomics> together_;
    Reservations reservations_; // empty, with room for all
};

/// Reserves all of `demands`, or nothing: a refusal changes nothing anywhere, not even for a moment. In their order.
///
/// The accounts must belong to one tree, as those of one `ResourceManager` do; at most 8 of them. For several trees see
/// `async_reserve_all`.
///
/// Errors:  as `MemoryAccount::try_reserve`. Throws `std::invalid_argument` for no demand, for more than eight, and for
///          accounts of different trees.
/// Threads: safe; lock-free.
[[nodiscard]] Result<std::vector<MemoryReservation>> try_reserve_all(std::vector<MemoryDemand> demands);

/// As `MemoryWaiter`, for demands that are granted together.
class JointWaiter : private BudgetWaiter<MachineAtomics> {
  public:
    using Reservations = JointDemand::Reservations;

    explicit JointWaiter(JointDemand wanted);

    /// All of it, if there is room now; the refusal, if waiting could not help; nothing if it could. Once.
    std::optional<Result<Reservations>> try_now() noexcept;
    static void wait(const std::shared_ptr<JointWaiter>& waiter) noexcept;
    static bool leave(const std::shared_ptr<JointWaiter>& waiter) noexcept;
    /// What a call would be told that was refused now as this one was; nothing if it has not been refused yet.
    std::optional<Error> why_waiting() const noexcept;

  private:
    virtual void on_end(Result<Reservations> result) noexcept = 0;

    void on_granted() noexcept final;
    void on_refused(const Outcome& outcome) noexcept final;

    JointDemand demand_;
};

} // namespace velostream
