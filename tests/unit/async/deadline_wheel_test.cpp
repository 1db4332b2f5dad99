// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/deadline_wheel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint t0{1000s};

struct Probe : Deadline {
    Probe() : Deadline([](Deadline& deadline) { ++static_cast<Probe&>(deadline).calls; }) {}
    int calls = 0;
};

TEST(DeadlineWheel, ExpiresNeverEarlyAndLateByLessThanATick) {
    for (const Duration after : {1ns, Duration{1ms}, Duration{4ms}, Duration{5ms}, Duration{255ms}, Duration{256ms},
                                 Duration{1s}, Duration{17s}, Duration{20min}, Duration{30h}, Duration{24h * 400}}) {
        DeadlineWheel wheel{t0};
        Probe probe;
        wheel.arm(probe, t0 + after);

        wheel.expire(t0 + after - 1ns);
        EXPECT_EQ(probe.calls, 0) << after.count();
        wheel.expire(t0 + after + DeadlineWheel::default_tick);
        EXPECT_EQ(probe.calls, 1) << after.count();
        EXPECT_FALSE(probe.is_armed());
    }
}

TEST(DeadlineWheel, ADisarmedDeadlineIsNotCalled) {
    DeadlineWheel wheel{t0};
    Probe probe;
    wheel.arm(probe, t0 + 1s);
    wheel.disarm(probe);
    wheel.disarm(probe);

    wheel.expire(t0 + 1h);

    EXPECT_EQ(probe.calls, 0);
    EXPECT_EQ(wheel.size(), 0U);
}

TEST(DeadlineWheel, ADestroyedDeadlineDisarmsItself) {
    DeadlineWheel wheel{t0};
    {
        Probe probe;
        wheel.arm(probe, t0 + 1s);
    }

    EXPECT_EQ(wheel.size(), 0U);
    EXPECT_EQ(wheel.next_wake(), std::nullopt);
}

TEST(DeadlineWheel, ItsDestructionDisarmsAll) {
    Probe probe;
    {
        DeadlineWheel wheel{t0};
        wheel.arm(probe, t0 + 1s);
    }

    EXPECT_FALSE(probe.is_armed());
}

TEST(DeadlineWheel, ArmingAgainMovesTheDeadline) {
    DeadlineWheel wheel{t0};
    Probe probe;
    wheel.arm(probe, t0 + 1s);
    wheel.arm(probe, t0 + 2s);

    wheel.expire(t0 + 1500ms);
    EXPECT_EQ(probe.calls, 0);
    wheel.expire(t0 + 3s);
    EXPECT_EQ(probe.calls, 1);
}

TEST(DeadlineWheel, ADeadlineInThePastExpiresAtTheNextTick) {
    DeadlineWheel wheel{t0};
    wheel.expire(t0 + 10s);
    Probe probe;
    wheel.arm(probe, t0 + 1s);

    wheel.expire(t0 + 10s + DeadlineWheel::default_tick);

    EXPECT_EQ(probe.calls, 1);
}

TEST(DeadlineWheel, ADeadlineInThePastDoesNotExpireInTheTickInWhichItIsArmed) {
    DeadlineWheel wheel{t0};
    wheel.expire(t0 + 10s);
    wheel.expire(t0 + 5s); // a clock that was read earlier: time does not go back
    Probe probe;
    wheel.arm(probe, t0 + 6s);

    wheel.expire(t0 + 10s);
    EXPECT_EQ(probe.calls, 0);
    wheel.expire(t0 + 10s + DeadlineWheel::default_tick);

    EXPECT_EQ(probe.calls, 1);
}

TEST(DeadlineWheel, TimesBeforeItsOwnBeginningAreInThePast) {
    DeadlineWheel wheel{t0};
    Probe past, future;
    wheel.arm(past, t0 - 1s);
    wheel.arm(future, t0 + 1s);

    wheel.expire(t0 - 1s);
    EXPECT_EQ(past.calls + future.calls, 0);
    wheel.expire(t0 + DeadlineWheel::default_tick);

    EXPECT_EQ(past.calls, 1);
    EXPECT_EQ(future.calls, 0);
}

TEST(DeadlineWheel, TheLastMomentThereIsFitsWhateverTheTick) {
    DeadlineWheel wheel{t0, 1ns};
    Probe probe;
    wheel.arm(probe, TimePoint::max());
    wheel.expire(t0 + 1h);

    EXPECT_EQ(probe.calls, 0);
    EXPECT_TRUE(wheel.next_wake());
}

TEST(DeadlineWheel, ADeadlineInTheClocksLastTickExpiresWhenTheClockEnds) {
    DeadlineWheel wheel{t0};
    Probe probe;
    wheel.arm(probe, TimePoint::max() - 1ns);

    wheel.expire(TimePoint::max() - 2ns);
    EXPECT_EQ(wheel.next_wake(), TimePoint::max());
    EXPECT_EQ(probe.calls, 0);
    wheel.expire(TimePoint::max());
    EXPECT_EQ(probe.calls, 1);

    wheel.arm(probe, TimePoint::max()); // as late as can be
    wheel.expire(TimePoint::max());
    EXPECT_EQ(probe.calls, 2);
}

TEST(DeadlineWheel, WhileOthersAreDueTheNextWakeIsNow) {
    struct Asking : Deadline {
        explicit Asking(DeadlineWheel& its_wheel)
            : Deadline([](Deadline& deadline) {
                  auto& self = static_cast<Asking&>(deadline);
                  self.next_wake = self.wheel.next_wake();
              }),
              wheel(its_wheel) {}
        DeadlineWheel& wheel;
        std::optional<TimePoint> next_wake;
    };
    DeadlineWheel wheel{t0};
    Asking first{wheel}, second{wheel};
    wheel.arm(first, t0 + 1s);
    wheel.arm(second, t0 + 1s);

    wheel.expire(t0 + 1s);

    EXPECT_EQ(first.next_wake, t0 + 1s);
    EXPECT_EQ(second.next_wake, std::nullopt);
}

TEST(DeadlineWheel, ADeadlineInThePastThatIsArmedInsideACallWaitsForTheNextTick) {
    struct Again : Deadline {
        explicit Again(DeadlineWheel& its_wheel)
            : Deadline([](Deadline& deadline) {
                  auto& self = static_cast<Again&>(deadline);
                  if (++self.calls < 10) self.wheel.arm(self, t0);
              }),
              wheel(its_wheel) {}
        DeadlineWheel& wheel;
        int calls = 0;
    };
    DeadlineWheel wheel{t0};
    Again again{wheel};
    wheel.arm(again, t0 + 1s);

    wheel.expire(t0 + 1s);
    EXPECT_EQ(again.calls, 1);
    wheel.expire(t0 + 1s + DeadlineWheel::default_tick);

    EXPECT_EQ(again.calls, 2);
}

TEST(DeadlineWheel, MayBeArmedAgainInsideTheCall) {
    struct Ticker : Deadline {
        explicit Ticker(DeadlineWheel& owner)
            : Deadline([](Deadline& deadline) {
                  auto& self = static_cast<Ticker&>(deadline);
                  ++self.calls;
                  self.wheel.arm(self, t0 + self.calls * 100ms + 100ms);
              }),
              wheel(owner) {}
        DeadlineWheel& wheel;
        int calls = 0;
    };
    DeadlineWheel wheel{t0};
    Ticker ticker{wheel};
    wheel.arm(ticker, t0 + 100ms);

    wheel.expire(t0 + 1s);

    EXPECT_EQ(ticker.calls, 10);
}

TEST(DeadlineWheel, MayDisarmAnotherDueDeadlineInsideTheCall) {
    struct Killer : Deadline {
        Killer(DeadlineWheel& owner, Probe& other)
            : Deadline([](Deadline& deadline) {
                  auto& self = static_cast<Killer&>(deadline);
                  self.wheel.disarm(self.victim);
              }),
              wheel(owner),
              victim(other) {}
        DeadlineWheel& wheel;
        Probe& victim;
    };
    DeadlineWheel wheel{t0};
    Probe victim;
    Killer killer{wheel, victim};
    wheel.arm(killer, t0 + 10ms);
    wheel.arm(victim, t0 + 10ms);

    wheel.expire(t0 + 1s);

    EXPECT_EQ(victim.calls, 0);
}

TEST(DeadlineWheel, SleepingUntilNextWakeNeverMissesADeadline) {
    std::mt19937_64 random{7};
    DeadlineWheel wheel{t0};
    std::vector<std::unique_ptr<Probe>> probes;
    std::vector<TimePoint> due;
    for (int i = 0; i < 2000; ++i) {
        const Duration after{
            static_cast<std::int64_t>(random() % std::uint64_t{40'000'000'000'000} >> (random() % 40))};
        probes.push_back(std::make_unique<Probe>());
        due.push_back(t0 + after);
        wheel.arm(*probes.back(), due.back());
    }

    int wakes = 0;
    while (const auto wake = wheel.next_wake()) {
        wheel.expire(*wake);
        ++wakes;
        for (std::size_t i = 0; i < probes.size(); ++i) {
            if (due[i] > *wake) {
                ASSERT_EQ(probes[i]->calls, 0);
            } else if (due[i] + DeadlineWheel::default_tick <= *wake) {
                ASSERT_EQ(probes[i]->calls, 1);
            }
        }
    }

    EXPECT_TRUE(std::ranges::all_of(probes, [](const auto& probe) { return probe->calls == 1; }));
    EXPECT_LT(wakes, 2000 + 8 * 64 * 8);
}

// A clock that the test sets, and at most one sleeper, as a deadline timer has.
struct TestClock {
    struct State {
        TimePoint now = t0;
        SleepHandler sleeper;
        TimePoint until{};
        int sleeps = 0;
        bool has_no_memory = false; // for another sleep
    };
    std::shared_ptr<State> state = std::make_shared<State>();

    TimePoint now() const noexcept { return state->now; }
    TimePoint coarse_now() const noexcept { return state->now; }
    void sleep_until(const asio::any_io_executor&, TimePoint at, SleepHandler handler) {
        if (state->has_no_memory) throw std::bad_alloc{};
        auto slot = asio::get_associated_cancellation_slot(handler);
        state->sleeper.swap(handler);
        state->until = at;
        ++state->sleeps;
        slot.assign([state = state.get()](asio::cancellation_type) {
            if (state->sleeper) wake(*state, asio::error::operation_aborted);
        });
    }
    void advance_to(TimePoint at) const {
        state->now = at;
        while (state->sleeper && state->until <= at) wake(*state, {});
    }
    static void wake(State& state, boost::system::error_code code) {
        SleepHandler sleeper;
        sleeper.swap(state.sleeper);
        std::move(sleeper)(code);
    }
};
static_assert(TimeSource<TestClock>);

TEST(DeadlineTimer, CallsTheDeadlineWhenTheClockHasPassedIt) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe probe;
    timer.arm(probe, t0 + 1s);

    clock.advance_to(t0 + 999ms);
    EXPECT_EQ(probe.calls, 0);
    clock.advance_to(t0 + 1s + 2 * DeadlineWheel::default_tick);
    EXPECT_EQ(probe.calls, 1);
}

TEST(DeadlineTimer, AnEarlierDeadlineShortensTheSleep) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe late, early;
    timer.arm(late, t0 + 1h);
    timer.arm(early, t0 + 1s);

    clock.advance_to(t0 + 2s);

    EXPECT_EQ(early.calls, 1);
    EXPECT_EQ(late.calls, 0);
    EXPECT_EQ(timer.size(), 1U);
}

TEST(DeadlineTimer, ManyDeadlinesShareOneSleep) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    std::vector<std::unique_ptr<Probe>> probes;
    for (int i = 0; i < 1000; ++i) {
        probes.push_back(std::make_unique<Probe>());
        timer.arm(*probes.back(), t0 + 1s + i * 1us);
    }

    EXPECT_EQ(clock.state->sleeps, 1);
}

TEST(DeadlineTimer, AnEarlierDeadlineOfTheSameTickKeepsTheSleep) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe first, earlier;
    timer.arm(first, t0 + 100ms);
    timer.arm(earlier, t0 + 99ms);

    EXPECT_EQ(clock.state->sleeps, 1);
}

TEST(DeadlineTimer, ASleepThatWasReplacedWhileItsEndWasOnItsWayIsIgnored) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe late, early;
    timer.arm(late, t0 + 1h);
    SleepHandler on_its_way;
    on_its_way.swap(clock.state->sleeper);

    timer.arm(early, t0 + 1s);
    std::move(on_its_way)(boost::system::error_code{});

    EXPECT_EQ(clock.state->sleeps, 2) << "the second is in progress";
    clock.advance_to(t0 + 2s);
    EXPECT_EQ(early.calls, 1);
}

TEST(DeadlineTimer, ASleepThatWasAbandonedIsNotTouchedAndCallsNobody) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe probe;
    timer.arm(probe, t0 + 1s);

    timer.abandon();
    EXPECT_TRUE(clock.state->sleeper);
    clock.advance_to(t0 + 2s);

    EXPECT_EQ(probe.calls, 0);
}

TEST(DeadlineTimer, RestStopsTheSleepOnlyWhenNothingIsArmed) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe probe;
    timer.arm(probe, t0 + 1s);

    timer.rest();
    EXPECT_TRUE(clock.state->sleeper);
    timer.disarm(probe);
    timer.rest();
    EXPECT_FALSE(clock.state->sleeper);
}

TEST(DeadlineTimer, ADeadlineThatThrowsLetsTheOthersHaveTheirTurns) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    struct Throwing : Deadline {
        Throwing() : Deadline([](Deadline&) { throw std::runtime_error{"thrown"}; }) {}
    } throwing;
    Probe same_time, later;
    timer.arm(throwing, t0 + 1s);
    timer.arm(same_time, t0 + 1s);
    timer.arm(later, t0 + 2s);

    EXPECT_THROW(clock.advance_to(t0 + 1500ms), std::runtime_error);
    clock.advance_to(t0 + 3s);

    EXPECT_EQ(same_time.calls, 1);
    EXPECT_EQ(later.calls, 1);
}

TEST(DeadlineTimer, ADeadlineThatCannotBeSleptForIsNotArmedAndSpoilsNoOther) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe first, later;
    clock.state->has_no_memory = true;
    EXPECT_THROW(timer.arm(first, t0 + 1s), std::bad_alloc);
    clock.state->has_no_memory = false;

    EXPECT_FALSE(first.is_armed());
    timer.arm(later, t0 + 2s);
    clock.advance_to(t0 + 3s);

    EXPECT_EQ(first.calls, 0);
    EXPECT_EQ(later.calls, 1);
}

TEST(DeadlineTimer, WhoeverIsArmedNextSleepsForThoseThatCouldNotBeSleptFor) {
    asio::io_context io;
    const TestClock clock;
    DeadlineTimer timer{io.get_executor(), clock};
    Probe first, second, third;
    timer.arm(first, t0 + 1s);
    timer.arm(second, t0 + 2s);
    clock.state->has_no_memory = true;
    EXPECT_THROW(clock.advance_to(t0 + 1500ms), std::bad_alloc);
    clock.state->has_no_memory = false;

    timer.arm(third, t0 + 1h);
    clock.advance_to(t0 + 3s);

    EXPECT_EQ(first.calls, 1);
    EXPECT_EQ(second.calls, 1);
}

TEST(DeadlineTimer, CallsNobodyOnceItIsDestroyed) {
    asio::io_context io;
    const TestClock clock;
    Probe probe;
    {
        DeadlineTimer timer{io.get_executor(), clock};
        timer.arm(probe, t0 + 1s);
    }
    EXPECT_FALSE(clock.state->sleeper) << "it is cancelled at once";

    clock.advance_to(t0 + 1h);

    EXPECT_EQ(probe.calls, 0);
    EXPECT_FALSE(clock.state->sleeper);
}

} // namespace
} // namespace velostream
