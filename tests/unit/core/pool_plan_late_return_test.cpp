// SPDX-License-Identifier: Apache-2.0
// A plan that is told only later of what came back, and may have been lent again meanwhile.
#include "unit/core/pool_plan_fixture.hpp"
#include "velostream/core/pool_plan.hpp"

namespace velostream {
namespace {

class LateReturnTest : public PoolPlanTest {
  protected:
    /// A plan of one connection, which is lent.
    PoolSlot lent_by(PoolRules rules) {
        rules.max_size = 1;
        rules.min_idle = 0;
        make(rules);
        with_idle(1);
        tick();
        return plan->try_borrow(now).value();
    }
    PoolPlan::Actions give_back_late(PoolSlot slot, TimePoint used_at) {
        return after([&](auto& actions) { plan->give_back(slot, Return::clean, used_at, now, actions); });
    }
};

TEST_F(LateReturnTest, CountsTheIdleTimeoutFromWhenItWasUsed) {
    const auto slot = lent_by({.idle_timeout = 60s});
    const auto used_at = now + 10s;
    now += 40s;

    EXPECT_TRUE(give_back_late(slot, used_at).empty());

    EXPECT_EQ(plan->figures().idle, 1u);
    EXPECT_TRUE(pass(29s).empty());
    EXPECT_EQ(pass(1s)[0].closing, PoolClosing::idle);
}

TEST_F(LateReturnTest, IsNoFresherThanItsLastUse) {
    const auto slot = lent_by({.validation_window = 500ms});
    const auto used_at = now + 100ms;
    now += 601ms;
    EXPECT_EQ(plan->seen_well(slot), now - 601ms);

    give_back_late(slot, used_at);

    EXPECT_EQ(plan->seen_well(slot), used_at);
    EXPECT_FALSE(plan->try_borrow(now));
    EXPECT_TRUE(plan->try_borrow(now - 1ms));
}

TEST_F(LateReturnTest, OneThatIsTooOldByNowIsClosed) {
    const auto slot = lent_by({.max_lifetime = 100s, .max_lifetime_jitter = 0});
    const auto used_at = now + 99s;
    EXPECT_EQ(plan->retire_at(slot), now + 100s);
    now += 101s;

    EXPECT_EQ(give_back_late(slot, used_at)[0].closing, PoolClosing::lifetime);
}

TEST_F(LateReturnTest, ATickIsDueAsIfWhatIsLentHadComeBack) {
    lent_by({.idle_timeout = 60s});
    EXPECT_LE(plan->due(), now + 60s);
    lent_by({.keepalive = 30s});
    EXPECT_LE(plan->due(), now + 27s) << "so early may a check be due";
    lent_by({.max_lifetime = 100s, .max_lifetime_jitter = 0});
    EXPECT_LE(plan->due(), now + 100s);
}

TEST_F(LateReturnTest, ATickIsDueAgainAsLongAsItIsLent) {
    lent_by({.idle_timeout = 60s});
    now += 60s;

    EXPECT_TRUE(tick().empty());

    EXPECT_EQ(plan->due(), now + 60s);
}

TEST_F(LateReturnTest, NoTickIsDueForWhatIsLentWhereNothingIsLookedAfter) {
    lent_by({});
    tick();

    EXPECT_EQ(plan->due(), TimePoint::max());
}

TEST_F(LateReturnTest, NoTickIsDueForTheIdleTimeoutOfThoseThatAreKeptReady) {
    make({.max_size = 1, .min_idle = 1, .idle_timeout = 60s});
    with_idle(1);
    tick();
    plan->try_borrow(now);
    tick();

    EXPECT_EQ(plan->due(), TimePoint::max());
}

TEST_F(LateReturnTest, IsCalmWhereNothingIsToBeDoneWithWhatComesBack) {
    make({.max_size = 2, .min_idle = 0});
    const auto slots = with_idle(2);
    EXPECT_TRUE(plan->is_calm());
    EXPECT_FALSE(plan->has_lent());
    plan->try_borrow(now);
    plan->try_borrow(now);
    EXPECT_TRUE(plan->is_calm());
    EXPECT_TRUE(plan->has_lent());

    PoolTicket ticket = 0;
    wait(&ticket);
    EXPECT_FALSE(plan->is_calm()) << "it is the one's who waits";
    leave(ticket);
    EXPECT_TRUE(plan->is_calm());

    after([&](auto& actions) { plan->resize(1, now, actions); });
    EXPECT_FALSE(plan->is_calm()) << "it is closed";
    give_back(slots[0], Return::broken);
    EXPECT_TRUE(plan->is_calm());

    after([&](auto& actions) { plan->close(now, actions); });
    EXPECT_FALSE(plan->is_calm()) << "it is closed";
}

TEST_F(LateReturnTest, IsNotCalmWhereChecksFailAndAllIdleOnesAreChecked) {
    make({.max_size = 3, .min_idle = 0, .connect_limit = 3});
    const auto slots = with_idle(3);
    now += 10s;
    for (const auto dead : {slots[2], slots[1]}) {
        EXPECT_TRUE(plan->is_calm());
        PoolTicket ticket = 0;
        wait(&ticket);
        leave(ticket);
        checked(dead, false);
    }

    EXPECT_FALSE(plan->is_calm());
}

} // namespace
} // namespace velostream
