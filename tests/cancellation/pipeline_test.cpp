// SPDX-License-Identifier: Apache-2.0
// However a guarded call ends early, it leaves nothing behind: no permit, no sleeper, no running operation.
#include "velostream/pipeline.hpp"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <optional>

#include "support/cancellation_kinds.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CancelledPipelineTest : public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    using Breaker = CircuitBreaker<testing::ManualTime>;

    // Half-open, and the only probe permit is free: whoever loses it blocks the breaker.
    CancelledPipelineTest() {
        breaker.try_acquire()->failure(Errc::connect_failed);
        time.advance(10s);
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_TRUE(breaker.try_acquire()) << "the probe permit is lost";
    }

    testing::ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    Breaker breaker{"orders", {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}, nullptr, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{}, nullptr, time};
    testing::ScriptedOperation<int> operation{time};
};

INSTANTIATE_TEST_SUITE_P(Kinds, CancelledPipelineTest, ::testing::ValuesIn(testing::cancellation_kinds));

TEST_P(CancelledPipelineTest, DuringTheOperation) {
    Pipeline guarded{retry, breaker};
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(operation));
    ASSERT_FALSE(breaker.try_acquire());

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(operation.calls(), 1u) << "a cancelled call is not tried again";
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(breaker.get_stats().cancelled, 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, DuringAnOperationThatTakesTheContext) {
    Pipeline guarded{retry, breaker};
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(operation.with_context()));

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(operation.cancelled(), 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, DuringAnOperationWithADeadline) {
    Pipeline guarded{retry, breaker};
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(operation, time.now() + 5s));
    ASSERT_EQ(time.sleepers(), 2u) << "the operation's and the deadline's";

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled) << "not a timeout: the caller was first";
    EXPECT_EQ(operation.cancelled(), 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, AfterTheDeadlineItIsATimeout) {
    RetryExecutor once{RetryConfig{.max_retries = 0}, nullptr, time};
    Pipeline guarded{once, breaker};
    const auto slow_to_stop = [this]() -> asio::awaitable<int> {
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 2; ++i) {
            auto sleep = async_sleep_until(time, executor, time.now() + 7s, asio::as_tuple(asio::deferred));
            co_await asio::this_coro::throw_if_cancelled(false);
            co_await std::move(sleep);
        }
        throw std::runtime_error{"stopped"};
    };
    const auto call = testing::start(*io, guarded.execute(slow_to_stop, time.now() + 5s));
    time.run_for(*io, 5s);

    call.cancel(GetParam());
    time.run_for(*io, 20s);

    EXPECT_EQ(call.value().error(), ErrorType::timeout);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_P(CancelledPipelineTest, DuringTheBackoff) {
    Pipeline guarded{breaker, retry}; // the permit is held while it waits
    operation.fails(Errc::connect_failed);
    const auto call = testing::start(*io, guarded.execute(operation));
    ASSERT_EQ(time.sleepers(), 1u);
    ASSERT_FALSE(breaker.try_acquire());

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(call.value().error().attempts(), 1u);
    EXPECT_EQ(operation.calls(), 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, WhenTheBackoffHasJustEnded) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10}};
    RetryExecutor<testing::ManualTime> spending{RetryConfig{.backoff_strategy = FixedInterval{1s}},
                                                RetryOptions{.budget = budget}, nullptr, time};
    Pipeline guarded{breaker, spending};
    operation.fails(Errc::connect_failed);
    const auto call = testing::start(*io, guarded.execute(operation));

    asio::post(*io, [&] { call.cancel(GetParam()); });
    time.advance(1s); // its end is on the way, behind the cancellation
    io->restart();
    io->poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(call.value().error().attempts(), 1u);
    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(budget.get_stats(time.now()).refunded, 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, BeforeItsFirstAwait) {
    Pipeline guarded{retry, breaker};
    operation.returns(1);
    auto starts_late = [&]() -> asio::awaitable<Result<int>> {
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::this_coro::throw_if_cancelled(false);
        auto sleep = async_sleep_until(time, executor, time.now() + 1s, asio::as_tuple(asio::deferred));
        co_await std::move(sleep);
        co_await asio::this_coro::throw_if_cancelled(true);
        auto call = guarded.execute(operation);
        co_await asio::this_coro::throw_if_cancelled(false);
        co_return co_await std::move(call);
    };
    const auto call = testing::start(*io, starts_late());

    call.cancel(GetParam());
    io->poll();

    EXPECT_TRUE(call.ended());
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, WhenTheOperationAnswersWithAnErrorThatWouldBeRetried) {
    Pipeline guarded{breaker, retry};
    const auto hides_cancellation = [this]() -> asio::awaitable<Result<int>> {
        auto result = co_await operation();
        co_return Errc::connect_failed;
    };
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(hides_cancellation));

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(operation.calls(), 1u);
    expect_nothing_left();
}

TEST_P(CancelledPipelineTest, WhateverTheOperationMakesOfItNobodyJudgesTheCall) {
    Pipeline guarded{retry, breaker};
    const auto hides_cancellation = [this](CallContext&) -> asio::awaitable<Result<int>> {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto result = co_await operation();
        co_return Errc::connect_failed;
    };
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(hides_cancellation));

    call.cancel(GetParam());
    io->poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(*call.value().error().inner(), Errc::connect_failed);
    EXPECT_EQ(breaker.get_stats().cancelled, 1u);
    EXPECT_EQ(breaker.get_stats().window_calls, 1u) << "the one that opened the circuit";
    EXPECT_EQ(retry.get_stats().retries, 0u);
    EXPECT_EQ(retry.get_stats().cancelled, 1u);
    expect_nothing_left();
}

// The context ends while the call is somewhere in the middle: its frame is destroyed there.
class DestroyedPipelineTest : public CancelledPipelineTest {};

INSTANTIATE_TEST_SUITE_P(Once, DestroyedPipelineTest, ::testing::Values(asio::cancellation_type::terminal));

TEST_P(DestroyedPipelineTest, DuringTheOperation) {
    Pipeline guarded{retry, breaker};
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(operation));

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_P(DestroyedPipelineTest, DuringAnOperationWithADeadline) {
    Pipeline guarded{retry, breaker};
    operation.hangs();
    const auto call = testing::start(*io, guarded.execute(operation, time.now() + 5s));

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_P(DestroyedPipelineTest, DuringTheBackoff) {
    Pipeline guarded{breaker, retry};
    operation.fails(Errc::connect_failed);
    const auto call = testing::start(*io, guarded.execute(operation));

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_P(DestroyedPipelineTest, BeforeItWasAwaited) {
    Pipeline guarded{retry, breaker};
    operation.returns(1);

    {
        const auto never_awaited = guarded.execute(operation);
    }

    EXPECT_EQ(operation.calls(), 0u);
    expect_nothing_left();
}

TEST_P(DestroyedPipelineTest, WithRealTimers) {
    CircuitBreaker real{"real", {.failure_threshold = 1, .success_threshold = 1, .timeout = 1ms}};
    RetryExecutor patient{RetryConfig{.backoff_strategy = FixedInterval{1h}}};
    Pipeline guarded{patient, real};
    testing::ScriptedOperation<int> fails{time};
    fails.fails(Errc::connect_failed);
    operation.hangs();
    const auto in_backoff = testing::start(*io, guarded.execute(fails));
    const auto with_deadline =
        testing::start(*io, patient.execute_with_retry(operation, {.deadline = std::chrono::steady_clock::now() + 1h}));

    io.reset();

    EXPECT_FALSE(in_backoff.ended() || with_deadline.ended());
    EXPECT_EQ(operation.running(), 0u);
}

} // namespace
} // namespace velostream
