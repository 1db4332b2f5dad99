// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/time_source.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <ctime>
#include <memory>

#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

static_assert(TimeSource<SteadyTime>);

TEST(SteadyTime, NeverGoesBack) {
    const SteadyTime time;
    auto previous = time.now();
    for (int i = 0; i < 1000; ++i) {
        const auto now = time.now();
        ASSERT_GE(now, previous);
        previous = now;
    }
}

TEST(SteadyTime, TheCoarseClockIsTheSameOneAFewMillisecondsBehind) {
    const SteadyTime time;
    for (int i = 0; i < 1000; ++i) {
        const auto before = time.now();
        const auto coarse = time.coarse_now();
        const auto after = time.now();
        ASSERT_LE(coarse, after);
        ASSERT_GE(coarse, before - 100ms); // its step is 1 to 10 ms; the rest is for a machine that stood still
    }
}

TEST(SteadyTime, WakesAtOnceForATimeThatIsPast) {
    asio::io_context io;
    SteadyTime time;
    bool woken = false;
    time.sleep_until(io.get_executor(), time.now(), [&](boost::system::error_code code) { woken = !code; });
    EXPECT_FALSE(woken) << "completed inside the call";

    io.run();

    EXPECT_TRUE(woken);
}

TEST(SteadyTime, ACancelledSleepCompletesWithOperationAborted) {
    asio::io_context io;
    asio::cancellation_signal signal;
    boost::system::error_code seen;
    SteadyTime{}.sleep_until(
        io.get_executor(), TimePoint::max(),
        asio::bind_cancellation_slot(signal.slot(), [&](boost::system::error_code code) { seen = code; }));
    io.poll();

    signal.emit(asio::cancellation_type::terminal);
    io.run();

    EXPECT_EQ(seen, asio::error::operation_aborted);
}

TEST(SteadyTime, CompletesThroughTheExecutorOfTheHandler) {
    asio::io_context timers, own;
    bool completed = false;
    SteadyTime{}.sleep_until(
        timers.get_executor(), TimePoint{},
        asio::bind_executor(own.get_executor(), [&](boost::system::error_code) { completed = true; }));

    timers.run();
    EXPECT_FALSE(completed);
    own.run();

    EXPECT_TRUE(completed);
}

TEST(SteadyTime, AContextThatEndsTakesItsSleepersWithIt) {
    auto alive = std::make_shared<int>();
    {
        asio::io_context short_lived;
        SteadyTime{}.sleep_until(short_lived.get_executor(), TimePoint::max(), [alive](boost::system::error_code) {});
        short_lived.poll();
        EXPECT_EQ(alive.use_count(), 2);
    }
    EXPECT_EQ(alive.use_count(), 1);
}

// Its coarse reading is as far behind as it says that it may be.
struct SlowReading {
    static constexpr Duration coarse_step{10ms};

    TimePoint now() const noexcept {
        ++*exact_readings;
        return at;
    }
    TimePoint coarse_now() const noexcept { return at - coarse_step; }
    void sleep_until(const asio::any_io_executor&, TimePoint, SleepHandler) {}

    TimePoint at{1h};
    int* exact_readings;
};

TEST(HasCome, IsExactAndReadsTheExactClockOnlyNearTheTime) {
    int exact_readings = 0;
    const SlowReading time{.exact_readings = &exact_readings};

    EXPECT_FALSE(has_come(time, time.at + 1ns));
    EXPECT_EQ(exact_readings, 0);
    EXPECT_FALSE(has_come(time, TimePoint::max()));
    EXPECT_EQ(exact_readings, 0);
    EXPECT_TRUE(has_come(time, time.at));
    EXPECT_TRUE(has_come(time, time.at - 1ns));
    EXPECT_TRUE(has_come(time, TimePoint::min()));
    EXPECT_EQ(exact_readings, 3);
}

TEST(HasCome, AsksASourceThatDoesNotSayHowCoarseItIsForItsExactTime) {
    testing::ManualTime time;

    EXPECT_TRUE(has_come(time, time.now()));
    EXPECT_FALSE(has_come(time, time.now() + 1ns));
}

TEST(SteadyTime, SaysHowCoarseItsCoarseReadingIs) {
    timespec step{};
    ASSERT_EQ(::clock_getres(CLOCK_MONOTONIC_COARSE, &step), 0);

    EXPECT_LE(2 * (std::chrono::seconds{step.tv_sec} + std::chrono::nanoseconds{step.tv_nsec}),
              SteadyTime::coarse_step);
}

} // namespace
} // namespace velostream
