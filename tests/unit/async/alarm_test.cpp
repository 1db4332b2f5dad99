// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/alarm.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <vector>

#include "support/watched_time.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class AlarmTest : public ::testing::Test {
  protected:
    void set(Duration after, int name = 0) {
        alarm->set(time, io->get_executor(), time.now() + after,
                   [this, name](AlarmEnd end) { (end == AlarmEnd::rang ? rang : dropped).push_back(name); });
    }
    void pass(Duration by) {
        time.advance(by);
        io->restart();
        io->poll();
    }

    testing::ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    std::optional<Alarm> alarm{std::in_place};
    std::vector<int> rang, dropped;
};

TEST_F(AlarmTest, RingsWhenTheTimeHasComeAndOnce) {
    set(3s);

    pass(3s - 1ns);
    EXPECT_TRUE(rang.empty());
    pass(1ns);
    EXPECT_EQ(rang.size(), 1u);
    pass(100s);
    EXPECT_EQ(rang.size(), 1u);
}

TEST_F(AlarmTest, ANewTimeReplacesTheOldOne) {
    set(3s, 1);
    set(1s, 2);
    set(2s, 3);
    io->poll();
    EXPECT_EQ(time.sleepers(), 1u);

    pass(10s);

    EXPECT_EQ(rang, std::vector{3});
}

TEST_F(AlarmTest, GivesItsContextWorkUntilItRings) {
    set(3s);
    io->poll();
    EXPECT_FALSE(io->stopped());

    pass(3s);

    EXPECT_TRUE(io->stopped());
}

TEST_F(AlarmTest, IsSilentOnceItIsStopped) {
    set(3s);
    alarm->stop();
    alarm->stop();
    io->run(); // returns: nothing keeps the context running

    EXPECT_EQ(time.sleepers(), 0u);
    pass(10s);
    EXPECT_TRUE(rang.empty());
}

TEST_F(AlarmTest, AStopThatMeetsTheRingingIsInTime) {
    set(3s);
    time.advance(3s); // the ring is on its way

    alarm->stop();
    io->poll();

    EXPECT_TRUE(rang.empty());
}

TEST_F(AlarmTest, AStopThatMeetsTheRingingTouchesNoSleepThatIsOver) {
    const testing::WatchedTime watched;
    alarm->set(watched, io->get_executor(), watched.now(), [](AlarmEnd) {});
    watched.wake_all();

    alarm->stop();
    io->poll();

    EXPECT_EQ(watched.late_cancellations(), 0);
}

TEST_F(AlarmTest, DoesNotRingWhenItsClockEnds) {
    {
        testing::ManualTime ending;
        alarm->set(ending, io->get_executor(), ending.now() + 1s, [this](AlarmEnd) { rang.push_back(0); });
        io->poll();
    }
    io->restart();
    io->poll();

    EXPECT_TRUE(rang.empty());
}

TEST_F(AlarmTest, BeginsNoSleepInAContextThatIsEnding) {
    const testing::WatchedTime watched;
    bool is_told = false;
    alarm->set(watched, io->get_executor(), watched.now(), [&, executor = io->get_executor()](AlarmEnd) {
        is_told = true;
        alarm->set(watched, executor, watched.now(), [](AlarmEnd) { FAIL() << "set in vain"; });
    });

    io.reset();

    EXPECT_TRUE(is_told);
    EXPECT_EQ(watched.begun(), 1);
    alarm.reset();
}

TEST_F(AlarmTest, ItsEndStopsIt) {
    set(3s);

    alarm.reset();
    pass(10s);

    EXPECT_TRUE(rang.empty());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(AlarmTest, TellsWhenItsContextEndsFirst) {
    set(3s, 1);

    io.reset();

    EXPECT_EQ(dropped, std::vector{1});
    EXPECT_EQ(time.sleepers(), 0u);
    alarm->stop();
}

TEST_F(AlarmTest, IsNotTiedToAContextInWhichItRang) {
    set(1s);
    pass(1s);

    io.reset();
    io.emplace();
    set(1s, 2);
    pass(1s);

    EXPECT_EQ(rang, (std::vector{0, 2}));
    EXPECT_TRUE(dropped.empty());
}

TEST_F(AlarmTest, MayBeSetAgainWhileItRings) {
    int rings = 0;
    std::function<void(AlarmEnd)> again = [&](AlarmEnd) {
        if (++rings < 3) alarm->set(time, io->get_executor(), time.now() + 1s, again);
    };
    alarm->set(time, io->get_executor(), time.now() + 1s, again);

    for (int i = 0; i < 5; ++i) pass(1s);

    EXPECT_EQ(rings, 3);
}

} // namespace
} // namespace velostream
