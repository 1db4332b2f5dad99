// SPDX-License-Identifier: Apache-2.0
// What a pool plan does as time goes by: leaks, and the connections that are idle or may be.
#include <algorithm>

#include "velostream/core/pool_plan.hpp"

namespace velostream {

namespace {

using namespace std::chrono_literals;
using Kind = PoolAction::Kind;

constexpr Duration between_idle_closings = 100ms;

} // namespace

void PoolPlan::tick(TimePoint now, Actions& actions) {
    due_ = idle_since_ = TimePoint::max();
    warn_of_leaks(now, actions);
    look_after_idle(now, actions);
    settle(now, actions);
    for (const auto slot : idle_) idle_since_ = std::min(idle_since_, at(slot).used_at);
    for (const auto& connection : connections_) be_due_for(connection, now);
}

void PoolPlan::warn_of_leaks(TimePoint now, Actions& actions) {
    if (!rules_.leak_threshold || count(Stand::lent) == 0) return;
    for (PoolSlot slot = 1; slot <= connections_.size(); ++slot) {
        auto& connection = at(slot);
        if (connection.stand != Stand::lent || connection.is_warned) continue;
        if (now < saturating_add(connection.since, *rules_.leak_threshold)) continue;
        connection.is_warned = true;
        actions.push_back({.kind = Kind::warn, .slot = slot});
    }
}

void PoolPlan::look_after_idle(TimePoint now, Actions& actions) {
    const auto idle = idle_; // it changes meanwhile
    for (const auto slot : idle) {
        auto& connection = at(slot);
        if (may_retire(connection, now))
            retire(slot, now, actions);
        else if (rules_.keepalive && now >= connection.keep_alive_at)
            begin(slot, Stand::checking, {.kind = Kind::check}, now, actions);
    }
    if (!rules_.idle_timeout || now < next_idle_closing_ || idle_.size() <= rules_.min_idle) return;
    const auto longest = *std::ranges::min_element(idle_, {}, [this](PoolSlot slot) { return at(slot).used_at; });
    if (now < saturating_add(at(longest).used_at, *rules_.idle_timeout)) return;
    begin_close(longest, PoolClosing::idle, now, actions);
    next_idle_closing_ = saturating_add(now, between_idle_closings);
}

// The new one first, where there is room for both.
void PoolPlan::retire(PoolSlot slot, TimePoint now, Actions& actions) {
    space_retirements(now);
    const auto replaces_it = [slot](const Connection& other) { return other.replaces == slot; };
    if (std::ranges::any_of(connections_, replaces_it)) return;
    if (total() >= rules_.max_size || withheld_until_)
        begin_close(slot, PoolClosing::lifetime, now, actions);
    else if (has_room())
        open(now, actions, slot);
}

void PoolPlan::space_retirements(TimePoint now) noexcept {
    next_retirement_ = saturating_add(now, *rules_.max_lifetime / static_cast<Duration::rep>(2 * rules_.max_size));
}

} // namespace velostream
