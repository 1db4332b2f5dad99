// SPDX-License-Identifier: Apache-2.0
#include "velostream/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <boost/system/errc.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/run_coroutine.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

static_assert(CallPolicy<RateLimiter<>> && WaitingGuard<RateLimiter<>::Guard> && TimedPolicy<RateLimiter<>>);

class RateLimiterTest : public ::testing::Test {
  protected:
    testing::Started<Result<void>> wait(TimePoint deadline = TimePoint::max()) {
        return testing::start(io, limiter.async_acquire(deadline, asio::use_awaitable));
    }
    void pass(Duration by) {
        time.advance(by);
        io.restart();
        io.poll();
    }
    void use_all() {
        while (limiter.try_acquire()) {
        }
    }

    asio::io_context io;
    ManualTime time;
    // One call every 100 ms, two at a time.
    RateLimiter<ManualTime> limiter{{.permits = 10, .period = 1s, .burst = 2, .max_waiting = 5, .max_wait = 10s}, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(RateLimiterTest, LetsABurstBeginAndThenOneByOne) {
    EXPECT_TRUE(limiter.try_acquire() && limiter.try_acquire());
    const auto refused = limiter.try_acquire();

    EXPECT_EQ(refused.error(), Errc::rate_limited);
    EXPECT_EQ(refused.error(), ErrorType::resource_exhausted);
    EXPECT_EQ(refused.error().retry_after(), 100ms);
    EXPECT_EQ(refused.error().detail(), "permits 10 in 1 s, burst 2, max_waiting 5");
    time.advance(100ms);
    EXPECT_TRUE(limiter.try_acquire());
    EXPECT_EQ(limiter.get_stats().granted, 3u);
    EXPECT_EQ(limiter.get_stats().refused, 1u);
}

TEST_F(RateLimiterTest, ThoseWhoWaitHaveTheirTurnsInTheOrderOfArrival) {
    use_all();
    const auto a = wait(), b = wait(), c = wait();
    EXPECT_EQ(limiter.get_stats().waiting, 3u);
    EXPECT_EQ(time.sleepers(), 1u) << "one alarm for all";

    pass(100ms - 1ns);
    EXPECT_FALSE(a.ended());
    pass(1ns);
    EXPECT_TRUE(a.value());
    EXPECT_FALSE(b.ended());
    pass(100ms);
    EXPECT_TRUE(b.value());
    EXPECT_FALSE(c.ended());
    pass(100ms);
    EXPECT_TRUE(c.value());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(RateLimiterTest, ALateAlarmWakesAllWhoseTurnHasCome) {
    use_all();
    const auto a = wait(), b = wait(), c = wait();

    pass(250ms);

    EXPECT_TRUE(a.value() && b.value());
    EXPECT_FALSE(c.ended());
    pass(100ms - 1ns);
    EXPECT_FALSE(c.ended()) << "no more than a burst piles up";
    pass(1ns);
    EXPECT_TRUE(c.value());
}

TEST_F(RateLimiterTest, ATurnPassesWhoIsTooLateByThenAlsoIfTheAlarmIsLate) {
    use_all();
    const auto refused = limiter.get_stats().refused;
    const auto late = wait(time.now() + 150ms), in_time = wait(time.now() + 10s);

    pass(160ms);

    EXPECT_EQ(late.value().error(), Errc::rate_limited);
    EXPECT_EQ(late.value().error().retry_after(), 0ms);
    EXPECT_TRUE(in_time.value());
    EXPECT_EQ(limiter.get_stats().refused, refused + 1);
    EXPECT_EQ(limiter.get_stats().waiting, 0u);
}

TEST_F(RateLimiterTest, ANewcomerNeverOvertakesAWaiter) {
    use_all();
    const auto a = wait();
    const auto b = wait();

    time.advance(200ms); // both turns have come, and nobody has run yet
    const auto refused = limiter.try_acquire();
    EXPECT_FALSE(refused);
    io.restart();
    io.poll();

    EXPECT_TRUE(a.value() && b.value());
    EXPECT_EQ(refused.error().retry_after(), 100ms);
}

TEST_F(RateLimiterTest, AWaiterThatLeavesMovesThoseBehindItForward) {
    use_all();
    const auto a = wait(), b = wait(), c = wait();

    a.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();
    EXPECT_EQ(a.value().error(), Errc::cancelled);
    EXPECT_EQ(limiter.get_stats().cancelled, 1u);
    pass(100ms);
    EXPECT_TRUE(b.value());
    pass(100ms);
    EXPECT_TRUE(c.value());
}

TEST_F(RateLimiterTest, AWaitThatWouldPassTheDeadlineIsRefusedAtOnce) {
    use_all();
    const auto a = wait();

    const auto too_late = wait(time.now() + 200ms);
    const auto in_time = wait(time.now() + 200ms + 1ns);

    EXPECT_EQ(too_late.value().error(), Errc::rate_limited);
    EXPECT_EQ(too_late.value().error().retry_after(), 200ms);
    EXPECT_FALSE(in_time.ended());
    pass(200ms);
    EXPECT_TRUE(in_time.value());
}

TEST_F(RateLimiterTest, AWaitThatWouldPassMaxWaitIsRefusedAtOnce) {
    RateLimiter<ManualTime> brief{{.permits = 1, .period = 1s, .burst = 1, .max_waiting = 10, .max_wait = 2s}, time};
    ASSERT_TRUE(brief.try_acquire());
    const auto a = testing::start(io, brief.async_acquire(asio::use_awaitable));
    const auto b = testing::start(io, brief.async_acquire(asio::use_awaitable));
    const auto c = testing::start(io, brief.async_acquire(asio::use_awaitable));

    EXPECT_FALSE(a.ended() || b.ended());
    EXPECT_EQ(c.value().error(), Errc::rate_limited);
    EXPECT_EQ(c.value().error().retry_after(), 3s);
}

TEST_F(RateLimiterTest, RefusesAtOnceWhenTheLineIsFull) {
    use_all();
    std::vector<testing::Started<Result<void>>> waiters;
    for (int i = 0; i < 5; ++i) waiters.push_back(wait());

    const auto refused = wait();

    EXPECT_EQ(refused.value().error(), Errc::rate_limited);
    EXPECT_EQ(refused.value().error().retry_after(), 600ms);
    EXPECT_EQ(limiter.get_stats().waiting, 5u);
}

TEST_F(RateLimiterTest, AHigherRateMovesTurnsForward) {
    use_all();
    const auto a = wait(), b = wait();

    limiter.set_rate({.permits = 100, .period = 1s, .burst = 2});
    pass(10ms);

    EXPECT_TRUE(a.value());
    pass(10ms);
    EXPECT_TRUE(b.value());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(RateLimiterTest, ALowerRateRefusesThoseWhoseTurnIsTooLateThen) {
    use_all();
    const auto a = wait(time.now() + 500ms);
    const auto b = wait();
    const auto c = wait(time.now() + 5s);
    const auto d = wait(time.now() + 8s + 1ns); // at its turn there is still time

    limiter.set_rate({.permits = 1, .period = 4s, .burst = 2});
    io.restart();
    io.poll();

    EXPECT_EQ(a.value().error(), Errc::rate_limited);
    EXPECT_EQ(a.value().error().retry_after(), 4s);
    EXPECT_EQ(a.value().error().detail(), "permits 1 in 4 s, burst 2, max_waiting 5");
    EXPECT_EQ(c.value().error(), Errc::rate_limited) << "its turn would come at 8 s";
    EXPECT_FALSE(b.ended());
    pass(4s);
    EXPECT_TRUE(b.value()) << "at the turn of the one before it";
    EXPECT_FALSE(d.ended()) << "those who were refused are not before it";
    pass(4s);
    EXPECT_TRUE(d.value());
}

TEST_F(RateLimiterTest, AnIllegalRateIsNotTaken) {
    EXPECT_THROW(limiter.set_rate({.permits = 0}), std::invalid_argument);
    EXPECT_THROW((RateLimiter{RateLimiterConfig{.period = 0s}}), std::invalid_argument);
    use_all();
    EXPECT_EQ(limiter.try_acquire().error().retry_after(), 100ms);
}

TEST_F(RateLimiterTest, ShowsHowManyCallsCouldBeginNow) {
    EXPECT_EQ(limiter.get_stats().available, 2u);
    use_all();
    EXPECT_EQ(limiter.get_stats().available, 0u);
    time.advance(100ms);
    EXPECT_EQ(limiter.get_stats().available, 1u);
    use_all();
    const auto waits = wait();
    time.advance(100ms); // nobody runs the context meanwhile
    EXPECT_EQ(limiter.get_stats().available, 0u) << "it is that of the one who waits";
}

TEST_F(RateLimiterTest, ItsEndCompletesThoseWhoWait) {
    std::optional<RateLimiter<ManualTime>> ending;
    ending.emplace(RateLimiterConfig{.permits = 1, .period = 1h, .max_waiting = 2}, time);
    ASSERT_TRUE(ending->try_acquire());
    const auto a = testing::start(io, ending->async_acquire(asio::use_awaitable));
    const auto b = testing::start(io, ending->async_acquire(asio::use_awaitable));

    ending.reset();
    io.restart();
    io.poll();
    EXPECT_EQ(time.sleepers(), 0u);

    EXPECT_EQ(a.value().error(), Errc::cancelled);
    EXPECT_EQ(b.value().error(), Errc::cancelled);
}

TEST_F(RateLimiterTest, AFirstWhoseAlarmFindsNoMemoryIsToldSo) {
    testing::SleeplessTime sleepless;
    RateLimiter<testing::SleeplessTime> poor{{.permits = 1, .period = 1s, .max_waiting = 2}, sleepless};
    ASSERT_TRUE(poor.try_acquire());
    sleepless.set_has_no_memory(true);

    const auto a = testing::start(io, poor.async_acquire(asio::use_awaitable));

    EXPECT_EQ(a.value().error(), boost::system::errc::not_enough_memory);
    EXPECT_EQ(poor.get_stats().waiting, 0u);
    sleepless.set_has_no_memory(false);
    const auto b = testing::start(io, poor.async_acquire(asio::use_awaitable));
    sleepless.advance(1s);
    io.restart();
    io.poll();
    EXPECT_TRUE(b.value());
}

TEST_F(RateLimiterTest, TheAlarmMovesWithTheFirstToItsContext) {
    asio::io_context elsewhere;
    use_all();
    const auto a = testing::start(elsewhere, limiter.async_acquire(asio::use_awaitable));
    const auto b = wait();

    ASSERT_EQ(time.sleepers(), 2u) << "one in each context";
    a.cancel(asio::cancellation_type::terminal);
    elsewhere.restart();
    elsewhere.poll();
    pass(0s);
    EXPECT_EQ(time.sleepers(), 1u) << "none where nobody waits any more";
    pass(100ms);

    EXPECT_TRUE(b.value()) << "although nobody runs the other context any more";
}

TEST_F(RateLimiterTest, ExecutesCallsAtTheRate) {
    operation.returns(1);
    std::vector<testing::Started<Result<int>>> calls;
    for (int i = 0; i < 6; ++i) calls.push_back(testing::start(io, limiter.execute(operation)));
    const auto start = time.now();
    time.run_for(io, 1s);

    for (const auto& call : calls) EXPECT_TRUE(call.value());
    for (std::size_t i = 2; i < 6; ++i) EXPECT_EQ(operation.started_at()[i] - start, static_cast<int>(i - 1) * 100ms);
}

TEST_F(RateLimiterTest, DoesNotCallWhatItRefuses) {
    use_all();
    operation.returns(1);
    const auto start = time.now();

    const auto result = run(io, time, limiter.execute(operation, {.deadline = start + 50ms}));

    EXPECT_EQ(result.error(), Errc::rate_limited);
    EXPECT_EQ(time.now(), start) << "at once";
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(RateLimiterTest, ADeadlineMayBeTheEarliestOfAll) {
    use_all();

    const auto refused = wait(TimePoint::min());

    EXPECT_EQ(refused.value().error(), Errc::rate_limited);
}

TEST_F(RateLimiterTest, ACallWhoseTurnIsToldAfterItsDeadlineIsRefused) {
    use_all();
    const auto granted = limiter.get_stats().granted;
    const auto call = testing::start(io, limiter.execute(operation, {.deadline = time.now() + 150ms}));

    pass(1s); // its executor was busy meanwhile

    EXPECT_EQ(call.value().error(), Errc::rate_limited);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(limiter.get_stats().granted, granted);
}

TEST_F(RateLimiterTest, ATurnThatComesInTimeAndIsHeardOfTooLateIsNotUsed) {
    use_all();
    const auto before = limiter.get_stats();
    const auto call = testing::start(io, limiter.execute(operation, {.deadline = time.now() + 150ms}));

    time.advance(100ms);
    io.restart();
    while (limiter.get_stats().waiting > 0) ASSERT_EQ(io.poll_one(), 1u); // it has its turn, and is not told yet
    pass(50ms);

    EXPECT_EQ(call.value().error(), Errc::rate_limited);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(limiter.get_stats().granted, before.granted) << "nobody was let begin";
    EXPECT_EQ(limiter.get_stats().refused, before.refused + 1);
    EXPECT_EQ(limiter.get_stats().available, 0u) << "but the permit is lost";
}

TEST_F(RateLimiterTest, ARetryThatListsRefusalsWaitsAsLongAsTheyTell) {
    RateLimiter<ManualTime> strict{{.permits = 1, .period = 1s}, time};
    RetryExecutor<ManualTime> retry{
        RetryConfig{.backoff_strategy = FixedInterval{1ms}, .retry_on = {ErrorType::resource_exhausted}}, nullptr,
        time};
    Pipeline guarded{retry, strict};
    ASSERT_TRUE(strict.try_acquire());
    operation.returns(1);
    const auto start = time.now();

    EXPECT_TRUE(run(io, time, guarded.execute(operation)));

    EXPECT_EQ(time.now() - start, 1s);
    EXPECT_EQ(operation.calls(), 1u);
}

} // namespace
} // namespace velostream
