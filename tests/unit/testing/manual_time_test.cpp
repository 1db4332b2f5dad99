// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/manual_time.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>
#include <thread>
#include <vector>

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

class ManualTimeTest : public ::testing::Test {
  protected:
    void sleep(TimePoint at, std::string name) {
        time.sleep_until(io.get_executor(), at, [this, name](boost::system::error_code code) {
            woken.push_back(code ? name + " aborted" : name);
        });
    }

    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    std::vector<std::string> woken;
};

TEST_F(ManualTimeTest, StandsStillUntilItIsAdvanced) {
    EXPECT_EQ(time.now(), start);

    time.advance(3s);

    EXPECT_EQ(time.now(), start + 3s);
    EXPECT_EQ(time.coarse_now(), start + 3s);
}

TEST_F(ManualTimeTest, NeverGoesBack) {
    time.advance(3s);

    time.advance_to(start);
    time.advance(-1s);

    EXPECT_EQ(time.now(), start + 3s);
}

TEST_F(ManualTimeTest, GoesNoFurtherThanTheLastMoment) {
    sleep(start + 1h, "hour");
    time.run_for(io, Duration::max());
    EXPECT_EQ(woken, (std::vector<std::string>{"hour"}));
    EXPECT_EQ(time.now(), TimePoint::max());

    ManualTime other;
    other.advance(Duration::max());
    EXPECT_EQ(other.now(), TimePoint::max());
}

TEST_F(ManualTimeTest, CopiesShowTheSameTimeAndInstancesDoNot) {
    const auto copy = time;
    const ManualTime other{start};

    time.advance(1s);

    EXPECT_EQ(copy.now(), start + 1s);
    EXPECT_EQ(other.now(), start);
}

TEST_F(ManualTimeTest, WakesNobodyBeforeTheirTime) {
    sleep(start + 10s, "a");

    time.advance(10s - 1ns);
    io.poll();

    EXPECT_TRUE(woken.empty());
    EXPECT_EQ(time.sleepers(), 1u);
    EXPECT_EQ(time.next_wake(), start + 10s);
}

TEST_F(ManualTimeTest, WakesInTheOrderOfDeadlinesAndTiesInTheOrderOfArrival) {
    sleep(start + 3s, "third");
    sleep(start + 1s, "first");
    sleep(start + 2s, "second, came first");
    sleep(start + 2s, "second, came later");

    time.advance(3s);
    io.poll();

    EXPECT_EQ(woken, (std::vector<std::string>{"first", "second, came first", "second, came later", "third"}));
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(time.next_wake(), std::nullopt);
}

TEST_F(ManualTimeTest, ASleepUntilAPastMomentCompletesWithoutAdvancing) {
    sleep(start, "now");
    EXPECT_TRUE(woken.empty()) << "completed inside the call";

    io.poll();

    EXPECT_EQ(woken, std::vector<std::string>{"now"});
}

TEST_F(ManualTimeTest, ACancelledSleeperCompletesWithOperationAbortedAndOnce) {
    asio::cancellation_signal signal;
    boost::system::error_code seen;
    int completions = 0;
    time.sleep_until(io.get_executor(), start + 1s,
                     asio::bind_cancellation_slot(signal.slot(), [&](boost::system::error_code code) {
                         seen = code;
                         ++completions;
                     }));

    signal.emit(asio::cancellation_type::partial);
    time.advance(1s);
    io.poll();

    EXPECT_EQ(seen, asio::error::operation_aborted);
    EXPECT_EQ(completions, 1);
}

TEST_F(ManualTimeTest, CompletesThroughTheExecutorOfTheHandler) {
    asio::io_context own;
    bool completed = false;
    time.sleep_until(io.get_executor(), start + 1s,
                     asio::bind_executor(own.get_executor(), [&](boost::system::error_code) { completed = true; }));

    time.advance(1s);
    io.poll();
    EXPECT_FALSE(completed);
    own.poll();

    EXPECT_TRUE(completed);
}

TEST_F(ManualTimeTest, SleepersOfTheLastCopyCompleteWithOperationAborted) {
    {
        ManualTime local{start};
        local.sleep_until(io.get_executor(), start + 1s,
                          [&](boost::system::error_code code) { woken.push_back(code.message()); });
    }

    io.poll();

    EXPECT_EQ(woken, std::vector{boost::system::error_code{asio::error::operation_aborted}.message()});
}

TEST_F(ManualTimeTest, AContextThatEndsTakesItsSleepersWithIt) {
    auto alive = std::make_shared<int>();
    {
        asio::io_context short_lived;
        time.sleep_until(short_lived.get_executor(), start + 1s, [alive](boost::system::error_code) {});
        ASSERT_EQ(alive.use_count(), 2);
    }
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_EQ(time.sleepers(), 0u);

    time.advance(1s);
}

TEST_F(ManualTimeTest, RunForStepsThroughCodeThatSleepsSeveralTimes) {
    std::vector<Duration> woke_after;
    auto sleeper = [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 3; ++i) {
            co_await async_sleep_until(time, executor, time.now() + 1s, asio::use_awaitable);
            woke_after.push_back(time.now() - start);
        }
    };
    asio::co_spawn(io, sleeper, asio::detached);

    time.run_for(io, 2500ms);
    EXPECT_EQ(woke_after, (std::vector<Duration>{1s, 2s}));
    EXPECT_EQ(time.now(), start + 2500ms);

    time.run_for(io, 500ms);
    EXPECT_EQ(woke_after, (std::vector<Duration>{1s, 2s, 3s}));
}

TEST_F(ManualTimeTest, ASleeperKeepsItsContextRunning) {
    sleep(start + 1s, "a");

    EXPECT_EQ(io.poll(), 0u);
    EXPECT_FALSE(io.stopped());

    time.advance(1s);
    io.run(); // returns: the sleeper was the only work
    EXPECT_EQ(woken, std::vector<std::string>{"a"});
}

} // namespace
} // namespace velostream::testing
