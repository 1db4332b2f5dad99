// SPDX-License-Identifier: Apache-2.0
// However a call through a rate limiter ends early, it leaves nothing behind: no waiter, no sleeper, no turn.
#include "velostream/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "support/cancellation_kinds.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CancelledRateLimiterTest : public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    CancelledRateLimiterTest() {
        EXPECT_TRUE(limiter.try_acquire());
        operation.returns(1);
    }
    void poll(asio::io_context& context) {
        context.restart();
        context.poll();
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(limiter.get_stats().waiting, 0u);
    }

    testing::ManualTime time;
    asio::io_context elsewhere;
    std::optional<asio::io_context> io{std::in_place};
    RateLimiter<testing::ManualTime> limiter{{.permits = 1, .period = 1s, .max_waiting = 10}, time};
    testing::ScriptedOperation<int> operation{time};
};

INSTANTIATE_TEST_SUITE_P(Kinds, CancelledRateLimiterTest, ::testing::ValuesIn(testing::cancellation_kinds));

TEST_P(CancelledRateLimiterTest, AsTheFirstInTheLine) {
    const auto call = testing::start(*io, limiter.execute(operation));
    const auto next = testing::start(*io, limiter.execute(operation));

    call.cancel(GetParam());
    poll(*io);
    EXPECT_EQ(limiter.get_stats().waiting, 1u);

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    time.advance(1s);
    poll(*io);
    EXPECT_TRUE(next.value()) << "at the turn of the one before it";
    expect_nothing_left();
}

TEST_P(CancelledRateLimiterTest, AsTheLastInTheLine) {
    const auto first = testing::start(*io, limiter.execute(operation));
    const auto call = testing::start(*io, limiter.execute(operation));

    call.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    time.advance(1s);
    poll(*io);
    EXPECT_TRUE(first.value());
    expect_nothing_left();
}

TEST_P(CancelledRateLimiterTest, AsTheOnlyOne) {
    const auto call = testing::start(*io, limiter.execute(operation));

    call.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    expect_nothing_left();
    time.advance(1s);
    EXPECT_TRUE(limiter.try_acquire()) << "its turn was not used";
}

TEST_P(CancelledRateLimiterTest, WhileItsTurnIsOnItsWay) {
    const auto call = testing::start(*io, limiter.execute(operation));
    time.advance(1s);

    call.cancel(GetParam());
    poll(*io);

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    expect_nothing_left();
}

// The context ends while the call is in the line: its frame is destroyed there.
class DestroyedRateLimiterCall : public CancelledRateLimiterTest {};

INSTANTIATE_TEST_SUITE_P(Once, DestroyedRateLimiterCall, ::testing::Values(asio::cancellation_type::terminal));

TEST_P(DestroyedRateLimiterCall, WithTheOneBehindItInAnotherContext) {
    const auto call = testing::start(*io, limiter.execute(operation));
    const auto also = testing::start(*io, limiter.execute(operation));
    const auto next = testing::start(elsewhere, limiter.execute(operation));

    io.reset();
    EXPECT_FALSE(call.ended() || also.ended());
    poll(elsewhere); // where the later alarm that it had as the third is stopped
    EXPECT_EQ(time.sleepers(), 1u) << "the alarm is now that of the next";
    time.advance(1s);
    poll(elsewhere);

    EXPECT_TRUE(next.value());
    expect_nothing_left();
}

TEST_P(DestroyedRateLimiterCall, WhileItsTurnIsOnItsWay) {
    const auto call = testing::start(*io, limiter.async_acquire(asio::use_awaitable));
    const auto next = testing::start(elsewhere, limiter.execute(operation));
    time.advance(1s);

    io.reset();
    EXPECT_FALSE(call.ended());
    time.advance(1s);
    poll(elsewhere);

    EXPECT_TRUE(next.value());
    expect_nothing_left();
}

TEST_P(DestroyedRateLimiterCall, AfterItsLimiter) {
    std::optional<RateLimiter<testing::ManualTime>> ending;
    ending.emplace(RateLimiterConfig{.permits = 1, .period = 1s, .max_waiting = 2}, time);
    ASSERT_TRUE(ending->try_acquire());
    const auto waits = testing::start(*io, ending->async_acquire(asio::use_awaitable));

    ending.reset();
    io.reset();

    EXPECT_FALSE(waits.ended());
    expect_nothing_left();
}

TEST_P(DestroyedRateLimiterCall, WithRealTimers) {
    RateLimiter real{RateLimiterConfig{.permits = 1, .period = 1h, .max_waiting = 2}};
    ASSERT_TRUE(real.try_acquire());
    const auto waits = testing::start(*io, real.async_acquire(asio::use_awaitable));
    const auto behind = testing::start(elsewhere, real.async_acquire(asio::use_awaitable));

    io.reset();

    EXPECT_FALSE(waits.ended() || behind.ended());
    EXPECT_EQ(real.get_stats().waiting, 1u);
}

} // namespace
} // namespace velostream
