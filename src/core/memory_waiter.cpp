// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_waiter.hpp"

#include <utility>

#include "next_ticket.hpp"

namespace velostream {

namespace {

using Tree = BudgetTree<MachineAtomics>;

} // namespace

MemoryWaiter::MemoryWaiter(MemoryAccount account, Bytes bytes)
    : BudgetWaiter({.node = account.node_, .units = bytes}, next_ticket()), account_(std::move(account)) {}

std::optional<Result<MemoryReservation>> MemoryWaiter::try_now() noexcept {
    auto& node = *account_.node_;
    auto* shard = &node.shard_of_this_thread();
    if (!shard->try_take(bytes())) {
        const auto outcome = account_.take_from_tree(bytes());
        if (!outcome.granted()) {
            if (outcome.can_never_be()) return account_.refusal(bytes(), outcome);
            node.tree.waiters().refused_at(*this, *outcome.refused_by);
            return std::nullopt;
        }
        shard = &node.shard_of_this_thread(); // it may have chosen one
    }
    return MemoryReservation{*shard, bytes()};
}

void MemoryWaiter::wait(const std::shared_ptr<MemoryWaiter>& waiter) noexcept {
    const MemoryAccount owner = waiter->account_; // the waiter may be gone before `add` returns
    auto& waiters = owner.node_->tree.waiters();
    auto& level = *waiters.refused_by(*waiter);
    waiters.add({waiter, waiter.get()}, level);
}

bool MemoryWaiter::leave(const std::shared_ptr<MemoryWaiter>& waiter) noexcept {
    const auto kept = waiter;
    const MemoryAccount owner = kept->account_;
    return owner.node_->tree.waiters().leave(*kept);
}

Error MemoryWaiter::why_waiting() const noexcept {
    const auto& level = *account_.node_->tree.waiters().refused_by(*this);
    return account_.refusal(bytes(), Tree::figures(level, bytes(), level.waiting_now()));
}

void MemoryWaiter::on_granted() noexcept {
    // Any of its shards: this thread may have none of its own.
    on_end(MemoryReservation{account_.node_->shard(0), bytes()});
}

void MemoryWaiter::on_refused(const Outcome& outcome) noexcept {
    on_end(account_.refusal(bytes(), outcome));
}

} // namespace velostream
