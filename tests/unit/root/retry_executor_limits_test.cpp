// SPDX-License-Identifier: Apache-2.0
// What ends a call before its tries are used up: a budget that many share, and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "retry_executor_fixture.hpp"
#include "support/ticking_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/resource_manager.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

// Grants `retries`, whatever the number of calls.
RetryBudget budget_of(int retries) {
    return RetryBudget{{.ratio = 0, .reserve_per_second = 0.1 * retries}};
}

using RetryBudgetTest = RetryExecutorTest;

TEST_F(RetryBudgetTest, AnEmptyBudgetEndsTheCallWithItsErrorAndTheReason) {
    auto retry = with({}, {.budget = budget_of(1)});
    operation.fails(Error{Errc::connect_failed, "broker 7"}.with_retry_after(2s));

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(time.now(), start + 2s) << "no second wait";
    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(result.error(), ErrorType::network);
    EXPECT_EQ(result.error().detail(), "broker 7");
    EXPECT_EQ(result.error().retry_after(), 2s);
    EXPECT_EQ(result.error().attempts(), 2u);
    EXPECT_EQ(result.error().retry_refused_by(), Errc::budget_exhausted);
    EXPECT_EQ(retry.get_stats().no_budget, 1u);
    EXPECT_EQ(retry.get_stats().given_up, 1u);
    ASSERT_EQ(observer->given_up().size(), 1u);
    EXPECT_EQ(observer->given_up()[0].why, "retry budget exhausted");
    EXPECT_EQ(observer->given_up()[0].error.retry_refused_by(), Errc::budget_exhausted);
}

TEST_F(RetryBudgetTest, IsTakenBeforeTheBackoff) {
    const auto budget = budget_of(1);
    auto retry = with({}, {.budget = budget});
    operation.fails(network);
    const auto first = testing::start(io, retry.execute_with_retry(operation));
    ASSERT_FALSE(first.ended()) << "it waits";

    const auto second = testing::start(io, retry.execute_with_retry(operation));

    ASSERT_TRUE(second.ended());
    EXPECT_EQ(second.value().error().retry_refused_by(), Errc::budget_exhausted);
    EXPECT_EQ(budget.get_stats(time.now()).retries, 1u);
    let_calls_end();
}

TEST_F(RetryBudgetTest, ComesBackFromACallThatIsCancelledWhileItWaits) {
    const auto budget = budget_of(1);
    auto retry = with({}, {.budget = budget});
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation));

    call.cancel(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(budget.get_stats(time.now()).refunded, 1u);
    EXPECT_EQ(budget.get_stats(time.now()).retries, 0u);
    EXPECT_FALSE(testing::start(io, retry.execute_with_retry(operation)).ended()) << "there is one again";
    let_calls_end();
}

TEST_F(RetryBudgetTest, ComesBackFromACallThatWakesTooLate) {
    const auto budget = budget_of(1);
    auto retry = with({.backoff_strategy = FixedInterval{50ms}}, {.budget = budget});
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation, {.deadline = start + 100ms}));

    time.advance(120ms);
    io.restart();
    io.poll();

    EXPECT_EQ(call.value().error().retry_refused_by(), Errc::deadline_exceeded);
    EXPECT_EQ(budget.get_stats(time.now()).retries, 0u);
    EXPECT_EQ(retry.get_stats().no_time, 1u);
}

TEST_F(RetryBudgetTest, IsSpentByATryHoweverItEnds) {
    const auto budget = budget_of(5);
    auto retry = with({.max_retries = 1}, {.budget = budget});
    operation.fails(network).returns(1).fails(network).fails(network).fails(network).hangs();
    execute(retry);
    execute(retry);
    const auto call = testing::start(io, retry.execute_with_retry(operation));
    time.run_for(io, 1s);
    call.cancel(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_EQ(budget.get_stats(time.now()).retries, 3u);
    EXPECT_EQ(budget.get_stats(time.now()).refunded, 0u);
}

TEST_F(RetryBudgetTest, IsNotAskedForATryThatIsNotDue) {
    const auto budget = budget_of(5);
    auto retry = with({.max_retries = 0}, {.budget = budget});
    operation.fails(bad_request).fails(network);
    execute(retry);
    execute(retry);
    execute(retry, {.deadline = time.now() + 1ms});

    EXPECT_EQ(budget.get_stats(time.now()).withdrawn, 0u);
    EXPECT_EQ(budget.get_stats(time.now()).refused, 0u);
}

TEST_F(RetryBudgetTest, GrowsWithTheCallsOfAllWhoShareIt) {
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 0}};
    auto healthy = with({}, {.budget = budget}), sick = with({}, {.budget = budget});
    testing::ScriptedOperation<int> succeeds{time};
    succeeds.returns(1);
    for (int i = 0; i < 3; ++i) run(io, time, healthy.execute_with_retry(succeeds));
    operation.fails(network);

    const auto result = execute(sick);

    EXPECT_EQ(operation.calls(), 3u) << "half of four calls";
    EXPECT_EQ(result.error().retry_refused_by(), Errc::budget_exhausted);
    EXPECT_EQ(budget.get_stats(time.now()).calls, 4u) << "retries are no calls";
    EXPECT_EQ(sick.budget(), budget);
}

TEST_F(RetryBudgetTest, OfTheConfigIsTheExecutorsOwnUnlessAnotherIsGiven) {
    const RetryConfig config{.budget = RetryBudgetConfig{.ratio = 0, .reserve_per_second = 0}};
    auto own = with(config);
    operation.fails(network);
    EXPECT_EQ(execute(own).error().retry_refused_by(), Errc::budget_exhausted);

    auto shared = with(config, {.budget = budget_of(10)});
    EXPECT_EQ(execute(shared).error(), Errc::retries_exhausted);
    EXPECT_FALSE(with({}).budget());
}

TEST_F(RetryBudgetTest, BoundsWhatAnOutageIsAsked) {
    auto retry = with({.max_retries = 3, .backoff_strategy = FixedInterval{1s}},
                      {.budget = RetryBudget{{.ratio = 0.1, .reserve_per_second = 1}}});
    operation.fails(network);
    for (int second = 0; second < 100; ++second) {
        for (int i = 0; i < 10; ++i) testing::start(io, retry.execute_with_retry(operation));
        time.run_for(io, 1s);
    }

    const auto stats = retry.get_stats();
    EXPECT_EQ(stats.calls, 1000u);
    EXPECT_LE(stats.retries, 1000 * 0.1 + 1 * (100 + 11));
    EXPECT_GE(stats.retries, 1000 * 0.1 + 1 * 90) << "and lets that much pass";
    EXPECT_LT(operation.calls(), 1250u) << "instead of 4000";
    let_calls_end();
}

TEST_F(RetryBudgetTest, WhatAnInnerBudgetEndedIsNotRetriedOutside) {
    auto inner = with({}, {.budget = budget_of(0)});
    auto outer = with({});
    operation.fails(network);
    const auto nested = [&] { return inner.execute_with_retry(operation); };

    const auto result = run(io, time, outer.execute_with_retry(nested));

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(result.error(), Errc::connect_failed);
}

using RetryDeadlineTest = RetryExecutorTest;

TEST_F(RetryDeadlineTest, PassesBetweenNoTwoLooksAtTheClockUnseen) {
    for (int more = 0; more < 20; ++more) {
        RetryExecutor retry{RetryConfig{.max_retries = 1, .backoff_strategy = FixedInterval{100ns}}, observer,
                            testing::TickingTime{time}};
        testing::ScriptedOperation<int> fails{time};
        fails.fails(network);

        const CallOptions options{.deadline = time.now() + 100ns + Duration{more}};
        const auto call = testing::start(io, retry.execute_with_retry(fails.with_context(), options));
        time.run_for(io, 1us);

        const auto error = call.value().error();
        EXPECT_EQ(error.attempts(), fails.calls());
        EXPECT_TRUE(error == Errc::retries_exhausted || error.retry_refused_by() == Errc::deadline_exceeded) << error;
        EXPECT_EQ(retry.get_stats().cancelled, 0u);
    }
}

using RetryMemoryTest = RetryExecutorTest;

TEST_F(RetryMemoryTest, ChargesWhatACallHoldsWhileItWaits) {
    const MemoryAccount account{"calls"};
    auto retry = with({.max_retries = 1}, {.account = account});
    operation.takes(1s).fails(network).takes(1s).returns(7);
    const auto call = testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 300}));
    EXPECT_EQ(account.used(), 0u) << "in the first try";

    time.run_for(io, 1s);
    EXPECT_EQ(account.used(), 300u) << "in the backoff";
    time.run_for(io, 100ms);
    EXPECT_EQ(account.used(), 0u) << "in the second try";
    time.run_for(io, 1s);

    EXPECT_EQ(call.value().value(), 7);
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(RetryMemoryTest, TellsTheOperationWhatTheCallHolds) {
    auto retry = with({});
    operation.returns(1);

    run(io, time, retry.execute_with_retry(operation.with_context(), {.held_bytes = 300}));

    EXPECT_EQ(operation.contexts()[0].held_bytes(), 300u);
}

TEST_F(RetryMemoryTest, WithoutRoomTheCallEndsWithItsErrorAndTheReason) {
    const MemoryAccount account{"calls", 1000};
    const auto budget = budget_of(10);
    auto retry = with({}, {.budget = budget, .account = account});
    operation.fails(network);
    const auto waits = testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 600}));

    const auto refused = testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 401}));
    const auto fits = testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 400}));

    EXPECT_FALSE(waits.ended() || fits.ended());
    ASSERT_TRUE(refused.ended());
    EXPECT_EQ(refused.value().error(), Errc::connect_failed);
    EXPECT_EQ(refused.value().error().attempts(), 1u);
    EXPECT_EQ(refused.value().error().retry_refused_by(), Errc::memory_limit_exceeded);
    EXPECT_EQ(retry.get_stats().no_memory, 1u);
    EXPECT_EQ(retry.get_stats().given_up, 1u);
    EXPECT_EQ(observer->given_up().back().why, "no memory to wait");
    EXPECT_EQ(budget.get_stats(time.now()).refunded, 1u) << "it makes no retry";
    EXPECT_EQ(account.used(), 1000u);
    let_calls_end();
}

TEST_F(RetryMemoryTest, GivesBackWhenTheWaitIsCancelled) {
    const MemoryAccount account{"calls"};
    auto retry = with({}, {.account = account});
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 300}));
    ASSERT_EQ(account.used(), 300u);

    call.cancel(asio::cancellation_type::total);
    io.poll();

    EXPECT_TRUE(call.ended());
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(RetryMemoryTest, GivesBackWhenTheWaitLastsTooLong) {
    const MemoryAccount account{"calls"};
    auto retry = with({}, {.account = account});
    operation.fails(network);
    const auto call =
        testing::start(io, retry.execute_with_retry(operation, {.deadline = start + 150ms, .held_bytes = 300}));

    time.advance(200ms);
    io.restart();
    io.poll();

    EXPECT_TRUE(call.ended());
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(RetryMemoryTest, AThousandCallsInBackoffShowInTheMemoryOfAManager) {
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 64}, {}, time};
    auto retry = with({}, {.account = resources.traffic()});
    operation.fails(network);
    for (int i = 0; i < 1000; ++i) testing::start(io, retry.execute_with_retry(operation, {.held_bytes = 10_KiB}));

    EXPECT_EQ(resources.get_memory_usage().bytes_used, 1000 * 10_KiB);
    time.run_for(io, 1h);
    EXPECT_EQ(resources.get_memory_usage().bytes_used, 0u);
    EXPECT_EQ(retry.get_stats().exhausted, 1000u);
}

TEST_F(RetryMemoryTest, WhatACallHoldsReachesThePoliciesOfAPipeline) {
    const MemoryAccount account{"calls"};
    auto retry = with({}, {.account = account});
    CircuitBreaker breaker{CircuitBreakerConfig{}, nullptr, time};
    Pipeline guarded{retry, breaker};
    operation.fails(network);

    const auto call = testing::start(io, guarded.execute(operation, CallOptions{.held_bytes = 300}));

    EXPECT_FALSE(call.ended());
    EXPECT_EQ(account.used(), 300u);
    let_calls_end();
}

} // namespace
} // namespace velostream
