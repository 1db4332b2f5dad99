// SPDX-License-Identifier: Apache-2.0
// A pool plan under random events, beside a plain account of what it was told and what it asked for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "velostream/core/pool_plan.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using Kind = PoolAction::Kind;
using Return = PoolPlan::Return;

/// Whoever runs the plan: opens, checks, resets and closes what it is told to, when chance has it.
class World {
  public:
    explicit World(std::uint32_t seed) : random_(seed), rules_(random_rules()), plan_(rules_, seed, now_) {
        most_allowed_ = rules_.max_size;
    }

    void step() {
        const auto what = pick(12);
        if (what == 10) return let_time_pass();
        if (what < 3 && borrow_warm()) return;
        if (warm_) tell_of_return();
        switch (what) {
            case 0:
            case 1:
            case 2:
                return borrow();
            case 3:
                return leave();
            case 4:
            case 5:
                return give_back();
            case 6:
            case 7:
                return end_open();
            case 8:
                return end_check_or_reset();
            case 9:
                return end_close();
            default:
                return turn_something();
        }
    }

    /// The server is well, borrowers bring back what they have, and nobody comes any more.
    void come_to_rest() {
        is_server_up_ = true;
        for (int rounds = 0; rounds < 20'000; ++rounds) {
            if (warm_) tell_of_return();
            while (!lent_.empty()) give_back_some();
            while (!opening_.empty()) end_open();
            while (!checking_.empty() || !resetting_.empty()) end_check_or_reset();
            while (!closing_.empty()) end_close();
            const auto figures = plan_.figures();
            if (figures.active + figures.connecting != 0) continue;
            const auto kept = std::min(rules_.min_idle, plan_.rules().max_size);
            if (figures.waiting == 0 && (is_closed_ ? is_drained_ : figures.idle >= kept)) return;
            ASSERT_LT(plan_.due(), TimePoint::max())
                << "nothing will ever happen: " << figures.active << " active, " << figures.idle << " idle, "
                << figures.connecting << " connecting, " << figures.waiting << " waiting, at most "
                << plan_.rules().max_size << ", least idle " << rules_.min_idle;
            tick_at(plan_.due());
        }
        FAIL() << "never comes to rest";
    }
    void close() {
        if (warm_) tell_of_return();
        is_closed_ = true;
        after([this](auto& actions) { plan_.close(now_, actions); });
    }

  private:
    std::uint32_t pick(std::size_t below) { return static_cast<std::uint32_t>(random_() % below); }
    bool chance(std::uint32_t percent) { return pick(100) < percent; }

    PoolRules random_rules() {
        PoolRules rules;
        rules.max_size = 1 + pick(6);
        rules.min_idle = pick(rules.max_size + 1);
        rules.connect_limit = 1 + pick(4);
        rules.max_waiters = chance(50) ? 0 : 1 + pick(8);
        rules.connection_timeout = 1s;
        if (chance(50)) rules.idle_timeout = 2s;
        if (chance(50)) rules.max_lifetime = 3s;
        if (chance(50)) rules.keepalive = 1s;
        if (chance(50)) rules.leak_threshold = 1s;
        return rules;
    }

    template <class Event>
    void after(Event event) {
        PoolPlan::Actions actions;
        event(actions);
        for (const auto& action : actions) obey(action);
        check();
    }

    void obey(const PoolAction& action) {
        switch (action.kind) {
            case Kind::hand:
                serve(action.ticket);
                move_to(lent_, action.slot);
                break;
            case Kind::refuse:
                serve(action.ticket);
                break;
            case Kind::open:
                EXPECT_FALSE(where_.contains(action.slot)) << "two connections in one slot";
                move_to(opening_, action.slot);
                break;
            case Kind::give_up:
                EXPECT_EQ(where_[action.slot], &opening_);
                given_up_.push_back(action.slot);
                break;
            case Kind::check:
                move_to(checking_, action.slot);
                break;
            case Kind::reset:
                EXPECT_EQ(where_[action.slot], &lent_);
                move_to(resetting_, action.slot);
                break;
            case Kind::close:
                move_to(closing_, action.slot);
                break;
            case Kind::warn:
                EXPECT_EQ(where_[action.slot], &lent_);
                break;
            case Kind::drained:
                EXPECT_TRUE(is_closed_ && where_.empty() && !is_drained_);
                is_drained_ = true;
                break;
        }
    }

    // First come first served, whether it is a connection or a refusal; but who comes too late is refused at once.
    void serve(PoolTicket ticket) {
        if (ticket == coming_) {
            coming_ = 0;
            EXPECT_TRUE(true);
            return;
        }
        ASSERT_FALSE(line_.empty()) << "nobody waits";
        EXPECT_EQ(line_.front(), ticket) << "somebody was overtaken";
        line_.pop_front();
    }

    void check() {
        const auto figures = plan_.figures();
        EXPECT_EQ(figures.active + figures.idle + figures.connecting, figures.total);
        EXPECT_EQ(figures.total, where_.size());
        EXPECT_EQ(figures.connecting, opening_.size());
        EXPECT_EQ(figures.idle, idle_.size());
        EXPECT_EQ(figures.waiting, line_.size());
        most_allowed_ = std::max(plan_.rules().max_size, std::min(most_allowed_, figures.total));
        EXPECT_LE(figures.total, most_allowed_);
        EXPECT_LE(opening_.size() - given_up_.size(), rules_.connect_limit);
        // Idle and not checked for him: nobody lets one wait beside that.
        if (figures.waiting != 0 && figures.idle != 0) {
            EXPECT_GE(checking_.size(), figures.waiting);
        }
        if (figures.waiting != 0 && figures.total == 0) {
            EXPECT_LT(plan_.due(), TimePoint::max());
        }
    }

    using Slots = std::vector<PoolSlot>;
    void move_to(Slots& to, PoolSlot slot) {
        take_out(slot);
        to.push_back(slot);
        where_[slot] = &to;
    }
    void take_out(PoolSlot slot) {
        if (const auto known = where_.find(slot); known != where_.end()) {
            std::erase(*known->second, slot);
            where_.erase(known);
        }
    }
    // One of them by chance, out of its place among the idle until an action says otherwise.
    PoolSlot some_of(Slots& slots) { return slots[pick(slots.size())]; }

    void borrow() {
        if (const auto slot = plan_.try_borrow(now_)) {
            EXPECT_TRUE(line_.empty()) << "a newcomer overtook somebody";
            move_to(lent_, *slot);
            return check();
        }
        PoolPlan::Actions actions;
        const auto ticket = plan_.wait(now_, actions);
        const bool is_refused = std::ranges::any_of(
            actions, [&](const auto& action) { return action.kind == Kind::refuse && action.ticket == ticket; });
        if (is_refused)
            coming_ = ticket;
        else
            line_.push_back(ticket);
        for (const auto& action : actions) obey(action);
        check();
    }
    void leave() {
        if (line_.empty()) return;
        const auto ticket = line_[pick(line_.size())];
        std::erase(line_, ticket);
        after([&](auto& actions) { EXPECT_TRUE(plan_.leave(ticket, now_, actions)); });
        after([&](auto& actions) { EXPECT_FALSE(plan_.leave(ticket, now_, actions)); });
    }
    void give_back() {
        if (!lent_.empty() && !keep_warm()) give_back_some();
    }
    // What comes back clean lies ready for the next, and the plan is told later.
    bool keep_warm() {
        if (rules_.leak_threshold || !plan_.is_calm() || chance(50)) return false;
        const auto slot = some_of(lent_);
        if (now_ >= plan_.retire_at(slot)) return false;
        warm_ = slot;
        used_at_ = now_;
        move_to(warm_ones_, slot);
        return true;
    }
    bool borrow_warm() {
        if (!warm_ || now_ - used_at_ > rules_.validation_window) return false;
        move_to(lent_, *std::exchange(warm_, std::nullopt));
        return true;
    }
    void tell_of_return() {
        const auto slot = *std::exchange(warm_, std::nullopt);
        EXPECT_TRUE(plan_.is_calm());
        EXPECT_TRUE(line_.empty()) << "somebody waits beside it";
        PoolPlan::Actions actions;
        plan_.give_back(slot, Return::clean, used_at_, now_, actions);
        if (!says_where(actions, slot)) move_to(idle_, slot);
        for (const auto& action : actions) obey(action);
        check();
    }
    void expect_no_neglect() {
        if (!warm_) return;
        const auto lain = now_ - used_at_;
        if (rules_.keepalive) {
            EXPECT_LT(lain, *rules_.keepalive) << "it was to be checked";
        }
        if (rules_.idle_timeout && plan_.figures().total > rules_.min_idle) {
            EXPECT_LT(lain, *rules_.idle_timeout) << "nobody wanted it";
        }
        if (rules_.max_lifetime) {
            EXPECT_LT(now_, plan_.retire_at(*warm_)) << "it was to be replaced";
        }
    }
    void give_back_some() {
        const auto slot = some_of(lent_);
        constexpr Return ways[] = {Return::as_it_was, Return::clean, Return::used, Return::broken, Return::detached};
        const auto how = ways[pick(std::size(ways))];
        PoolPlan::Actions actions;
        plan_.give_back(slot, how, now_, actions);
        if (how == Return::detached)
            take_out(slot);
        else if (!says_where(actions, slot))
            move_to(idle_, slot);
        for (const auto& action : actions) obey(action);
        check();
    }
    void end_open() {
        if (opening_.empty()) return;
        const auto slot = some_of(opening_);
        std::erase(given_up_, slot);
        PoolPlan::Actions actions;
        if (is_server_up_) {
            plan_.opened(slot, now_, actions);
            if (!says_where(actions, slot)) move_to(idle_, slot);
        } else {
            take_out(slot);
            plan_.open_failed(slot, chance(20) ? ConnectFault::misconfigured : ConnectFault::passing, now_, actions);
        }
        for (const auto& action : actions) obey(action);
        check();
    }
    void end_check_or_reset() {
        auto& some = checking_.empty() ? resetting_ : checking_;
        if (some.empty()) return;
        const auto slot = some_of(some);
        const bool works = is_server_up_ && chance(90);
        PoolPlan::Actions actions;
        if (&some == &checking_)
            plan_.checked(slot, works, now_, actions);
        else
            plan_.was_reset(slot, works, now_, actions);
        if (!says_where(actions, slot)) move_to(idle_, slot);
        for (const auto& action : actions) obey(action);
        check();
    }
    void end_close() {
        if (closing_.empty()) return;
        const auto slot = some_of(closing_);
        take_out(slot);
        after([&](auto& actions) { plan_.was_closed(slot, now_, actions); });
    }
    static bool says_where(const PoolPlan::Actions& actions, PoolSlot slot) {
        return std::ranges::any_of(
            actions, [slot](const auto& action) { return action.slot == slot && action.kind != Kind::warn; });
    }
    void let_time_pass() {
        const auto until = now_ + Duration{std::chrono::milliseconds{pick(700)}};
        while (plan_.due() <= until) {
            const auto due = plan_.due();
            tick_at(due);
            ASSERT_GT(plan_.due(), due) << "ticks for ever";
        }
        now_ = std::max(now_, until);
        expect_no_neglect();
    }
    void tick_at(TimePoint at) {
        now_ = std::max(now_, at);
        if (warm_) tell_of_return();
        after([this](auto& actions) { plan_.tick(now_, actions); });
    }
    void turn_something() {
        if (chance(60)) is_server_up_ = !is_server_up_;
        if (chance(20)) {
            most_allowed_ = std::max(most_allowed_, plan_.figures().total);
            after([this](auto& actions) { plan_.resize(1 + pick(6), now_, actions); });
        }
    }

    std::minstd_rand random_;
    TimePoint now_{1h};
    PoolRules rules_;
    PoolPlan plan_;
    bool is_server_up_ = true, is_closed_ = false, is_drained_ = false;
    std::size_t most_allowed_ = 0;
    std::deque<PoolTicket> line_;
    PoolTicket coming_ = 0;
    std::optional<PoolSlot> warm_; // given back at `used_at_`, and the plan takes it for lent
    TimePoint used_at_{};
    Slots lent_, warm_ones_, idle_, opening_, given_up_, checking_, resetting_, closing_;
    std::map<PoolSlot, Slots*> where_;
};

TEST(PoolPlanModel, HoldsWhateverHappens) {
    for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        World world{seed};
        for (int steps = 0; steps < 300; ++steps) world.step();
        world.come_to_rest();
        if (seed % 2 == 0) {
            world.close();
            world.come_to_rest();
        }
        if (::testing::Test::HasFailure()) return;
    }
}

} // namespace
} // namespace velostream
