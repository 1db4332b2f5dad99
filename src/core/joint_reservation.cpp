// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/joint_reservation.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "next_ticket.hpp"

namespace velostream {

using Waiters = BudgetWaiters<MachineAtomics>;

void JointDemand::check_count(std::size_t demands) {
    if (demands == 0 || demands > most)
        throw std::invalid_argument{"a joint reservation of " + std::to_string(demands) + " accounts: must be 1 to " +
                                    std::to_string(most)};
}

JointDemand::JointDemand(std::vector<MemoryDemand> demands) : demands_(std::move(demands)) {
    check_count(demands_.size());
    auto& first = demands_.front().account;
    together_.node = first.node_;
    for (const auto& [account, bytes] : demands_) {
        if (&account.node_->tree != &first.node_->tree)
            throw std::invalid_argument{"a joint reservation: account '" + std::string{account.name()} +
                                        "' is not of the tree of '" + std::string{first.name()} + "'"};
        if (bytes == 0) continue;
        if (together_.units == 0) {
            together_.node = account.node_;
            together_.units = bytes;
        } else {
            together_.extra[together_.extra_count++] = {account.node_, bytes};
        }
    }
    reservations_.reserve(demands_.size());
}

auto JointDemand::try_reserve() noexcept -> Result<Reservations> {
    const auto outcome = take();
    if (!outcome.granted()) return refusal(outcome);
    return granted();
}

auto JointDemand::take() const noexcept -> Tree::Outcome {
    return together_.units == 0 ? Tree::Outcome{} : Tree::take(together_);
}

auto JointDemand::granted() noexcept -> Reservations {
    for (const auto& [account, bytes] : demands_)
        reservations_.push_back(MemoryReservation{account.node_->shard(0), bytes});
    return std::move(reservations_);
}

// Of the first account that has the level above it.
Error JointDemand::refusal(const Tree::Outcome& outcome) const noexcept {
    const auto has_it_above = [&](const MemoryDemand& demand) {
        return demand.bytes != 0 && demand.account.node_->is_within(*outcome.refused_by);
    };
    return std::ranges::find_if(demands_, has_it_above)->account.refusal(outcome.asked, outcome);
}

Result<std::vector<MemoryReservation>> try_reserve_all(std::vector<MemoryDemand> demands) {
    return JointDemand{std::move(demands)}.try_reserve();
}

JointWaiter::JointWaiter(JointDemand wanted)
    : BudgetWaiter(wanted.together_, next_ticket()), demand_(std::move(wanted)), refused_by_(demand.node) {}

auto JointWaiter::try_now() noexcept -> std::optional<Result<Reservations>> {
    const auto outcome = demand_.take();
    if (outcome.granted()) return demand_.granted();
    if (outcome.can_never_be()) return demand_.refusal(outcome);
    refused_by_.store(const_cast<Node*>(outcome.refused_by), std::memory_order_relaxed);
    return std::nullopt;
}

void JointWaiter::wait(const std::shared_ptr<JointWaiter>& waiter) noexcept {
    const auto kept = waiter; // and with it the accounts, until `add` has returned
    auto& level = *kept->refused_by_.load(std::memory_order_relaxed);
    level.tree.waiters().add({kept, kept.get()}, level);
}

bool JointWaiter::leave(const std::shared_ptr<JointWaiter>& waiter) noexcept {
    const auto kept = waiter;
    if (!kept->BudgetWaiter::leave()) return false;
    kept->demand.node->tree.waiters().remove({kept, kept.get()});
    return true;
}

Error JointWaiter::why_waiting() const noexcept {
    const auto* level = Waiters::first_with_queue(demand);
    if (level == nullptr) level = refused_by_.load(std::memory_order_relaxed);
    return demand_.refusal(BudgetTree<MachineAtomics>::refused(*level, demand.units_at(*level)));
}

void JointWaiter::on_granted() noexcept {
    on_end(demand_.granted());
}

void JointWaiter::on_refused(const Outcome& outcome) noexcept {
    on_end(demand_.refusal(outcome));
}

} // namespace velostream
