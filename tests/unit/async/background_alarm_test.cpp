// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/background_alarm.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// Something else that the context has to do, until it is let go.
class OtherWork {
  public:
    explicit OtherWork(asio::io_context& io) : work_(asio::make_work_guard(io)) {}
    void end() { work_.reset(); }

  private:
    asio::executor_work_guard<asio::io_context::executor_type> work_;
};

class BackgroundAlarmTest : public ::testing::Test {
  protected:
    TimePoint in(Duration duration) const { return time.now() + duration; }

    SteadyTime time;
    asio::io_context io;
    BackgroundAlarm alarm;
    int rung = 0;
};

TEST_F(BackgroundAlarmTest, ItsContextRunsOutOfWorkThoughItIsSet) {
    alarm.set(time, io.get_executor(), in(1h), [] { FAIL(); });

    io.run(); // else the test does not end

    EXPECT_TRUE(io.stopped());
}

TEST_F(BackgroundAlarmTest, ToSetItStopsNoContextThatHasNotBegunToRun) {
    alarm.set(time, io.get_executor(), in(1h), [] { FAIL(); });

    EXPECT_FALSE(io.stopped());
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    io.run();

    EXPECT_TRUE(ran);
}

TEST_F(BackgroundAlarmTest, RingsWhileSomethingElseGoesOnAndCountsNoWorkForThat) {
    OtherWork other{io};
    alarm.set(time, io.get_executor(), in(1ms), [&] {
        ++rung;
        other.end();
    });

    io.run();

    EXPECT_EQ(rung, 1);
    io.restart();
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    io.run(); // the count of its work is right still
    EXPECT_TRUE(ran);
}

TEST_F(BackgroundAlarmTest, RingsWhenItsContextRunsAgain) {
    alarm.set(time, io.get_executor(), in(10ms), [&] { ++rung; });
    io.run();
    ASSERT_EQ(rung, 0);

    io.restart();
    const OtherWork other{io};
    while (rung == 0) io.run_one();

    EXPECT_EQ(rung, 1);
}

TEST_F(BackgroundAlarmTest, OnAStrandItRingsThereAndCountsNoWorkEither) {
    const auto strand = asio::make_strand(io);
    OtherWork other{io};
    alarm.set(time, strand, in(1ms), [&] {
        ++rung;
        EXPECT_TRUE(strand.running_in_this_thread());
        alarm.set(time, strand, in(1h), [] { FAIL(); });
        other.end();
    });

    io.run();

    EXPECT_EQ(rung, 1);
}

TEST_F(BackgroundAlarmTest, ASetAlarmReplacesTheOneBefore) {
    OtherWork other{io};
    alarm.set(time, io.get_executor(), in(1ms), [] { FAIL(); });
    alarm.set(time, io.get_executor(), in(2ms), [&] {
        ++rung;
        other.end();
    });

    io.run();

    EXPECT_EQ(rung, 1);
}

TEST_F(BackgroundAlarmTest, AStoppedOneDoesNotRingAndLeavesTheCountOfWorkRight) {
    OtherWork other{io};
    alarm.set(time, io.get_executor(), in(1h), [] { FAIL(); });
    io.poll(); // it waits
    alarm.stop();
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    other.end();

    io.run();

    EXPECT_TRUE(ran);
    EXPECT_TRUE(io.stopped());
}

TEST_F(BackgroundAlarmTest, OneThatIsStoppedBeforeItsContextRunsNeverWaits) {
    alarm.set(time, io.get_executor(), in(-1s), [] { FAIL(); });
    alarm.stop();

    io.run();

    EXPECT_TRUE(io.stopped());
}

TEST_F(BackgroundAlarmTest, AThreadPoolIsJoinedThoughItIsSet) {
    asio::thread_pool pool{2};
    alarm.set(time, pool.get_executor(), in(1h), [] { FAIL(); });

    pool.join();
}

TEST_F(BackgroundAlarmTest, ItMayOutliveItsContext) {
    auto held = std::make_shared<int>(0);
    {
        asio::io_context ending;
        alarm.set(time, ending.get_executor(), in(1h), [held] { FAIL(); });
        ending.run();
        EXPECT_EQ(held.use_count(), 2);
    }
    EXPECT_EQ(held.use_count(), 1);
    alarm.stop();
}

TEST_F(BackgroundAlarmTest, ByAnotherClockItIsWork) {
    testing::ManualTime manual;
    alarm.set(manual, io.get_executor(), manual.now() + 1s, [&] { ++rung; });
    io.poll();
    EXPECT_FALSE(io.stopped());
    EXPECT_EQ(manual.sleepers(), 1u);

    manual.advance(1s);
    io.run();
    EXPECT_EQ(rung, 1);

    alarm.set(manual, io.get_executor(), manual.now() + 1s, [] { FAIL(); });
    alarm.stop();
    io.restart();
    io.run();
    EXPECT_EQ(manual.sleepers(), 0u);
}

// Rings, sets and stops in threads at once: what is left is a count of work that is right, and nothing held.
TEST_F(BackgroundAlarmTest, ManyInSeveralThreadsLeaveTheCountOfWorkRight) {
    constexpr int threads = 3, rounds = 300;
    std::atomic<int> rings = 0;
    {
        std::optional<OtherWork> other{io};
        std::vector<std::jthread> running;
        for (int thread = 0; thread < threads; ++thread) running.emplace_back([this] { io.run(); });
        {
            std::vector<std::jthread> setting;
            for (int thread = 0; thread < threads; ++thread)
                setting.emplace_back([&] {
                    BackgroundAlarm mine;
                    for (int round = 0; round < rounds; ++round)
                        mine.set(time, io.get_executor(), in(round % 2 == 0 ? -1s : Duration{1h}), [&] { ++rings; });
                });
        }
        other->end();
    } // all threads have come back
    EXPECT_LE(rings, threads * rounds);

    io.restart();
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    io.run();
    EXPECT_TRUE(ran);
}

// What a context destroys may stop an alarm whose timer the context has destroyed already.
TEST(BackgroundAlarmInItsContext, MayBeStoppedByWhatEndsWithTheContextAfterItsTimer) {
    const SteadyTime time;
    std::optional<asio::io_context> io{std::in_place};
    auto alarm = std::make_unique<BackgroundAlarm>();
    auto& set = *alarm;
    set.set(time, io->get_executor(), time.now() + 1h, [] { FAIL(); }); // its context hears of it before of any timer
    auto timer = std::make_shared<asio::steady_timer>(*io, 2h);
    timer->async_wait([timer, stops = std::move(alarm)](boost::system::error_code) {});

    io->poll(); // from here on it has a timer, which is destroyed first

    EXPECT_FALSE(io->stopped());
    timer.reset();
    io.reset();
}

} // namespace
} // namespace velostream
