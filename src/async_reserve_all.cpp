// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve_all.hpp"

#include <functional>
#include <map>
#include <utility>

namespace velostream::detail {

void check_demands(const std::vector<MemoryDemand>& demands) {
    std::map<const void*, std::size_t> of_tree;
    for (const auto& demand : demands) ++of_tree[JointDemand::tree_of(demand.account)];
    if (of_tree.empty()) JointDemand::check_count(0);
    for (const auto& [tree, count] : of_tree) JointDemand::check_count(count);
}

void ReserveAllOperation::make_steps(std::vector<MemoryDemand> demands) {
    struct OfOneTree {
        std::vector<MemoryDemand> demands;
        std::vector<std::size_t> places;
    };
    std::map<const void*, OfOneTree, std::less<>> trees;
    held_.resize(demands.size());
    for (std::size_t place = 0; place < demands.size(); ++place) {
        auto& tree = trees[JointDemand::tree_of(demands[place].account)];
        tree.demands.push_back(std::move(demands[place]));
        tree.places.push_back(place);
    }
    for (auto& [address, tree] : trees)
        steps_.push_back(std::make_unique<Step>(*this, JointDemand{std::move(tree.demands)}, std::move(tree.places)));
}

// Tries the steps from the one at hand on; the turn is this thread's. What it ends with, if this thread is to tell
// that: else it waits, or another thread has ended it.
auto ReserveAllOperation::go_on(Turn mine) noexcept -> std::optional<Result<Reservations>> {
    while (mine.step < steps_.size()) {
        auto& step = *steps_[mine.step];
        auto now = step.try_now();
        if (now && !*now) return end(mine, now->error());
        if (now) keep(std::move(**now), step);
        const auto next = now ? Turn{mine.step + 1, Turn::Of::thread} : Turn{mine.step, Turn::Of::nobody};
        if (!turn_.compare_exchange_strong(mine, next)) return held_.clear(), std::nullopt;
        if (!now) return std::nullopt;
        mine = next;
    }
    return end(mine, std::nullopt);
}

// Without an error everything is held.
auto ReserveAllOperation::end(Turn mine, std::optional<Error> error) noexcept -> std::optional<Result<Reservations>> {
    const bool is_mine = turn_.compare_exchange_strong(mine, {mine.step, Turn::Of::ended});
    if (!is_mine || error) held_.clear(); // before anybody is told
    if (!is_mine) return std::nullopt;
    if (error) return std::move(*error);
    return std::move(held_);
}

void ReserveAllOperation::keep(Reservations reservations, const Step& step) noexcept {
    const auto& places = step.places();
    for (std::size_t index = 0; index < places.size(); ++index) held_[places[index]] = std::move(reservations[index]);
}

// The step that was tried last; where somebody has left it meanwhile it has ended.
void ReserveAllOperation::wait() noexcept {
    JointWaiter::wait({shared_from_this(), steps_[turn_.load().step].get()});
}

void ReserveAllOperation::step_has_ended(Result<Reservations> result) noexcept {
    auto turn = turn_.load();
    const Turn mine{turn.step, Turn::Of::thread};
    if (turn.of != Turn::Of::nobody || !turn_.compare_exchange_strong(turn, mine)) return; // given up: nobody wants it
    std::optional<Result<Reservations>> last;
    if (!result) {
        last = end(mine, result.error());
    } else {
        keep(std::move(*result), *steps_[mine.step]);
        const Turn next{mine.step + 1, Turn::Of::thread};
        auto seen = mine;
        if (!turn_.compare_exchange_strong(seen, next)) return held_.clear();
        last = go_on(next);
    }
    if (last) return finish(std::move(*last));
    if (turn_.load().of == Turn::Of::nobody) wait();
}

// The step that it left; null if it has ended, or has everything.
std::shared_ptr<ReserveAllOperation::Step> ReserveAllOperation::leave() {
    auto turn = turn_.load();
    do
        if (turn.of == Turn::Of::ended || turn.step == steps_.size()) return nullptr;
    while (!turn_.compare_exchange_weak(turn, {turn.step, Turn::Of::ended}));
    if (turn.of == Turn::Of::nobody) held_.clear(); // else the thread that tries does it
    const std::shared_ptr<Step> step{shared_from_this(), steps_[turn.step].get()};
    JointWaiter::leave(step); // where it is just being tried, or granted, nobody keeps that
    return step;
}

void ReserveAllOperation::give_up(Errc why) {
    const auto step = leave();
    if (!step) return;
    finish(given_up(why, [&step] { return step->why_waiting(); }));
}

void ReserveAllOperation::leave_queue() noexcept {
    leave();
}

} // namespace velostream::detail
