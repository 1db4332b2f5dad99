// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/context_alarms.hpp"

#include <gtest/gtest.h>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/strand.hpp>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// Finds no memory for a sleep in one of the contexts.
class PoorTime : public testing::ManualTime {
  public:
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
        if (&executor.context() == *poor_) throw std::bad_alloc{};
        ManualTime::sleep_until(executor, at, std::move(handler));
    }
    void set_poor(const asio::execution_context* context) const noexcept { *poor_ = context; }

  private:
    std::shared_ptr<const asio::execution_context*> poor_ = std::make_shared<const asio::execution_context*>(nullptr);
};
static_assert(TimeSource<PoorTime>);

class ContextAlarmsTest : public ::testing::Test {
  protected:
    using Context = std::optional<asio::io_context>;

    ContextAlarms::Place& enter(Context& context) { return alarms->enter(context->get_executor()); }
    void set(Context& first, Duration after) {
        const auto ring = [this](std::uint64_t number) -> Alarm::OnEnd {
            last_number = number;
            return [this, number](AlarmEnd end) { ends.push_back({number, end, running}); };
        };
        alarms->set(time, first->get_executor(), time.now() + after, grace, ring);
    }
    void poll(Context& context) {
        running = &context;
        context->restart();
        context->poll();
        running = nullptr;
    }
    // Lets time pass, and runs both contexts.
    void pass(Duration by) {
        time.advance(by);
        poll(one);
        poll(other);
    }
    // What rang since the last call, in words.
    std::string rang() {
        std::string text;
        for (const auto& end : std::exchange(ends, {})) {
            text += end.how == AlarmEnd::dropped ? "dropped" : end.where == &one ? "one" : "other";
            text += alarms && !alarms->take(end.number) ? " (old) " : " ";
        }
        return text;
    }

    struct End {
        std::uint64_t number;
        AlarmEnd how;
        const Context* where;
    };

    static constexpr Duration grace = 4ms;

    PoorTime time;
    Context one{std::in_place}, other{std::in_place};
    std::optional<ContextAlarms> alarms{std::in_place};
    const Context* running = nullptr;
    std::vector<End> ends;
    std::uint64_t last_number = 0;
};

TEST_F(ContextAlarmsTest, RingOnTheFirstAndAfterTheGraceWhereOthersWait) {
    enter(one);
    enter(other);

    set(one, 3s);

    pass(3s - 1ns);
    EXPECT_EQ(rang(), "");
    pass(1ns);
    EXPECT_EQ(rang(), "one ");
    pass(grace - 1ns);
    EXPECT_EQ(rang(), "");
    pass(1ns);
    EXPECT_EQ(rang(), "other ");
    pass(1h);
    EXPECT_EQ(rang(), "") << "once";
}

TEST_F(ContextAlarmsTest, AContextThatNobodyRunsHoldsUpNoOther) {
    enter(one);
    enter(other);
    set(one, 3s);

    time.advance(3s + grace);
    poll(other);

    EXPECT_EQ(rang(), "other ");
}

TEST_F(ContextAlarmsTest, RingOnceInAContextHoweverManyWaitThere) {
    enter(one);
    enter(one);
    enter(one);
    set(one, 3s);
    EXPECT_EQ(time.sleepers(), 1u);

    pass(3s + grace);

    EXPECT_EQ(rang(), "one ");
}

TEST_F(ContextAlarmsTest, OneThatRingsEarlierStaysAndALaterOneIsReplaced) {
    enter(one);
    set(one, 3s);
    const auto first = last_number;
    set(one, 5s);
    EXPECT_EQ(last_number, first) << "nothing new was made";
    pass(3s);
    EXPECT_EQ(rang(), "one ");

    set(one, 5s);
    set(one, 2s);
    pass(2s);
    EXPECT_EQ(rang(), "one ");
    pass(5s);
    EXPECT_EQ(rang(), "") << "the one at 5 s is no more";
}

TEST_F(ContextAlarmsTest, AnotherFirstIsRungForAtOnceAndTheOneBeforeKeepsItsOwn) {
    enter(one);
    enter(other);
    set(one, 3s);

    set(other, 3s);

    time.advance(3s);
    poll(other);
    EXPECT_EQ(rang(), "other ");
    poll(one);
    EXPECT_EQ(rang(), "one ") << "it was set to ring then";
}

TEST_F(ContextAlarmsTest, WhereNobodyWaitsAnyMoreNothingRings) {
    enter(one);
    auto& place = enter(other);
    set(one, 3s);

    alarms->leave(place);
    set(one, 3s);

    pass(1h);
    EXPECT_EQ(rang(), "one ");
}

TEST_F(ContextAlarmsTest, WhereOneOfTwoHasLeftTheOtherIsRungFor) {
    enter(one);
    auto& place = enter(other);
    ASSERT_EQ(&enter(other), &place);

    alarms->leave(place);
    set(one, 3s);

    pass(3s + grace);
    EXPECT_EQ(rang(), "one other ");
}

TEST_F(ContextAlarmsTest, WhoeverComesLaterIsRungForFromTheNextSetOn) {
    enter(one);
    set(one, 3s);
    enter(other);
    set(one, 3s);

    pass(3s + grace);

    EXPECT_EQ(rang(), "one other ");
}

TEST_F(ContextAlarmsTest, StoppedNothingRingsAndNoContextHasWork) {
    enter(one);
    enter(other);
    set(one, 3s);
    alarms->stop();
    alarms->stop();
    poll(one);
    poll(other);
    EXPECT_TRUE(one->stopped() && other->stopped());
    EXPECT_EQ(time.sleepers(), 0u);

    pass(1h);
    EXPECT_EQ(rang(), "");
    set(one, 1s);
    pass(1s + grace);
    EXPECT_EQ(rang(), "one other ") << "they may be set again";
}

TEST_F(ContextAlarmsTest, DestroyedNothingRings) {
    enter(one);
    enter(other);
    set(one, 3s);

    alarms.reset();

    poll(one);
    poll(other);
    EXPECT_EQ(time.sleepers(), 0u);
    pass(1h);
    EXPECT_EQ(rang(), "");
}

TEST_F(ContextAlarmsTest, AnEndIsTakenOnceAndNotOnceItIsReplacedOrStopped) {
    enter(one);
    set(one, 3s);
    const auto first = last_number;
    EXPECT_FALSE(alarms->take(first + 1));
    set(one, 2s);
    EXPECT_FALSE(alarms->take(first)) << "replaced";
    const auto second = last_number;
    EXPECT_TRUE(alarms->take(second));
    EXPECT_FALSE(alarms->take(second));

    set(one, 2s);
    alarms->stop();
    EXPECT_FALSE(alarms->take(last_number)) << "stopped";
}

TEST_F(ContextAlarmsTest, AfterItsEndWasTakenThereIsRoomForALaterOne) {
    enter(one);
    set(one, 1s);
    pass(1s);
    ASSERT_EQ(rang(), "one ");

    set(one, 5s);

    pass(5s);
    EXPECT_EQ(rang(), "one ");
}

// What waits keeps its context running itself; an alarm does while it is set.
TEST_F(ContextAlarmsTest, APlaceGivesItsContextNoWorkAndASetAlarmDoes) {
    alarms->enter(asio::prefer(one->get_executor(), asio::execution::outstanding_work.tracked));
    poll(one);
    EXPECT_TRUE(one->stopped());

    set(one, 3s);
    poll(one);
    EXPECT_FALSE(one->stopped());
    pass(3s);
    EXPECT_TRUE(one->stopped());
}

TEST_F(ContextAlarmsTest, AContextThatEndsDropsItsOwnAndTheOthersRing) {
    auto& place = enter(one);
    enter(other);
    set(one, 3s);

    one.reset();
    EXPECT_EQ(rang(), "dropped ");
    alarms->leave(place);
    set(other, 3s);

    time.advance(3s);
    poll(other);
    EXPECT_EQ(rang(), "other ");
}

// A strand kept from there would be used after its end. Another context may have the address.
TEST_F(ContextAlarmsTest, AContextMayEndOnceNobodyWaitsThereAndAnotherTakesItsPlace) {
    for (int i = 0; i < 3; ++i) {
        alarms->leave(alarms->enter(asio::make_strand(*one)));
        alarms->stop();
        one.reset();
        one.emplace();
        enter(one);
        set(one, 3s);

        pass(3s);

        EXPECT_EQ(rang(), "one ");
        alarms->leave(enter(one));
    }
}

TEST_F(ContextAlarmsTest, APlaceThatAnotherContextTakesOverNoLongerRingsInTheOneBefore) {
    auto& place = enter(one);
    set(one, 3s);
    alarms->leave(place);

    EXPECT_EQ(&enter(other), &place);

    pass(3s);
    EXPECT_EQ(rang(), "");
    set(other, 2s);
    pass(2s);
    EXPECT_EQ(rang(), "other ");
}

TEST_F(ContextAlarmsTest, WithoutMemoryOnTheFirstSettingThrowsAndMayBeTriedAgain) {
    enter(one);
    enter(other);
    time.set_poor(&*one);
    EXPECT_THROW(set(one, 3s), std::bad_alloc);
    EXPECT_FALSE(alarms->take(last_number));
    time.set_poor(nullptr);

    set(one, 3s);

    pass(3s + grace);
    EXPECT_EQ(rang(), "one other ");
}

TEST_F(ContextAlarmsTest, WithoutMemoryElsewhereItRingsOnTheFirst) {
    enter(one);
    enter(other);
    time.set_poor(&*other);

    set(one, 3s);

    pass(3s + grace);
    EXPECT_EQ(rang(), "one ");
}

// A line that is empty now and then needs no memory for the first who comes.
TEST_F(ContextAlarmsTest, OnePlaceIsKeptForThoseWhoComeWhenNobodyWaits) {
    auto& place = enter(one);
    alarms->leave(enter(other));
    alarms->leave(place);
    alarms->stop();

    EXPECT_EQ(&enter(one), &place);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST_F(ContextAlarmsTest, WithoutMemoryForAPlaceNobodyHasEntered) {
    enter(one);
    testing::allocations_until_failure = 0;
    EXPECT_THROW(enter(other), std::bad_alloc);
    testing::allocations_until_failure = -1;

    set(one, 3s);

    pass(1h);
    EXPECT_EQ(rang(), "one ");
}

#endif

} // namespace
} // namespace velostream
