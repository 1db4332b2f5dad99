// SPDX-License-Identifier: Apache-2.0
// A pool plan whose connects fail, or do not end; and what time does to the connections that it has.
#include <set>

#include "unit/core/pool_plan_fixture.hpp"

namespace velostream {
namespace {

class PoolPlanOutageTest : public PoolPlanTest {
  protected:
    /// Every connect fails at once.
    void refuse_connects(ConnectFault fault = ConnectFault::passing) {
        on_action = [this, fault](const PoolAction& action) {
            if (action.kind == Kind::open) fail(action.slot, fault);
        };
    }
    void fail(PoolSlot slot, ConnectFault fault = ConnectFault::passing) {
        probes.push_back(now);
        for (const auto& action : open_failed(slot, fault)) refusals += action.kind == Kind::refuse ? 1u : 0u;
    }
    Duration longest_between_probes() const {
        Duration longest{0};
        for (std::size_t index = 1; index < probes.size(); ++index)
            longest = std::max<Duration>(longest, probes[index] - probes[index - 1]);
        return longest;
    }
    Duration shortest_between_probes() const {
        auto shortest = Duration::max();
        for (std::size_t index = 1; index < probes.size(); ++index)
            shortest = std::min<Duration>(shortest, probes[index] - probes[index - 1]);
        return shortest;
    }

    std::vector<TimePoint> probes;
    std::size_t refusals = 0;
};

constexpr PoolRules plain{.max_size = 8, .min_idle = 0, .connect_limit = 4, .connection_timeout = 1s};

TEST_F(PoolPlanOutageTest, AFailedConnectRefusesAllWhoWaitAndWhoComesRightAfter) {
    make(plain);
    const auto slot = slot_of(wait(), Kind::open);
    for (int other = 0; other < 5; ++other) wait();

    fail(slot);
    EXPECT_EQ(refusals, 6u);

    PoolTicket late = 0;
    now += 100ms;
    const auto actions = wait(&late);
    EXPECT_EQ(actions,
              (PoolPlan::Actions{{.kind = Kind::refuse, .ticket = late, .refusal = PoolRefusal::connect_failed}}));
    EXPECT_TRUE(plan->is_failing());
}

TEST_F(PoolPlanOutageTest, WhoWaitsGoesOnWhereSomethingMayComeBack) {
    make(plain);
    with_idle(1);
    const auto lent = plan->try_borrow(now).value();
    const auto slot = slot_of(wait(), Kind::open);

    fail(slot);

    EXPECT_EQ(refusals, 0u);
    EXPECT_EQ(count(wait(), Kind::refuse), 0u) << "and who comes waits, too";
    EXPECT_EQ(count(give_back(lent), Kind::hand), 1u);
}

TEST_F(PoolPlanOutageTest, WhatIsBeingResetOrCheckedMayComeBackToo) {
    make(plain);
    const auto slot = with_idle(1)[0];
    plan->try_borrow(now);
    give_back(slot, Return::used);
    wait();
    fail(slot_of(wait(), Kind::open));
    EXPECT_EQ(refusals, 0u);

    after([&](auto& actions) { plan->was_reset(slot, true, now, actions); });
    EXPECT_EQ(plan->figures().waiting, 1u);
}

TEST_F(PoolPlanOutageTest, OneProbeAtATimeEvery200To250MsWhileSomebodyCares) {
    make(plain);
    refuse_connects();
    fail(slot_of(wait(), Kind::open));

    pass(1s); // `connection_timeout` after the refusal

    EXPECT_GE(probes.size(), 5u);
    EXPECT_LE(longest_between_probes(), 250ms);
    EXPECT_GE(shortest_between_probes(), 200ms);
}

TEST_F(PoolPlanOutageTest, WhenNobodyCaresProbesForWhatIsKeptReadyBecomeRareUpToHalfAMinute) {
    make({.max_size = 8, .min_idle = 1, .connect_limit = 4, .connection_timeout = 1s});
    refuse_connects();
    pass(10min);

    ASSERT_GE(probes.size(), 4u);
    EXPECT_LE(longest_between_probes(), 30s);
    EXPECT_GE(probes.back() - probes[probes.size() - 2], 24s);
    EXPECT_LT(probes.size(), 40u);
}

TEST_F(PoolPlanOutageTest, WithoutAnythingToKeepReadyNobodyProbesForNobody) {
    make(plain);
    refuse_connects();
    fail(slot_of(wait(), Kind::open));
    pass(1s);
    probes.clear();

    pass(1h);

    EXPECT_TRUE(probes.empty());
}

TEST_F(PoolPlanOutageTest, WhoComesAfterALongSilenceHasAProbeAtOnce) {
    make({.max_size = 8, .min_idle = 1, .connect_limit = 4, .connection_timeout = 1s});
    refuse_connects();
    pass(5min);
    now = std::max(now, probes.back() + 1s);

    const auto actions = wait();

    EXPECT_EQ(count(actions, Kind::refuse), 0u) << "the last failure is old";
    EXPECT_EQ(count(actions, Kind::open), 1u);
}

TEST_F(PoolPlanOutageTest, AfterTheFirstSuccessConnectsRampUp) {
    make({.max_size = 20, .min_idle = 0, .connect_limit = 8, .connection_timeout = 10s});
    with_idle(1);
    plan->try_borrow(now); // something may come back, so that they go on waiting
    std::vector<PoolSlot> opening;
    on_action = [&](const PoolAction& action) {
        if (action.kind == Kind::open) opening.push_back(action.slot);
    };
    auto failing = wait();
    for (int other = 0; other < 15; ++other)
        for (const auto& action : wait()) failing.push_back(action);
    for (const auto& action : failing)
        if (action.kind == Kind::open) open_failed(action.slot);
    pass(300ms);
    ASSERT_EQ(opening.size(), 1u) << "the probe";

    const auto second = opened(opening[0]);
    ASSERT_EQ(count(second, Kind::open), 2u);
    EXPECT_FALSE(plan->is_failing());
    auto third = opened(second[1].slot);
    EXPECT_EQ(plan->figures().connecting, 4u);
}

TEST_F(PoolPlanOutageTest, WhoRefusesOurNameIsAskedTenTimesLessOften) {
    make(plain);
    refuse_connects(ConnectFault::misconfigured);
    fail(slot_of(wait(), Kind::open), ConnectFault::misconfigured);
    EXPECT_TRUE(plan->is_misconfigured());
    now += 2s;
    EXPECT_EQ(count(wait(), Kind::refuse), 1u) << "that is news for so much longer";

    on_action = [this](const PoolAction& action) {
        if (action.kind != Kind::open) return;
        fail(action.slot, ConnectFault::misconfigured);
    };
    for (int second = 0; second < 20; ++second) { // somebody cares all the time
        wait();
        pass(500ms);
    }

    EXPECT_GE(shortest_between_probes(), 2s);
    EXPECT_LE(longest_between_probes(), 2500ms);
}

TEST_F(PoolPlanOutageTest, ThatTheNameIsRefusedMayBeLearntLater) {
    make(plain);
    const auto first = slot_of(wait(), Kind::open);
    const auto second = slot_of(wait(), Kind::open);
    fail(first);
    const auto began = now;

    fail(second, ConnectFault::misconfigured);

    on_action = [this](const PoolAction& action) {
        if (action.kind == Kind::open) probes.push_back(now);
    };
    probes.clear();
    for (int round = 0; round < 5; ++round) {
        wait();
        pass(500ms);
    }
    ASSERT_FALSE(probes.empty());
    EXPECT_GE(probes[0] - began, 2s);
}

TEST_F(PoolPlanOutageTest, AnOldOneIsKeptUntilTheOutageIsOver) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .connection_timeout = 1s, .max_lifetime = 10s});
    const auto slots = with_idle(2);
    const auto lent = plan->try_borrow(now).value();
    plan->try_borrow(now);
    fail(slot_of(wait(), Kind::open));
    give_back(lent);

    EXPECT_EQ(count(pass(1min), Kind::close), 0u);
    EXPECT_TRUE(give_back(slots[0], Return::clean).empty());
}

TEST_F(PoolPlanOutageTest, AConnectThatNobodyWaitsForMayTakeItsTime) {
    make({.max_size = 4, .min_idle = 1, .connect_limit = 4});
    ASSERT_EQ(count(tick(), Kind::open), 1u);

    EXPECT_TRUE(pass(1min).empty());
}

// The server is a black hole: nothing ever ends.
TEST_F(PoolPlanOutageTest, AConnectThatHangsHoldsUpNoOther) {
    make({.max_size = 8, .min_idle = 0, .connect_limit = 3, .connection_timeout = 30s});
    std::vector<PoolSlot> given_up;
    std::size_t opens = 0;
    on_action = [&](const PoolAction& action) {
        opens += action.kind == Kind::open ? 1u : 0u;
        if (action.kind == Kind::give_up) given_up.push_back(action.slot);
    };
    const auto first = slot_of(wait(), Kind::open);
    EXPECT_EQ(plan->pending_since(), now);

    pass(249ms);
    EXPECT_EQ(opens, 0u) << "it is not late yet";
    pass(500ms);
    EXPECT_EQ(opens, 3u);
    EXPECT_EQ(given_up.size(), 1u) << "three at once";
    for (int rounds = 0; rounds < 20; ++rounds) {
        for (const auto slot : std::exchange(given_up, {})) {
            EXPECT_NE(slot, first) << "the oldest keeps its time";
            open_failed(slot);
        }
        pass(250ms);
    }
    EXPECT_GE(opens, 20u);
    EXPECT_FALSE(plan->is_failing()) << "nothing has failed";

    EXPECT_EQ(count(opened(first), Kind::hand), 1u);
}

TEST_F(PoolPlanOutageTest, AConnectIsTakenForHungAfterTwiceTheTimeOfTheLast) {
    make({.max_size = 8, .min_idle = 0, .connect_limit = 3, .connection_timeout = 30s});
    const auto slot = slot_of(wait(), Kind::open);
    pass(200ms);
    opened(slot);
    wait();
    std::size_t opens = 0;
    on_action = [&](const PoolAction& action) { opens += action.kind == Kind::open ? 1u : 0u; };

    pass(400ms - 1ns);
    EXPECT_EQ(opens, 0u);
    pass(1ns);
    EXPECT_EQ(opens, 1u);
}

TEST_F(PoolPlanOutageTest, HowLongAConnectTakesIsNotLearntFromOneThatWasGivenUp) {
    make({.max_size = 8, .min_idle = 0, .connect_limit = 2, .connection_timeout = 30s});
    std::vector<PoolSlot> opening{slot_of(wait(), Kind::open)};
    PoolSlot given_up = 0;
    on_action = [&](const PoolAction& action) {
        if (action.kind == Kind::open) opening.push_back(action.slot);
        if (action.kind == Kind::give_up) given_up = action.slot;
    };
    while (given_up == 0) pass(1ms);
    std::erase(opening, given_up);
    ASSERT_EQ(opening.size(), 2u); // the oldest, and the one in its place
    opened(opening.back());
    opened(opening.front()); // it took more than 400 ms
    opened(given_up);
    while (count(wait(), Kind::open) == 0) {
    }
    opening.clear();

    pass(400ms);

    EXPECT_TRUE(opening.empty());
}

// ---- time

TEST_F(PoolPlanOutageTest, TheOldestIdleOneIsClosedAfterItsTimeAndNeverBelowTheLeast) {
    make({.max_size = 4, .min_idle = 1, .connect_limit = 4, .idle_timeout = 10s});
    const auto slots = with_idle(4);
    std::vector<TimePoint> closings;
    on_action = [&](const PoolAction& action) {
        if (action.kind != Kind::close) return;
        EXPECT_EQ(action.closing, PoolClosing::idle);
        closings.push_back(now);
        closed(action.slot);
    };
    const auto begin = now;

    pass(9s);
    EXPECT_TRUE(closings.empty());
    pass(2min);

    ASSERT_EQ(closings.size(), 3u);
    EXPECT_EQ(closings[0] - begin, 10s);
    EXPECT_GE(closings[1] - closings[0], 100ms);
    EXPECT_EQ(plan->figures().idle, 1u);
}

TEST_F(PoolPlanOutageTest, ItsTimeBeginsWhenItComesBack) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .idle_timeout = 10s});
    const auto slot = with_idle(1)[0];
    plan->try_borrow(now);
    pass(8s);
    give_back(slot);

    EXPECT_TRUE(pass(10s - 1ns).empty());
    EXPECT_EQ(count(pass(1ns), Kind::close), 1u);
}

TEST_F(PoolPlanOutageTest, AnOldOneIsReplacedByANewOneThatIsOpenedFirst) {
    make({.max_size = 4, .min_idle = 1, .connect_limit = 4, .max_lifetime = 100s});
    const auto slot = slot_of(tick(), Kind::open);
    opened(slot);
    const auto born = now;
    PoolSlot fresh = 0;
    on_action = [&](const PoolAction& action) {
        if (action.kind == Kind::open && fresh == 0) fresh = action.slot;
    };

    pass(79s);
    EXPECT_EQ(fresh, 0u);
    while (fresh == 0 && now < born + 101s) pass(1s);
    ASSERT_NE(fresh, 0u);
    EXPECT_EQ(plan->figures().idle, 1u) << "the old one is there still";

    EXPECT_EQ(opened(fresh),
              (PoolPlan::Actions{{.kind = Kind::close, .slot = slot, .closing = PoolClosing::lifetime}}));
    EXPECT_EQ(plan->figures().idle, 1u);
}

TEST_F(PoolPlanOutageTest, AnOldOneThatIsLentOutWhenTheNewOneComesStays) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .validation_window = 1h, .max_lifetime = 10s});
    const auto slot = with_idle(1)[0];
    const auto fresh = slot_of(pass(11s), Kind::open);
    EXPECT_EQ(plan->try_borrow(now), slot);

    EXPECT_TRUE(opened(fresh).empty());

    EXPECT_EQ(plan->figures().active, 1u);
}

TEST_F(PoolPlanOutageTest, NoneIsCutWhileItIsLentOut) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .max_lifetime = 10s});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();

    EXPECT_EQ(count(pass(1min), Kind::close), 0u);

    EXPECT_EQ(give_back(slot, Return::used)[0].closing, PoolClosing::lifetime);
}

TEST_F(PoolPlanOutageTest, TwoOfAnAgeThatComeBackAreNotClosedAtOnce) {
    make({.max_size = 2, .min_idle = 0, .connect_limit = 2, .max_lifetime = 100s});
    const auto slots = with_idle(2);
    plan->try_borrow(now);
    plan->try_borrow(now);
    pass(200s);

    EXPECT_EQ(count(give_back(slots[0]), Kind::close), 1u);
    EXPECT_EQ(count(give_back(slots[1]), Kind::close), 0u);
}

TEST_F(PoolPlanOutageTest, LivesDifferByChance) {
    std::set<Duration> lives;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        plan.emplace(PoolRules{.max_size = 1, .min_idle = 0, .connect_limit = 1, .max_lifetime = 100s}, seed, now);
        with_idle(1);
        const auto born = now;
        on_action = [&](const PoolAction& action) {
            if (action.kind == Kind::close) lives.insert(now - born);
        };
        pass(101s);
    }
    EXPECT_GT(lives.size(), 5u);
    EXPECT_GE(*lives.begin(), 80s);
    EXPECT_LE(*lives.rbegin(), 100s);
}

TEST_F(PoolPlanOutageTest, AnOldOneIsReplacedOnce) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .max_lifetime = 10s});
    with_idle(1);

    EXPECT_EQ(count(pass(10min), Kind::open), 1u) << "which hangs";
}

TEST_F(PoolPlanOutageTest, TwoOfAnAgeAreNotReplacedAtOnce) {
    make({.max_size = 2, .min_idle = 2, .connect_limit = 2, .max_lifetime = 100s});
    std::vector<TimePoint> closings;
    on_action = [&](const PoolAction& action) {
        if (action.kind == Kind::open) opened(action.slot);
        if (action.kind != Kind::close) return;
        closings.push_back(now);
        for (const auto& next : closed(action.slot))
            if (next.kind == Kind::open) opened(next.slot);
    };
    for (const auto& action : tick())
        if (action.kind == Kind::open) opened(action.slot);

    pass(1000s);

    ASSERT_GE(closings.size(), 10u);
    for (std::size_t index = 1; index < closings.size(); ++index) EXPECT_GE(closings[index] - closings[index - 1], 25s);
}

TEST_F(PoolPlanOutageTest, APingIsNoUse) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .idle_timeout = 10s, .keepalive = 3s});
    const auto slot = with_idle(1)[0];
    std::size_t pings = 0;
    TimePoint end{};
    on_action = [&](const PoolAction& action) {
        if (action.kind == Kind::check) {
            ++pings;
            checked(action.slot, true);
        }
        if (action.kind == Kind::close) end = now;
    };
    const auto begin = now;

    pass(11s);

    EXPECT_EQ(pings, 3u);
    EXPECT_EQ(end - begin, 10s) << slot;
}

TEST_F(PoolPlanOutageTest, WarnsOnceOfOneThatIsLentOutForLong) {
    make({.max_size = 4, .min_idle = 0, .connect_limit = 4, .leak_threshold = 5s});
    with_idle(1);
    const auto slot = plan->try_borrow(now).value();

    EXPECT_TRUE(pass(5s - 1ns).empty());
    EXPECT_EQ(pass(1h), (PoolPlan::Actions{{.kind = Kind::warn, .slot = slot}}));
    give_back(slot);
    plan->try_borrow(now);
    EXPECT_EQ(count(pass(1h), Kind::warn), 1u) << "another lease";
}

} // namespace
} // namespace velostream
