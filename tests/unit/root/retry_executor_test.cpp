// SPDX-License-Identifier: Apache-2.0
#include "velostream/retry_executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "retry_executor_fixture.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(RetryExecutorTest, IsMadeFromAConfig) {
    RetryExecutor defaults{RetryConfig{}};
    RetryExecutor guide{RetryConfig{.max_retries = 5, .backoff_strategy = BackoffStrategy::FixedInterval{1s}}};

    EXPECT_EQ(defaults.get_stats().calls + guide.get_stats().calls, 0u);
}

TEST_F(RetryExecutorTest, RefusesAnUnusableConfigAndNamesEveryProblem) {
    try {
        RetryExecutor unusable{RetryConfig{.backoff_strategy = FixedInterval{0s}, .attempt_timeout = 0s}};
        FAIL() << "no exception";
    } catch (const std::invalid_argument& problems) {
        EXPECT_THAT(problems.what(), HasSubstr("interval"));
        EXPECT_THAT(problems.what(), HasSubstr("attempt_timeout"));
    }
}

TEST_F(RetryExecutorTest, CallsOnceIfThatSucceeds) {
    auto retry = with({});
    operation.returns(7);

    EXPECT_EQ(execute(retry).value(), 7);
    EXPECT_THAT(calls(), ElementsAre(0s));
    EXPECT_EQ(retry.get_stats().retries, 0u);
}

TEST_F(RetryExecutorTest, TriesAgainAfterTheDelaysOfTheStrategy) {
    auto retry = with({});
    operation.fails(network).fails(network).fails(network).returns(7);

    EXPECT_EQ(execute(retry).value(), 7);
    EXPECT_THAT(calls(), ElementsAre(0ms, 100ms, 300ms, 700ms));
    EXPECT_EQ(retry.get_stats().retries, 3u);
}

TEST_F(RetryExecutorTest, MaxRetriesCountsExtraTries) {
    auto retry = with({.max_retries = 3});
    operation.fails(network);

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 4u);
    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(result.error().attempts(), 4u);
    ASSERT_TRUE(result.error().inner());
    EXPECT_EQ(*result.error().inner(), Errc::connect_failed);
    EXPECT_EQ(result.error(), ErrorType::network) << "answers as its last error";
    EXPECT_EQ(retry.get_stats().exhausted, 1u);
}

TEST_F(RetryExecutorTest, ReturnsAnErrorThatIsNotRetryableAsItself) {
    auto retry = with({});
    operation.fails(network).fails(bad_request);

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(result.error(), ErrorType::bad_request);
    EXPECT_EQ(result.error().code(), bad_request.code());
    EXPECT_EQ(result.error().attempts(), 2u);
    EXPECT_EQ(retry.get_stats().given_up, 1u);
    EXPECT_EQ(retry.get_stats().exhausted, 0u);
}

TEST_F(RetryExecutorTest, AThrownExceptionIsJudgedByItsCode) {
    auto retry = with({});
    operation.throws(boost::system::system_error{asio::error::connection_reset}).throws(std::logic_error{"bug"});

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(result.error(), Errc::operation_failed);
    EXPECT_THROW(result.value(), std::logic_error);
}

TEST_F(RetryExecutorTest, RetryAfterIsALowerBoundOfTheDelay) {
    auto retry = with({});
    operation.fails(network.with_retry_after(5s)).fails(network.with_retry_after(1ms)).returns(1);

    execute(retry);

    EXPECT_THAT(calls(), ElementsAre(0ms, 5s, 5200ms));
}

TEST_F(RetryExecutorTest, AfterTheLastTryTheErrorStillSaysHowLongToWait) {
    auto retry = with({.max_retries = 1});
    operation.fails(network.with_retry_after(30s)).fails(network.with_retry_after(40s));

    const auto result = execute(retry);

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(result.error().retry_after(), 40s) << "that of the last try";
}

TEST_F(RetryExecutorTest, JitterFollowsTheSeed) {
    const RetryConfig config{.max_retries = 5, .jitter = Jitter::full};
    operation.fails(network);
    auto first = with(config, 7), second = with(config, 7), other = with(config, 8);

    const auto begin_and_run = [&](Retry& retry) {
        const auto before = operation.calls();
        const auto begin = time.now();
        execute(retry);
        std::vector<Duration> since;
        for (auto i = before; i < operation.calls(); ++i) since.push_back(operation.started_at()[i] - begin);
        return since;
    };
    const auto calls_of_first = begin_and_run(first);

    EXPECT_EQ(begin_and_run(second), calls_of_first);
    EXPECT_NE(begin_and_run(other), calls_of_first);
    EXPECT_LE(calls_of_first[1], 100ms);
}

TEST_F(RetryExecutorTest, DecorrelatedJitterGrowsFromTheDelayBefore) {
    auto retry = with({.max_retries = 50, .jitter = Jitter::decorrelated}, 3);
    operation.fails(network);

    execute(retry);

    const auto retries = observer->retries();
    auto previous = Duration{100ms};
    for (const auto& scheduled : retries) {
        EXPECT_GE(scheduled.delay, 100ms);
        EXPECT_LE(scheduled.delay, std::min<Duration>(3 * previous, 30s));
        previous = scheduled.delay;
    }
    const auto longest = std::ranges::max_element(retries, {}, &testing::RecordingObserver::Retry::delay);
    EXPECT_GT(longest->delay, 3 * 100ms) << "more than three times the first delay: it grew from another";
}

// Idempotency

TEST_F(RetryExecutorTest, AnUnknownOutcomeIsRetriedOnlyIfTheOperationIsMarked) {
    auto retry = with({});
    operation.fails(Errc::send_outcome_unknown).returns(1);

    const auto unmarked = execute(retry);
    EXPECT_EQ(unmarked.error(), Errc::send_outcome_unknown);
    EXPECT_EQ(operation.calls(), 1u);

    testing::ScriptedOperation<int> again{time};
    again.fails(Errc::send_outcome_unknown).returns(1);
    EXPECT_EQ(run(io, time, retry.execute_with_retry(idempotent(again))).value(), 1);
    EXPECT_EQ(again.calls(), 2u);
}

TEST_F(RetryExecutorTest, TheMarkReachesAnOperationThatTakesTheContext) {
    auto retry = with({});
    operation.returns(1);

    run(io, time, retry.execute_with_retry(operation.with_context()));
    run(io, time, retry.execute_with_retry(idempotent(operation.with_context())));

    EXPECT_FALSE(operation.contexts()[0].is_idempotent());
    EXPECT_TRUE(operation.contexts()[1].is_idempotent());
}

TEST_F(RetryExecutorTest, AnOperationThatTakesTheContextIsConnectedToWhoeverCancels) {
    auto retry = with({});
    operation.returns(1);

    run(io, time, retry.execute_with_retry(operation.with_context()));

    EXPECT_TRUE(operation.contexts()[0].caller_slot().is_connected());
}

// Deadlines

TEST_F(RetryExecutorTest, EndsNowWithTheLastErrorIfTheNextTryWouldBeTooLate) {
    auto retry = with({});
    operation.fails(network);

    const auto result = execute(retry, {.deadline = start + 300ms});

    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(result.error().attempts(), 2u);
    EXPECT_EQ(time.now(), start + 100ms) << "did not sleep into certain death";
    EXPECT_EQ(observer->given_up().back().why, "no time before the deadline");
    EXPECT_EQ(result.error().retry_refused_by(), Errc::deadline_exceeded);
}

TEST_F(RetryExecutorTest, WokenAfterTheDeadlineItEndsWithTheLastErrorToo) {
    auto retry = with({.backoff_strategy = FixedInterval{50ms}});
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation, {.deadline = start + 100ms}));

    time.advance(120ms);
    io.restart();
    io.poll();

    ASSERT_TRUE(call.ended());
    EXPECT_EQ(call.value().error(), Errc::connect_failed);
    EXPECT_EQ(call.value().error().attempts(), 1u);
    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(retry.get_stats().given_up, 1u);
    EXPECT_EQ(retry.get_stats().cancelled, 0u);
}

TEST_F(RetryExecutorTest, DoesNotCallAfterTheDeadline) {
    auto retry = with({});
    operation.returns(1);

    const auto result = execute(retry, {.deadline = start});

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(RetryExecutorTest, ADeadlineReallyCancelsAPlainOperation) {
    auto retry = with({});
    operation.hangs();

    const auto result = execute(retry, {.deadline = start + 3s});

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(result.error(), ErrorType::timeout);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.now(), start + 3s);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(RetryExecutorTest, EachTryHasItsOwnTimeout) {
    auto retry = with({.attempt_timeout = 1s});
    operation.hangs().hangs().takes(999ms).returns(7);

    EXPECT_EQ(execute(retry).value(), 7);

    EXPECT_THAT(calls(), ElementsAre(0s, 1100ms, 2300ms));
    EXPECT_EQ(operation.cancelled(), 2u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(RetryExecutorTest, TheTimeoutOfATryLeavesTheNextItsTime) {
    auto retry = with({.attempt_timeout = 1s});
    operation.takes(950ms).fails(network).returns(7);

    EXPECT_EQ(execute(retry, {.deadline = start + 1h}).value(), 7);

    EXPECT_THAT(calls(), ElementsAre(0s, 1050ms));
}

TEST_F(RetryExecutorTest, TheLongestTimeoutOfATryMeansNever) {
    auto retry = with({.attempt_timeout = Duration::max()});
    operation.takes(59min).returns(7);

    EXPECT_EQ(execute(retry).value(), 7);
}

TEST_F(RetryExecutorTest, TimedOutTriesExhaustAsTimeouts) {
    auto retry = with({.max_retries = 1, .attempt_timeout = 1s});
    operation.hangs();

    const auto result = execute(retry);

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(*result.error().inner(), Errc::deadline_exceeded);
    EXPECT_EQ(result.error(), ErrorType::timeout);
}

TEST_F(RetryExecutorTest, AnOperationThatTakesTheContextIsToldTheDeadlineOfItsTry) {
    auto retry = with({.attempt_timeout = 1s});
    operation.fails(network).returns(1);

    run(io, time, retry.execute_with_retry(operation.with_context(), {.deadline = start + 1050ms}));

    ASSERT_EQ(operation.contexts().size(), 2u);
    EXPECT_EQ(operation.contexts()[0].attempt(), 1u);
    EXPECT_EQ(operation.contexts()[0].deadline(), start + 1s);
    EXPECT_EQ(operation.contexts()[1].attempt(), 2u);
    EXPECT_EQ(operation.contexts()[1].deadline(), start + 1050ms) << "the call's own, which is earlier";
    EXPECT_EQ(operation.contexts()[1].call_deadline(), start + 1050ms);
}

TEST_F(RetryExecutorTest, AValueThatArrivesInSpiteOfTheTimeoutIsReturned) {
    auto retry = with({.attempt_timeout = 1s});
    const auto ignores_cancellation = [this]() -> asio::awaitable<int> {
        const auto executor = co_await asio::this_coro::executor;
        auto sleep = async_sleep_until(time, executor, time.now() + 5s, asio::as_tuple(asio::deferred));
        co_await std::move(sleep);
        co_return 7;
    };

    EXPECT_EQ(run(io, time, retry.execute_with_retry(ignores_cancellation)).value(), 7);
}

TEST_F(RetryExecutorTest, AnOperationThatTakesTheContextAndNotItsSlotIsLeftToBoundItself) {
    auto retry = with({.attempt_timeout = 1s});
    const auto bounds_itself = [this](CallContext& call) -> asio::awaitable<int> {
        EXPECT_EQ(call.deadline(), start + 1s);
        const auto executor = co_await asio::this_coro::executor;
        auto sleep = async_sleep_until(time, executor, start + 5s, asio::use_awaitable);
        co_await std::move(sleep);
        co_return 7;
    };

    const auto result = run(io, time, retry.execute_with_retry(bounds_itself));

    EXPECT_EQ(result.value(), 7);
    EXPECT_EQ(time.now(), start + 5s);
}

TEST_F(RetryExecutorTest, OperationsOfEveryShapeRunUnderADeadline) {
    auto retry = with({.max_retries = 0, .attempt_timeout = 1s});
    int called = 0;
    const auto returns_nothing = [&]() -> asio::awaitable<void> {
        ++called;
        co_return;
    };
    const auto result_of_nothing = [&]() -> asio::awaitable<Result<void>> {
        ++called;
        co_return Errc::invalid_configuration;
    };
    const auto throws = []() -> asio::awaitable<int> {
        throw std::logic_error{"bug"};
        co_return 1;
    };

    EXPECT_TRUE(run(io, time, retry.execute_with_retry(returns_nothing)));
    EXPECT_EQ(run(io, time, retry.execute_with_retry(result_of_nothing)).error(), Errc::invalid_configuration);
    EXPECT_EQ(called, 2);
    EXPECT_THROW(run(io, time, retry.execute_with_retry(throws)).value(), std::logic_error);
    EXPECT_EQ(time.sleepers(), 0u);
}

// What it tells

TEST_F(RetryExecutorTest, CountsHowEveryCallEnded) {
    auto retry = with({.max_retries = 1});
    operation.returns(1);                                           // in the first try
    operation.fails(network).returns(1);                            // in the second
    operation.fails(network).fails(network);                        // in none
    operation.fails(bad_request);                                   // not retryable
    operation.fails(network);                                       // no time for another
    operation.fails(network).fails(asio::error::operation_aborted); // cancelled by itself
    for (int i = 0; i < 4; ++i) execute(retry);
    execute(retry, {.deadline = time.now() + 1ms});
    execute(retry);

    const auto stats = retry.get_stats();
    EXPECT_EQ(stats.calls, 6u);
    EXPECT_EQ(stats.retries, 3u);
    EXPECT_EQ(stats.succeeded_after_retry, 1u);
    EXPECT_EQ(stats.exhausted, 1u);
    EXPECT_EQ(stats.given_up, 2u);
    EXPECT_EQ(stats.not_retryable, 1u);
    EXPECT_EQ(stats.no_time, 1u);
    EXPECT_EQ(stats.no_budget + stats.no_memory + stats.callback_threw, 0u);
    EXPECT_EQ(stats.cancelled, 1u);
    EXPECT_EQ(stats.calls - stats.succeeded_after_retry - stats.exhausted - stats.given_up - stats.cancelled, 1u)
        << "those that succeeded at once";
}

TEST_F(RetryExecutorTest, DoesNotCountACallThatMadeNoTry) {
    auto retry = with({});
    operation.returns(1);

    execute(retry, {.deadline = time.now()});

    EXPECT_EQ(retry.get_stats().calls, 0u);
    EXPECT_EQ(retry.get_stats().cancelled, 0u);
}

TEST_F(RetryExecutorTest, TellsTheObserverWhatItDoes) {
    auto retry = with({.max_retries = 1});
    operation.fails(network);

    execute(retry);

    ASSERT_EQ(observer->retries().size(), 1u);
    EXPECT_EQ(observer->retries()[0].failed_attempts, 1u);
    EXPECT_EQ(observer->retries()[0].delay, 100ms);
    EXPECT_EQ(observer->retries()[0].error, Errc::connect_failed);
    ASSERT_EQ(observer->given_up().size(), 1u);
    EXPECT_EQ(observer->given_up()[0].attempts, 2u);
    EXPECT_EQ(observer->given_up()[0].why, "retries exhausted");
    EXPECT_EQ(observer->given_up()[0].error, Errc::connect_failed);
}

} // namespace
} // namespace velostream
