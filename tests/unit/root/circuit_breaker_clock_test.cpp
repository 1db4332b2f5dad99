// SPDX-License-Identifier: Apache-2.0
// By which clock a window of time is divided into buckets.
#include <gtest/gtest.h>

#include <chrono>

#include "support/stepping_time.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CircuitBreakerClockTest : public ::testing::Test {
  protected:
    // Whether a failure at the beginning of a bucket still counts `later`.
    bool still_counts(Duration window, Duration later) {
        testing::SteppingTime time;
        time.advance_to(time.now() - time.now().time_since_epoch() % 14700ms + 14700ms); // when all of them begin
        const CircuitBreakerConfig config{.failure_threshold = 2, .sliding_window_duration = window};
        CircuitBreaker<testing::SteppingTime> breaker{"orders", config, nullptr, time};
        breaker.try_acquire()->failure(Errc::connect_failed);
        time.advance(later);
        breaker.try_acquire()->failure(Errc::connect_failed);
        return breaker.state() == CircuitState::open;
    }
};

TEST_F(CircuitBreakerClockTest, BucketsOf100MsAndMoreEndByTheCoarseClock) {
    EXPECT_TRUE(still_counts(1s, 1s - 1ns));
    EXPECT_TRUE(still_counts(1s, 1s + 10ms)) << "that clock says 990 ms";
    EXPECT_FALSE(still_counts(1s, 1s + 20ms)) << "and 1020 ms now";
}

TEST_F(CircuitBreakerClockTest, ShorterOnesEndExactly) {
    EXPECT_TRUE(still_counts(980ms, 980ms - 1ns));
    EXPECT_FALSE(still_counts(980ms, 980ms)) << "the coarse clock says 960 ms";
}

} // namespace
} // namespace velostream
