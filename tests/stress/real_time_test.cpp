// SPDX-License-Identifier: Apache-2.0
// Sleeps of the real clock, and an alarm that is set and stopped while another thread rings it.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <deque>
#include <optional>

#include "velostream/async/alarm.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

TEST(SteadyTimeSleep, WakesNotBeforeTheTime) {
    asio::io_context io;
    SteadyTime time;
    const auto at = time.now() + 2ms;
    std::optional<TimePoint> woken;
    time.sleep_until(io.get_executor(), at, [&](boost::system::error_code code) {
        EXPECT_FALSE(code);
        woken = time.now();
    });

    io.run();

    ASSERT_TRUE(woken);
    EXPECT_GE(*woken, at);
}

TEST(AlarmUnderThreads, RingsAtMostOnceForEachTimeAndAlwaysForTheLast) {
    asio::thread_pool pool{2};
    Alarm alarm;
    std::deque<std::atomic<int>> rings(2000);
    for (std::size_t i = 0; i < rings.size(); ++i) {
        const auto at = SteadyTime{}.now() + static_cast<int>(i % 3) * 10us;
        alarm.set(SteadyTime{}, pool.get_executor(), at, [&ring = rings[i]](AlarmEnd end) {
            EXPECT_EQ(end, AlarmEnd::rang);
            ++ring;
        });
        if (i % 2 == 0) alarm.stop();
    }
    pool.join(); // returns: sleeps that were replaced or stopped keep nothing running

    EXPECT_EQ(rings.back(), 1);
    for (const auto& ring : rings) EXPECT_LE(ring, 1);
}

} // namespace
} // namespace velostream
