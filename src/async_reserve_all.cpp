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

// Tries the steps from the one at hand on.
auto ReserveAllOperation::go_on() noexcept -> Progress {
    while (at_ < steps_.size()) { // nobody else moves it on
        auto now = steps_[at_]->try_now();
        if (!now) return {.must_wait = true};
        if (!*now) return end(now->error());
        if (!keep(std::move(**now))) return {};
    }
    return end(std::nullopt);
}

// Without an error everything is held. Nothing to tell if another thread has ended it.
auto ReserveAllOperation::end(std::optional<Error> error) noexcept -> Progress {
    Reservations held;
    {
        const std::scoped_lock lock{steps_mutex_};
        if (std::exchange(has_ended_, true)) return {};
        held.swap(held_);
    }
    if (!error) return {.end = std::move(held)};
    held.clear(); // before anybody is told
    return {.end = std::move(*error)};
}

// False if nobody wants them any more.
bool ReserveAllOperation::keep(Reservations reservations) noexcept {
    const std::scoped_lock lock{steps_mutex_};
    if (has_ended_) return false;
    const auto& places = steps_[at_]->places();
    for (std::size_t index = 0; index < places.size(); ++index) held_[places[index]] = std::move(reservations[index]);
    ++at_;
    return true;
}

void ReserveAllOperation::wait() noexcept {
    JointWaiter::wait({shared_from_this(), steps_[at_].get()});
}

void ReserveAllOperation::step_has_ended(Result<Reservations> result) noexcept {
    Progress progress;
    if (!result)
        progress = end(result.error());
    else if (keep(std::move(*result)))
        progress = go_on();
    if (progress.end) finish(std::move(*progress.end));
    if (progress.must_wait) wait();
}

// The step that it left; null if it has ended, or has everything.
std::shared_ptr<ReserveAllOperation::Step> ReserveAllOperation::leave() {
    std::shared_ptr<Step> step;
    Reservations held; // ends without the mutex
    {
        const std::scoped_lock lock{steps_mutex_};
        if (has_ended_ || at_ == steps_.size()) return nullptr;
        has_ended_ = true;
        held.swap(held_);
        step = {shared_from_this(), steps_[at_].get()};
    }
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
