// SPDX-License-Identifier: Apache-2.0
// A circuit breaker that gets another configuration while it works, and one that is charged for what it holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <stdexcept>

#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream::circuit_breaker_reconfigure_test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const Error network = Errc::connect_failed;

class CircuitBreakerReconfigureTest : public ::testing::Test {
  protected:
    using Breaker = CircuitBreaker<testing::ManualTime>;

    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    Breaker breaker{"orders", {.failure_threshold = 10, .success_threshold = 2, .timeout = 10s}, observer, time};
};

TEST_F(CircuitBreakerReconfigureTest, KeepsTheWindowAndOpensWithTheNextOutcome) {
    for (int i = 0; i < 3; ++i) breaker.try_acquire()->failure(network);
    auto out = breaker.try_acquire();

    breaker.reconfigure({.failure_threshold = 3});
    EXPECT_EQ(breaker.state(), CircuitState::closed);
    EXPECT_EQ(breaker.get_stats().failure_count, 3u);
    EXPECT_EQ(breaker.config().failure_threshold, 3u);

    out->success();
    EXPECT_EQ(breaker.state(), CircuitState::open);
    EXPECT_THAT(breaker.why_open()->text, HasSubstr("3 failures in the last 4 calls (threshold 3)"));
}

TEST_F(CircuitBreakerReconfigureTest, AnUnusableConfigurationChangesNothing) {
    EXPECT_THROW(breaker.reconfigure({.failure_threshold = 0}), std::invalid_argument);

    EXPECT_EQ(breaker.config().failure_threshold, 10u);
    for (int i = 0; i < 9; ++i) breaker.try_acquire()->failure(network);
    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerReconfigureTest, ShowsAWindowOfTimeAsSuch) {
    breaker.try_acquire()->failure(network);

    breaker.reconfigure({.sliding_window_duration = 10s});

    EXPECT_EQ(breaker.get_stats().window_size, 0u);
    EXPECT_EQ(breaker.get_stats().window_duration, 10s);
    EXPECT_EQ(breaker.get_stats().window_calls, 1u);
    time.advance(10s);
    EXPECT_EQ(breaker.get_stats().window_calls, 0u);
    EXPECT_EQ(breaker.get_stats().success_rate, 1.0);
}

TEST_F(CircuitBreakerReconfigureTest, ShowsNoSlowCallsWhileTheSlowRuleIsOff) {
    breaker.reconfigure({.slow_call_threshold = 1s, .slow_call_rate_threshold = 1.0});
    auto slow = breaker.try_acquire();
    time.advance(1s);
    slow->success();
    ASSERT_EQ(breaker.get_stats().slow_count, 1u);

    breaker.reconfigure({});

    EXPECT_EQ(breaker.get_stats().slow_count, 0u);
}

TEST_F(CircuitBreakerReconfigureTest, AnOverdueProbeIsToldAndACallbackMayReconfigure) {
    for (int i = 0; i < 10; ++i) breaker.try_acquire()->failure(network);
    time.advance(10s);
    const auto probe = breaker.try_acquire();
    time.advance(60s);
    int told = 0;
    breaker.on_state_change([&](const CircuitStateChanged& change) {
        EXPECT_EQ(change.to, CircuitState::open);
        if (++told == 1) breaker.reconfigure({.failure_threshold = 7});
    });

    breaker.reconfigure({.failure_threshold = 5});

    EXPECT_EQ(told, 1);
    EXPECT_EQ(breaker.config().failure_threshold, 7u);
    EXPECT_EQ(breaker.state(), CircuitState::open);
}

TEST_F(CircuitBreakerReconfigureTest, AWaiterThatMakesNoCallDelaysTheNextByTheNewPatience) {
    asio::io_context io;
    for (int i = 0; i < 10; ++i) breaker.try_acquire()->failure(network);
    breaker.reconfigure({.success_threshold = 1, .timeout = 100ms});
    time.advance(10s);
    int ready = 0;
    const auto count = [&](boost::system::error_code code) { ready += !code; };
    breaker.async_ready(asio::bind_executor(io.get_executor(), count));
    breaker.async_ready(asio::bind_executor(io.get_executor(), count));
    io.poll();
    EXPECT_EQ(ready, 1);

    time.advance(100ms);
    io.restart();
    io.poll();

    EXPECT_EQ(ready, 2);
}

TEST_F(CircuitBreakerReconfigureTest, WaitersLearnAtOnceThatMoreProbesMayBeMade) {
    asio::io_context io;
    breaker.reconfigure({.failure_threshold = 10, .success_threshold = 1, .timeout = 10s});
    for (int i = 0; i < 10; ++i) breaker.try_acquire()->failure(network);
    time.advance(10s);
    int ready = 0;
    const auto count = [&](boost::system::error_code code) { ready += !code; };
    for (int i = 0; i < 3; ++i) breaker.async_ready(asio::bind_executor(io.get_executor(), count));
    io.poll();
    ASSERT_EQ(ready, 1);

    breaker.reconfigure({.failure_threshold = 10, .success_threshold = 2, .timeout = 10s});
    io.restart();
    io.poll();

    EXPECT_EQ(ready, 2);
}

// On a strand

TEST_F(CircuitBreakerReconfigureTest, AConfinedBreakerFollowsTheSameRules) {
    ConfinedCircuitBreaker<testing::ManualTime> confined{
        "strand", {.failure_threshold = 2, .success_threshold = 1, .timeout = 10s}, observer, time};
    asio::io_context io;
    confined.try_acquire()->success();
    confined.try_acquire()->failure(network);
    confined.try_acquire()->failure(network);
    EXPECT_EQ(confined.state(), CircuitState::open);
    EXPECT_EQ(confined.try_acquire().error().retry_after(), 10s);
    EXPECT_EQ(confined.get_stats().window_calls, 3u);

    int ready = 0;
    confined.async_ready(
        asio::bind_executor(io.get_executor(), [&](boost::system::error_code code) { ready += !code; }));
    time.advance(10s);
    io.poll();
    EXPECT_EQ(ready, 1);
    confined.reconfigure({.failure_threshold = 7, .success_threshold = 1});
    confined.try_acquire()->success();

    EXPECT_EQ(confined.state(), CircuitState::closed);
    EXPECT_EQ(observer->transitions().size(), 3u);
}

TEST_F(CircuitBreakerReconfigureTest, AConfinedBreakerTakesAFractionOfTheMemory) {
    const MemoryAccount shared{"shared"}, plain{"plain"};
    const Breaker one{"one", {}, nullptr, time, {}, shared};
    const ConfinedCircuitBreaker<testing::ManualTime> other{"other", {}, nullptr, time, {}, plain};

    EXPECT_LE(plain.used(), shared.used() / 2);
}

// Memory

TEST_F(CircuitBreakerReconfigureTest, ItsAccountIsChargedForItsStateAndItsWindow) {
    const MemoryAccount account{"breakers"};
    {
        Breaker charged{"charged", {.failure_threshold = 1000, .sliding_window_size = 1000}, nullptr, time, {},
                        account};
        const auto empty = account.used();
        EXPECT_GE(empty, 1000u);
        EXPECT_LE(empty, 4096u);
        for (int i = 0; i < 1000; ++i) {
            charged.try_acquire()->failure(network);
            charged.try_acquire()->success();
        }
        EXPECT_GE(account.used(), empty + 500 * 16);
        charged.reconfigure({.sliding_window_duration = 10s, .sliding_window_buckets = 1000});
        EXPECT_GE(account.used(), 1000 * 24u + sizeof(BreakerMachine));
    }
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(CircuitBreakerReconfigureTest, AnAccountWithoutRoomForAnEmptyBreakerRefusesIt) {
    const MemoryAccount account{"full", 500};

    EXPECT_THROW((Breaker{"refused", {}, nullptr, time, {}, account}), MemoryRefusedException);

    EXPECT_EQ(account.used(), 0u);
}

TEST_F(CircuitBreakerReconfigureTest, AWindowThatMayNotGrowLosesNoFailure) {
    const MemoryAccount account{"breakers", 4096};
    Breaker charged{"charged", {.failure_threshold = 500, .sliding_window_size = 1000}, nullptr, time, {}, account};

    for (int i = 0; i < 499; ++i) {
        charged.try_acquire()->failure(network);
        charged.try_acquire()->success();
    }
    EXPECT_GT(account.refusals(), 0u);
    EXPECT_EQ(charged.get_stats().failure_count, 499u);
    charged.try_acquire()->failure(network);

    EXPECT_EQ(charged.state(), CircuitState::open);
}

TEST_F(CircuitBreakerReconfigureTest, ANewWindowThatDoesNotFitChangesNothing) {
    const MemoryAccount account{"breakers", 4096};
    Breaker charged{"charged", {}, nullptr, time, {}, account};

    EXPECT_THROW(charged.reconfigure({.sliding_window_duration = 10s, .sliding_window_buckets = 1000}),
                 MemoryRefusedException);

    EXPECT_EQ(charged.config().sliding_window_duration, std::nullopt);
    EXPECT_EQ(charged.get_stats().window_size, 100u);
}

} // namespace
} // namespace velostream::circuit_breaker_reconfigure_test
