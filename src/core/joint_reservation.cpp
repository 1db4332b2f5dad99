// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/joint_reservation.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

#include "next_ticket.hpp"

namespace velostream {

using Tree = BudgetTree<MachineAtomics>;

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
    if (!outcome.granted()) return refused(outcome);
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
    const auto first = std::ranges::find_if(demands_, has_it_above);
    const bool with_others = std::any_of(std::next(first), demands_.end(), [&](const MemoryDemand& demand) {
        return has_it_above(demand) && demand.account != first->account;
    });
    return first->account.refusal(outcome.asked, outcome, with_others);
}

// Told of the level that lacks room, since that is asked for the sum.
Error JointDemand::refused(const Tree::Outcome& outcome) const noexcept {
    auto& level = const_cast<Tree::Node&>(*outcome.refused_by);
    auto* const listener = level.tree.waiters().listener();
    if (listener != nullptr && !outcome.can_never_be()) {
        level.add_owner();
        listener->on_refused(MemoryAccount{level}, outcome.asked);
    }
    return refusal(outcome);
}

Result<std::vector<MemoryReservation>> try_reserve_all(std::vector<MemoryDemand> demands) {
    return JointDemand{std::move(demands)}.try_reserve();
}

JointWaiter::JointWaiter(JointDemand wanted)
    : BudgetWaiter(wanted.together_, next_ticket()), demand_(std::move(wanted)) {}

auto JointWaiter::try_now() noexcept -> std::optional<Result<Reservations>> {
    const auto outcome = demand_.take();
    if (outcome.granted()) return demand_.granted();
    if (outcome.can_never_be()) return demand_.refusal(outcome);
    demand.node->tree.waiters().refused_at(*this, *outcome.refused_by);
    return std::nullopt;
}

void JointWaiter::wait(const std::shared_ptr<JointWaiter>& waiter) noexcept {
    const auto kept = waiter; // and with it the accounts, until `add` has returned
    auto& waiters = kept->demand.node->tree.waiters();
    waiters.add({kept, kept.get()}, *waiters.refused_by(*kept));
}

bool JointWaiter::leave(const std::shared_ptr<JointWaiter>& waiter) noexcept {
    const auto kept = waiter;
    return kept->demand.node->tree.waiters().leave(*kept);
}

std::optional<Error> JointWaiter::why_waiting() const noexcept {
    const auto* const level = demand.node->tree.waiters().refused_by(*this);
    if (level == nullptr) return std::nullopt;
    return demand_.refusal(Tree::figures(*level, demand.units_at(*level), level->waiting_now()));
}

void JointWaiter::on_granted() noexcept {
    on_end(demand_.granted());
}

void JointWaiter::on_refused(const Outcome& outcome) noexcept {
    on_end(demand_.refusal(outcome));
}

} // namespace velostream
