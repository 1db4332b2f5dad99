// SPDX-License-Identifier: Apache-2.0
#include "velostream/bulkhead.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/errc.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::bulkhead_test {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;
using Permit = BulkheadPermit;

static_assert(CallPolicy<Bulkhead<>> && WaitingGuard<Bulkhead<>::Guard> && TimedPolicy<Bulkhead<>>);

class BulkheadTest : public ::testing::Test {
  protected:
    testing::Started<Result<Permit>> wait(TimePoint deadline = TimePoint::max()) {
        return testing::start(io, bulkhead.async_acquire(deadline, asio::use_awaitable));
    }
    void poll() {
        io.restart();
        io.poll();
    }
    std::size_t in_use() const { return bulkhead.get_stats().in_use; }
    std::size_t waiting() const { return bulkhead.get_stats().waiting; }

    asio::io_context io;
    ManualTime time;
    Bulkhead<ManualTime> bulkhead{{.max_concurrent = 2, .max_waiting = 3, .max_wait = 10s}, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(BulkheadTest, GivesSoManyPermitsAndNoMore) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto third = bulkhead.try_acquire();

    EXPECT_TRUE(first && second);
    EXPECT_EQ(third.error(), Errc::bulkhead_full);
    EXPECT_EQ(third.error(), ErrorType::resource_exhausted);
    EXPECT_EQ(third.error().detail(), "max_concurrent 2, max_waiting 3");
    EXPECT_EQ(in_use(), 2u);
    EXPECT_EQ(bulkhead.get_stats().refused, 1u);
    first->give_back();
    EXPECT_TRUE(bulkhead.try_acquire());
}

TEST_F(BulkheadTest, APermitComesBackOnce) {
    {
        auto permit = *bulkhead.try_acquire();
        auto moved = std::move(permit);
        EXPECT_EQ(in_use(), 1u);
        auto other = *bulkhead.try_acquire();
        other = std::move(moved);
        EXPECT_EQ(in_use(), 1u) << "the one that was there has come back";
        other.give_back();
        other.give_back();
        EXPECT_EQ(in_use(), 0u);
    }
    EXPECT_EQ(in_use(), 0u);
}

TEST_F(BulkheadTest, APermitThatComesBackGoesToTheOneWhoWaitsLongest) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait();
    const auto b = wait();
    EXPECT_EQ(waiting(), 2u);

    first->give_back();
    EXPECT_FALSE(a.ended()) << "resumes through its executor, never inside the call that gives back";
    poll();

    EXPECT_TRUE(a.value());
    EXPECT_FALSE(b.ended());
    EXPECT_EQ(in_use(), 2u);
    EXPECT_EQ(waiting(), 1u);
}

TEST_F(BulkheadTest, ANewcomerNeverOvertakesAWaiter) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait();

    first->give_back(); // on its way to `a`, which has not run yet
    EXPECT_EQ(bulkhead.try_acquire().error(), Errc::bulkhead_full);
    second->give_back();
    EXPECT_TRUE(bulkhead.try_acquire()) << "nobody waits any more";
    poll();

    EXPECT_TRUE(a.value());
}

TEST_F(BulkheadTest, WhoFindsRoomDoesNotWait) {
    const auto a = wait();

    EXPECT_TRUE(a.value());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(BulkheadTest, RefusesAtOnceWhenTheLineIsFull) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait(), b = wait(), c = wait();

    const auto refused = wait();

    EXPECT_EQ(refused.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(waiting(), 3u);
    EXPECT_EQ(bulkhead.get_stats().refused, 1u);
}

TEST_F(BulkheadTest, AWaitEndsAtMaxWait) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait();

    time.advance(10s - 1ns);
    poll();
    EXPECT_FALSE(a.ended());
    time.advance(4ms);
    poll();

    EXPECT_EQ(a.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(a.value().error().detail(), "waited 10003 ms with 2 of 2 calls running and 1 waiting");
    EXPECT_EQ(waiting(), 0u);
    EXPECT_EQ(bulkhead.get_stats().timed_out, 1u);
    EXPECT_EQ(bulkhead.get_stats().refused, 0u);
}

TEST_F(BulkheadTest, AWaitEndsAtAnEarlierDeadlineWhoeverStandsBeforeIt) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait();
    const auto hurried = wait(time.now() + 1s);
    const auto patient = wait(time.now() + 1h);
    EXPECT_EQ(time.sleepers(), 1u) << "one alarm for all";

    time.advance(1s);
    poll();
    EXPECT_EQ(hurried.value().error(), Errc::bulkhead_full);
    EXPECT_FALSE(a.ended());
    time.advance(9s);
    poll();

    EXPECT_TRUE(a.ended() && patient.ended());
    EXPECT_EQ(bulkhead.get_stats().timed_out, 3u);
    EXPECT_EQ(time.sleepers(), 0u);
    first->give_back();
    EXPECT_TRUE(bulkhead.try_acquire()) << "nobody stands in the line any more";
}

TEST_F(BulkheadTest, WithoutMaxWaitOnlyTheDeadlineEndsAWait) {
    Bulkhead<ManualTime> patient{{.max_concurrent = 1, .max_waiting = 2}, time};
    auto permit = patient.try_acquire();
    const auto for_ever = testing::start(io, patient.async_acquire(asio::use_awaitable));
    const auto until = testing::start(io, patient.async_acquire(time.now() + 1h, asio::use_awaitable));
    EXPECT_EQ(time.sleepers(), 1u);

    time.advance(24h);
    poll();
    EXPECT_TRUE(until.ended());
    EXPECT_FALSE(for_ever.ended());
    permit->give_back();
    poll();

    EXPECT_TRUE(for_ever.value());
}

TEST_F(BulkheadTest, MorePermitsWakeThoseWhoWaitLongest) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait(), b = wait(), c = wait();

    bulkhead.set_max_concurrent(4);
    poll();

    EXPECT_TRUE(a.value() && b.value());
    EXPECT_FALSE(c.ended());
    EXPECT_EQ(in_use(), 4u);
    EXPECT_EQ(bulkhead.get_stats().max_concurrent, 4u);
}

TEST_F(BulkheadTest, FewerPermitsDrainAndBlockNobody) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    const auto a = wait();

    bulkhead.set_max_concurrent(1);
    EXPECT_EQ(in_use(), 2u) << "calls that run are left alone";
    first->give_back();
    poll();
    EXPECT_FALSE(a.ended()) << "that one was too many";
    second->give_back();
    poll();

    EXPECT_TRUE(a.value());
    EXPECT_EQ(in_use(), 1u);
    EXPECT_EQ(bulkhead.try_acquire().error().detail(), "max_concurrent 1, max_waiting 3");
}

TEST_F(BulkheadTest, AnIllegalNumberOfPermitsIsNotTaken) {
    EXPECT_THROW(bulkhead.set_max_concurrent(0), std::invalid_argument);
    EXPECT_EQ(bulkhead.get_stats().max_concurrent, 2u);
}

TEST_F(BulkheadTest, AnIllegalConfigIsRefused) {
    try {
        const Bulkhead wrong{BulkheadConfig{.max_concurrent = 0, .max_wait = 0s}};
        FAIL();
    } catch (const std::invalid_argument& error) {
        EXPECT_NE(std::string{error.what()}.find("max_concurrent = 0"), std::string::npos);
        EXPECT_NE(std::string{error.what()}.find("max_wait = 0 ns"), std::string::npos);
    }
}

TEST_F(BulkheadTest, ItsEndCompletesThoseWhoWait) {
    std::optional<Bulkhead<ManualTime>> ending;
    ending.emplace(BulkheadConfig{.max_concurrent = 1, .max_waiting = 1, .max_wait = 10s}, time);
    auto permit = *ending->try_acquire();
    const auto a = testing::start(io, ending->async_acquire(asio::use_awaitable));

    permit.give_back();
    const auto b = testing::start(io, ending->async_acquire(asio::use_awaitable));
    ending.reset();
    poll();
    EXPECT_EQ(time.sleepers(), 0u);

    EXPECT_TRUE(a.value()) << "a permit that was waited for may outlive its bulkhead";
    EXPECT_EQ(b.value().error(), Errc::cancelled);
}

TEST_F(BulkheadTest, ACancelledWaiterHasLeftTheLineWhenTheCancellationReturns) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    asio::cancellation_signal cancel;
    std::optional<Error> told;
    bulkhead.async_acquire(asio::bind_executor(
        io, asio::bind_cancellation_slot(cancel.slot(), [&](const Result<Permit>& permit) { told = permit.error(); })));

    cancel.emit(asio::cancellation_type::terminal);
    EXPECT_EQ(waiting(), 0u);
    EXPECT_FALSE(told) << "told through its executor";
    first->give_back();
    EXPECT_EQ(in_use(), 1u);
    poll();

    EXPECT_EQ(*told, Errc::cancelled);
}

TEST_F(BulkheadTest, AFirstWhoseAlarmFindsNoMemoryIsToldSo) {
    testing::SleeplessTime sleepless;
    Bulkhead<testing::SleeplessTime> poor{{.max_concurrent = 1, .max_waiting = 1, .max_wait = 1s}, sleepless};
    auto permit = poor.try_acquire();
    sleepless.set_has_no_memory(true);

    const auto a = testing::start(io, poor.async_acquire(asio::use_awaitable));

    EXPECT_EQ(a.value().error(), boost::system::errc::not_enough_memory);
    permit->give_back();
    EXPECT_EQ(poor.get_stats().waiting, 0u);
    EXPECT_EQ(poor.get_stats().in_use, 0u);
}

TEST_F(BulkheadTest, ExecutesCallsOneAfterAnother) {
    Bulkhead<ManualTime> narrow{{.max_concurrent = 1, .max_waiting = 10}, time};
    operation.takes(1s).returns(1);

    const auto first = testing::start(io, narrow.execute(operation));
    const auto second = testing::start(io, narrow.execute(operation));
    const auto third = testing::start(io, narrow.execute(operation.with_context()));
    EXPECT_EQ(operation.running(), 1u);
    time.run_for(io, 3s);

    EXPECT_TRUE(first.value() && second.value() && third.value());
    EXPECT_EQ(operation.started_at()[2] - operation.started_at()[0], 2s);
    EXPECT_EQ(narrow.get_stats().in_use, 0u);
}

TEST_F(BulkheadTest, GivesTheRoomOnWhateverTheCallCameTo) {
    operation.fails(Errc::connect_failed).throws(std::runtime_error{"broken"});

    EXPECT_EQ(run(io, time, bulkhead.execute(operation)).error(), Errc::connect_failed);
    EXPECT_EQ(run(io, time, bulkhead.execute(operation)).error(), Errc::operation_failed);

    EXPECT_EQ(in_use(), 0u);
}

TEST_F(BulkheadTest, DoesNotCallWhatItRefuses) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    operation.returns(1);
    const auto start = time.now();

    const auto result = run(io, time, bulkhead.execute(operation));

    EXPECT_EQ(result.error(), Errc::bulkhead_full);
    EXPECT_EQ(time.now() - start, 10s);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(BulkheadTest, TheDeadlineOfACallBoundsItsWait) {
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    operation.returns(1);
    const auto start = time.now();

    const auto result = run(io, time, bulkhead.execute(operation, {.deadline = start + 2s}));

    EXPECT_EQ(result.error(), Errc::bulkhead_full) << "nothing was called: no timeout of the service";
    EXPECT_EQ(time.now() - start, 2s);
}

TEST_F(BulkheadTest, InsideOfARetryARoomIsFreeDuringTheBackoff) {
    RetryExecutor<ManualTime> retry{RetryConfig{.backoff_strategy = FixedInterval{1s}}, nullptr, time};
    Bulkhead<ManualTime> narrow{{.max_concurrent = 1}, time};
    Pipeline guarded{retry, narrow};
    operation.fails(Errc::connect_failed).returns(1);

    const auto call = testing::start(io, guarded.execute(operation));
    EXPECT_EQ(narrow.get_stats().in_use, 0u);
    time.run_for(io, 1s);

    EXPECT_TRUE(call.value());
    EXPECT_EQ(narrow.get_stats().in_use, 0u);
}

TEST_F(BulkheadTest, ARefusalIsNoFailureOfTheServiceAndNotRetried) {
    CircuitBreaker<ManualTime> breaker{"orders", {.failure_threshold = 1}, nullptr, time};
    RetryExecutor<ManualTime> retry{RetryConfig{}, nullptr, time};
    Bulkhead<ManualTime> narrow{{.max_concurrent = 1}, time};
    Pipeline guarded{retry, breaker, narrow};
    auto permit = narrow.try_acquire();
    operation.returns(1);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).error(), Errc::bulkhead_full);

    EXPECT_EQ(breaker.state(), CircuitState::closed);
    EXPECT_EQ(narrow.get_stats().refused, 1u);
}

TEST_F(BulkheadTest, ACallWhosePermitIsToldAfterItsDeadlineIsRefused) {
    auto first = bulkhead.try_acquire();
    const auto second = bulkhead.try_acquire();
    const auto call = testing::start(io, bulkhead.execute(operation, {.deadline = time.now() + 5s}));
    ASSERT_EQ(waiting(), 1u);

    first->give_back();
    time.advance(6s); // its executor is busy meanwhile
    poll();

    EXPECT_EQ(call.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(in_use(), 1u);
    EXPECT_EQ(bulkhead.get_stats().timed_out, 1u);
}

TEST_F(BulkheadTest, APermitPassesWhoIsTooLateByThenAlsoIfTheAlarmIsLate) {
    auto first = bulkhead.try_acquire();
    const auto second = bulkhead.try_acquire();
    const auto late = wait(time.now() + 5s), also_late = wait(time.now() + 5s), in_time = wait(time.now() + 7s);

    time.advance(6s); // nobody runs the context meanwhile
    first->give_back();
    EXPECT_EQ(bulkhead.get_stats().timed_out, 2u);
    EXPECT_EQ(waiting(), 0u);
    poll();

    EXPECT_EQ(late.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(also_late.value().error(), Errc::bulkhead_full);
    EXPECT_TRUE(late.value().error().detail().starts_with("waited 6000 ms ")) << "not the 5 s that it was to";
    EXPECT_TRUE(in_time.value());
    EXPECT_EQ(in_use(), 2u);
}

} // namespace
} // namespace velostream::bulkhead_test
