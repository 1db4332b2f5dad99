// SPDX-License-Identifier: Apache-2.0
// Who waits behind one whose execution context nobody runs.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "velostream/adaptive_limit.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/rate_limiter.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class StillContextsTest : public ::testing::Test {
  protected:
    static constexpr Duration late = 8ms; // may be who is behind one that stands still

    void pass(Duration by) { time.run_for(io, by); }
    // Who waits in `context`, and what came of it.
    template <class T>
    static auto into(std::optional<T>& told, asio::io_context& context) {
        return asio::bind_executor(context, [&told](T result) { told.emplace(std::move(result)); });
    }

    testing::ManualTime time;
    asio::io_context still, io;
};

TEST_F(StillContextsTest, ADeadlineInABulkheadsLineEndsAWait) {
    Bulkhead<testing::ManualTime> bulkhead{{.max_concurrent = 1, .max_waiting = 10}, time};
    using Turn = Result<BulkheadPermit>;
    auto held = bulkhead.try_acquire();
    std::optional<Turn> first, unhurried, hurried;
    bulkhead.async_acquire(time.now() + 20ms, into(first, still));
    bulkhead.async_acquire(into(unhurried, still));
    bulkhead.async_acquire(time.now() + 50ms, into(hurried, io));

    pass(50ms - 1ns);
    EXPECT_FALSE(hurried);
    pass(1ns + late);

    ASSERT_TRUE(hurried);
    EXPECT_EQ(hurried->error(), Errc::bulkhead_full);
    EXPECT_EQ(bulkhead.get_stats().timed_out, 2u) << "the one who stands still is out of the line, too";
    held->give_back();
    still.poll();
    EXPECT_EQ(first->error(), Errc::bulkhead_full);
    EXPECT_TRUE(*unhurried);
}

TEST_F(StillContextsTest, OneThatWasNotBehindButBeforeItKeepsItsDeadlineToo) {
    Bulkhead<testing::ManualTime> bulkhead{{.max_concurrent = 1, .max_waiting = 10}, time};
    using Turn = Result<BulkheadPermit>;
    auto held = bulkhead.try_acquire();
    std::optional<Turn> a, b, c;
    bulkhead.async_acquire(time.now() + 1s, into(a, io));
    bulkhead.async_acquire(time.now() + 2s, into(b, still));
    bulkhead.async_acquire(time.now() + 3s, into(c, io));

    pass(1s);
    EXPECT_TRUE(a) << "not later than without others";
    pass(1s + late);
    EXPECT_EQ(bulkhead.get_stats().waiting, 1u);
    pass(1s);

    EXPECT_TRUE(c);
}

TEST_F(StillContextsTest, ATurnInARateLimitersLineComes) {
    RateLimiter<testing::ManualTime> limiter{{.permits = 10, .period = 1s, .burst = 1, .max_waiting = 10}, time};
    ASSERT_TRUE(limiter.try_acquire());
    std::optional<Result<void>> first, second;
    limiter.async_acquire(into(first, still));
    limiter.async_acquire(time.now() + 250ms, into(second, io));

    pass(200ms + late);
    ASSERT_TRUE(second) << "the first had its turn, though it does not know";
    EXPECT_TRUE(*second);
    still.poll();

    EXPECT_TRUE(*first);
}

TEST_F(StillContextsTest, ADeadlineInAnAdaptiveLimitsLineEndsAWait) {
    using Limit = AdaptiveLimit<testing::ManualTime>;
    Limit limit{{.initial_limit = 1, .max_waiting = 10}, time};
    auto held = limit.try_acquire();
    std::optional<Result<Limit::Permit>> first, hurried;
    limit.async_acquire(into(first, still));
    limit.async_acquire(time.now() + 50ms, into(hurried, io));

    pass(50ms + late);

    ASSERT_TRUE(hurried);
    EXPECT_EQ(hurried->error(), Errc::bulkhead_full);
}

TEST_F(StillContextsTest, APermitThatWasHandedToOneThatStandsStillIsInUseUntilItRuns) {
    Bulkhead<testing::ManualTime> bulkhead{{.max_concurrent = 1, .max_waiting = 10}, time};
    using Turn = Result<BulkheadPermit>;
    auto held = bulkhead.try_acquire();
    std::optional<Turn> first, hurried;
    bulkhead.async_acquire(into(first, still));
    bulkhead.async_acquire(time.now() + 50ms, into(hurried, io));

    held->give_back();
    pass(50ms + late);
    ASSERT_TRUE(hurried);
    EXPECT_EQ(hurried->error(), Errc::bulkhead_full);
    EXPECT_EQ(bulkhead.get_stats().in_use, 1u);
    still.poll();
    first.reset();

    EXPECT_TRUE(bulkhead.try_acquire());
}

TEST_F(StillContextsTest, AContextInWhichNobodyWaitsAnyMoreHasNoAlarm) {
    Bulkhead<testing::ManualTime> bulkhead{{.max_concurrent = 1, .max_waiting = 10}, time};
    using Turn = Result<BulkheadPermit>;
    auto held = bulkhead.try_acquire();
    std::optional<Turn> first, second;
    bulkhead.async_acquire(time.now() + 1h, into(first, still));
    bulkhead.async_acquire(time.now() + 1s, into(second, io));
    still.poll(); // so that what was set there first is gone
    EXPECT_EQ(time.sleepers(), 2u) << "one alarm for each context";

    time.advance(1s + late);
    io.poll();
    EXPECT_TRUE(second);
    EXPECT_TRUE(io.stopped()) << "nothing keeps the context running";
    held->give_back();
    still.restart();
    still.poll();

    EXPECT_TRUE(still.stopped());
    EXPECT_EQ(time.sleepers(), 0u);
}

// As the smaller of `timeout` and a second says.
TEST_F(StillContextsTest, WhoWaitsForABreakerHearsOfItsTimeWithinPatience) {
    CircuitBreaker<testing::ManualTime> breaker{{.failure_threshold = 1, .timeout = 10s}, nullptr, time};
    breaker.try_acquire()->failure(Errc::connect_failed);
    std::optional<boost::system::error_code> first, second, third;
    breaker.async_ready(into(first, still));
    breaker.async_ready(into(second, still));
    breaker.async_ready(into(third, io));

    pass(11s - 1ns);
    EXPECT_FALSE(third);
    pass(1ns);

    ASSERT_TRUE(third);
    EXPECT_FALSE(*third);
    still.poll();
    EXPECT_TRUE(first && second) << "those before it are ready, too";
}

TEST_F(StillContextsTest, OneThatStandsStillIsAProbeThatNobodyMakes) {
    CircuitBreaker<testing::ManualTime> breaker{
        {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}, nullptr, time};
    breaker.try_acquire()->failure(Errc::connect_failed);
    std::optional<boost::system::error_code> first, second;
    breaker.async_ready(into(first, still));
    breaker.async_ready(into(second, io));

    pass(12s - 1ns); // a second until it is noticed, and one for the first
    EXPECT_FALSE(second);
    pass(1ns);

    EXPECT_TRUE(second);
}

TEST_F(StillContextsTest, WhoWaitsForAKeyHearsOfItsTimeWithinPatience) {
    KeyedCircuitBreakers<int, testing::ManualTime> breakers{
        "shops", {.breaker = {.failure_threshold = 1, .timeout = 500ms}}, nullptr, time};
    breakers.try_acquire(1)->failure(Errc::connect_failed);
    std::optional<boost::system::error_code> first, second;
    breakers.async_ready(1, into(first, still));
    breakers.async_ready(1, into(second, io));

    pass(1s);

    EXPECT_TRUE(second);
}

} // namespace
} // namespace velostream
