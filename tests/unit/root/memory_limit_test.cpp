// SPDX-License-Identifier: Apache-2.0
#include "velostream/memory_limit.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class MemoryLimitTest : public ::testing::Test {
  protected:
    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    const MemoryAccount account{"traffic", 100};
    MemoryLimit<ManualTime> limit{account, 60, WhenFull::refuse, time};
    MemoryLimit<ManualTime> patient{account, 60, WhenFull::wait, time};
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 1}, nullptr, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(MemoryLimitTest, HoldsTheBytesWhileTheCallRuns) {
    operation.takes(1s).returns(7);
    Pipeline guarded{limit};

    const auto call = testing::start(io, guarded.execute(operation));
    EXPECT_EQ(account.used(), 60u);
    time.run_for(io, 1s);

    EXPECT_EQ(call.value().value(), 7);
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(MemoryLimitTest, RefusesACallThatThereIsNoRoomFor) {
    const auto held = account.try_reserve(50);
    operation.returns(7);
    Pipeline guarded{retry, limit};

    const auto result = run(io, time, guarded.execute(operation));

    EXPECT_EQ(result.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(retry.get_stats().retries, 0u);
}

TEST_F(MemoryLimitTest, WaitsForRoomIfItIsTold) {
    auto held = account.try_reserve(50);
    operation.returns(7);
    Pipeline guarded{patient};
    const auto call = testing::start(io, guarded.execute(operation));
    ASSERT_FALSE(call.ended());

    held->release();
    io.restart();
    io.poll();

    EXPECT_EQ(call.value().value(), 7);
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(MemoryLimitTest, WaitsNoLongerThanTheDeadline) {
    const auto held = account.try_reserve(50);
    operation.returns(7);
    Pipeline guarded{patient};

    const auto result = run(io, time, guarded.execute(operation, start + 5s));

    EXPECT_EQ(result.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(time.now(), start + 5s);
    EXPECT_EQ(account.waiting(), 0u);
}

TEST_F(MemoryLimitTest, ACallWhoseRoomIsToldAfterItsDeadlineIsRefused) {
    auto held = *account.try_reserve(50);
    Pipeline guarded{patient};
    const auto call = testing::start(io, guarded.execute(operation, {.deadline = start + 5s}));

    held.release();
    time.advance(6s); // its executor is busy meanwhile
    io.restart();
    io.poll();

    EXPECT_EQ(call.value().error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(MemoryLimitTest, AWaitThatEndsAtTheDeadlineIsNeitherRetriedNorATimeoutOfTheService) {
    const auto held = account.try_reserve(50);
    CircuitBreaker<ManualTime> breaker{"orders", {.failure_threshold = 1}, nullptr, time};
    Timeout<ManualTime> each{1s, time};
    Pipeline guarded{retry, breaker, each, patient};

    const auto result = run(io, time, guarded.execute(operation));

    EXPECT_EQ(result.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(retry.get_stats().retries, 0u);
    EXPECT_EQ(breaker.state(), CircuitState::closed);
    EXPECT_EQ(each.get_stats().timed_out, 0u);
}

TEST_F(MemoryLimitTest, AWaitThatIsCancelledOrDestroyedLeavesNothing) {
    auto held = account.try_reserve(50);
    operation.returns(7);
    Pipeline guarded{patient};
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        const auto call = testing::start(io, guarded.execute(operation));
        call.cancel(kind);
        io.restart();
        io.poll();
        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    }
    {
        asio::io_context ending;
        const auto call = testing::start(ending, guarded.execute(operation));
        ASSERT_EQ(account.waiting(), 1u);
    }

    EXPECT_EQ(account.waiting(), 0u);
    held->release();
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(MemoryLimitTest, IsFreeDuringTheBackoffInsideOfARetryAndHeldOutside) {
    operation.fails(Errc::connect_failed).returns(7);
    Pipeline inside{retry, limit};
    const auto first = testing::start(io, inside.execute(operation));
    EXPECT_EQ(account.used(), 0u);
    time.run_for(io, 1s);
    EXPECT_EQ(first.value().value(), 7);

    testing::ScriptedOperation<int> other{time};
    other.fails(Errc::connect_failed).returns(7);
    Pipeline outside{limit, retry};
    const auto second = testing::start(io, outside.execute(other));
    EXPECT_EQ(account.used(), 60u);
    time.run_for(io, 1s);
    EXPECT_EQ(second.value().value(), 7);
    EXPECT_EQ(account.used(), 0u);
}

} // namespace
} // namespace velostream
