// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <utility>

#include "velostream/connection_pool_state.hpp"

// How a connection pool lends and takes back where the warm place is of no help, and what keeps that place in step with
// the plan.
namespace velostream::detail {

// `stale` lay in the warm place for too long: the plan knows what is to be done with it.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
auto ConnectionPoolState<Factory, Time, Memory>::try_borrow_of_plan(Pooled* stale,
                                                                    const std::source_location& where) noexcept
    -> std::optional<Lease> {
    Unlocked after;
    Ended ended;
    const std::scoped_lock lock{mutex()};
    locked_begin();
    if (stale) locked_tell_of_return(*stale);
    std::optional<Lease> lease;
    if (const auto slot = plan_.try_borrow(now_)) {
        ++counted_.lent_at_once;
        lease.emplace(locked_lend(*slot, where));
    }
    locked_end_lightly(ended, after);
    return lease;
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::give_back_to_plan(Pooled& pooled, Return how) noexcept {
    Unlocked after;
    Ended ended;
    const std::scoped_lock lock{mutex()};
    locked_begin();
    if (how == Return::clean || how == Return::as_it_was) {
        locked_tell_of_return(pooled);
    } else {
        const auto slot = pooled.slot;
        if (how == Return::detached) {
            ++counted_.detached;
            orphans_.push_back(locked_take_out(slot));
        }
        plan_.give_back(slot, how, now_, actions_);
    }
    locked_yield();
    locked_end_lightly(ended, after);
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_begin() noexcept {
    now_ = locked_line().empty() ? time().coarse_now() : time().now(); // which says how long somebody waited
    locked_shut();
}

// Where there is nothing for the line and nothing to be done there is little to see to.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_end_lightly(Ended& ended, Unlocked& after) noexcept {
    if (!actions_.empty() || !orphans_.empty()) [[unlikely]]
        return locked_finish(ended, after);
    if (plan_.due() < alarm_at_) locked_set_alarm();
    locked_open();
}

// It was given back clean or untouched, perhaps a while ago.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_tell_of_return(Pooled& pooled) noexcept {
    if (pooled.was_used)
        plan_.give_back(pooled.slot, Return::clean, pooled.seen_well, now_, actions_);
    else
        plan_.give_back(pooled.slot, Return::as_it_was, now_, actions_);
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_shut() noexcept {
    if (!std::exchange(is_open_, false)) return;
    if (auto* const warm = warm_.shut()) locked_tell_of_return(*warm);
}

// Whoever is warned of leaks wants to know of every borrower.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_open() noexcept {
    if (is_open_ || config_.leak_threshold || !plan_.is_calm() || !plan_.has_lent()) return;
    is_open_ = true;
    warm_.open();
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
auto ConnectionPoolState<Factory, Time, Memory>::locked_take_out(PoolSlot slot) noexcept -> std::unique_ptr<Pooled> {
    auto pooled = std::move(seats_[slot - 1].pooled);
    if (pooled)
        counted_.lent_at_once += pooled->lent_warm.load(std::memory_order_relaxed); // of the past: nobody has it
    return pooled;
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
auto ConnectionPoolState<Factory, Time, Memory>::locked_lend(PoolSlot slot, const std::source_location& where) noexcept
    -> Lease {
    constexpr Duration most_behind = std::chrono::milliseconds{100}; // the coarse clock, with room to spare
    auto& pooled = *seats_[slot - 1].pooled;
    pooled.borrowed_at = where;
    pooled.seen_well = plan_.seen_well(slot);
    pooled.warm_until = plan_.retire_at(slot) - most_behind;
    pooled.was_used = false;
    return Lease{*this, pooled};
}

} // namespace velostream::detail
