// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_waiter.hpp"

#include <atomic>
#include <utility>

namespace velostream {

namespace {

using Waiters = BudgetWaiters<MachineAtomics>;

// One row for all trees, so that who waits for several of them keeps his turn. relaxed: a number, publishes nothing.
std::uint64_t next_ticket() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

MemoryWaiter::MemoryWaiter(MemoryAccount account, Bytes bytes)
    : BudgetWaiter(*account.node_, bytes, next_ticket()), account_(std::move(account)) {}

std::optional<Result<MemoryReservation>> MemoryWaiter::try_now() noexcept {
    auto* shard = &node.shard_of_this_thread();
    if (!shard->try_take(units)) {
        const auto outcome = account_.take_from_tree(units);
        if (!outcome.granted()) {
            if (units > outcome.limit) return account_.refusal(units, outcome);
            refused_by_ = const_cast<Node*>(outcome.refused_by);
            return std::nullopt;
        }
        shard = &node.shard_of_this_thread(); // it may have chosen one
    }
    return MemoryReservation{*shard, units};
}

void MemoryWaiter::wait(const std::shared_ptr<MemoryWaiter>& waiter) noexcept {
    const MemoryAccount owner = waiter->account_; // the waiter may be gone before `add` returns
    owner.node_->tree.waiters().add(shared(waiter), *waiter->refused_by_);
}

auto MemoryWaiter::shared(const std::shared_ptr<MemoryWaiter>& waiter) noexcept -> std::shared_ptr<BudgetWaiter> {
    return {waiter, waiter.get()};
}

bool MemoryWaiter::leave(const std::shared_ptr<MemoryWaiter>& waiter) noexcept {
    if (!waiter->BudgetWaiter::leave()) return false;
    const MemoryAccount owner = waiter->account_;
    owner.node_->tree.waiters().remove(shared(waiter));
    return true;
}

Error MemoryWaiter::why_waiting() const noexcept {
    auto* level = Waiters::first_with_queue(node);
    return account_.refusal(units, BudgetTree<MachineAtomics>::refused(level ? *level : *refused_by_, units));
}

void MemoryWaiter::on_granted() noexcept {
    // Any of its shards: this thread may have none of its own.
    on_end(MemoryReservation{node.shard(0), units});
}

void MemoryWaiter::on_refused(const Outcome& outcome) noexcept {
    on_end(account_.refusal(units, outcome));
}

} // namespace velostream
