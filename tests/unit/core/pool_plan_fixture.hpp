// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "velostream/core/pool_plan.hpp"

namespace velostream {

using namespace std::chrono_literals;
using Kind = PoolAction::Kind;
using Return = PoolPlan::Return;

/// A plan whose actions are taken one after the other, as a test says.
class PoolPlanTest : public ::testing::Test {
  protected:
    void make(const PoolRules& rules) { plan.emplace(rules, 1, now); }

    template <class Event>
    PoolPlan::Actions after(Event event) {
        PoolPlan::Actions actions;
        event(actions);
        return actions;
    }
    PoolPlan::Actions wait(PoolTicket* ticket = nullptr) {
        return after([&](auto& actions) {
            const auto mine = plan->wait(now, actions);
            if (ticket != nullptr) *ticket = mine;
        });
    }
    PoolPlan::Actions leave(PoolTicket ticket) {
        return after([&](auto& actions) { plan->leave(ticket, now, actions); });
    }
    PoolPlan::Actions give_back(PoolSlot slot, Return how = Return::clean) {
        return after([&](auto& actions) { plan->give_back(slot, how, now, actions); });
    }
    PoolPlan::Actions opened(PoolSlot slot) {
        return after([&](auto& actions) { plan->opened(slot, now, actions); });
    }
    PoolPlan::Actions open_failed(PoolSlot slot, ConnectFault fault = ConnectFault::passing) {
        return after([&](auto& actions) { plan->open_failed(slot, fault, now, actions); });
    }
    PoolPlan::Actions checked(PoolSlot slot, bool works) {
        return after([&](auto& actions) { plan->checked(slot, works, now, actions); });
    }
    PoolPlan::Actions closed(PoolSlot slot) {
        return after([&](auto& actions) { plan->was_closed(slot, now, actions); });
    }
    PoolPlan::Actions tick() {
        return after([&](auto& actions) { plan->tick(now, actions); });
    }
    /// Ticks as the plan wants it, for so long; what it asked for meanwhile.
    PoolPlan::Actions pass(Duration length) {
        PoolPlan::Actions all;
        const auto until = now + length;
        while (plan->due() <= until) {
            now = std::max(now, plan->due());
            for (const auto& action : tick()) {
                all.push_back(action);
                if (on_action) on_action(action);
            }
        }
        now = until;
        return all;
    }

    /// `count` connections, all idle.
    std::vector<PoolSlot> with_idle(std::size_t count) {
        std::vector<PoolSlot> lent;
        const std::function<void(const PoolPlan::Actions&)> obey = [&](const auto& actions) {
            for (const auto& action : actions) {
                if (action.kind == Kind::hand) lent.push_back(action.slot);
                if (action.kind == Kind::open) obey(opened(action.slot));
            }
        };
        while (lent.size() < count) obey(wait());
        for (const auto slot : lent) give_back(slot);
        return lent;
    }

    static std::size_t count(const PoolPlan::Actions& actions, Kind kind) {
        return static_cast<std::size_t>(std::ranges::count(actions, kind, &PoolAction::kind));
    }
    static PoolSlot slot_of(const PoolPlan::Actions& actions, Kind kind) {
        const auto found = std::ranges::find(actions, kind, &PoolAction::kind);
        return found != actions.end() ? found->slot : 0;
    }

    TimePoint now{1h};
    std::optional<PoolPlan> plan;
    std::function<void(const PoolAction&)> on_action; // during `pass`
};

} // namespace velostream
