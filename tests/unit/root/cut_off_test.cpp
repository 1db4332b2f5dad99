// SPDX-License-Identifier: Apache-2.0
// What an operation says when a deadline cuts it off: a write that may have happened must not be tried again.
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "retry_executor_fixture.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// Takes an hour, and answers `answer` when it is cancelled.
class CutOffTest : public RetryExecutorTest {
  protected:
    asio::awaitable<Result<int>> run_for_an_hour(asio::cancellation_slot slot) {
        ++called;
        const auto executor = co_await asio::this_coro::executor;
        if (slot.is_connected()) {
            auto token = asio::bind_cancellation_slot(slot, asio::as_tuple(asio::use_awaitable));
            auto sleep = async_sleep_until(time, executor, time.now() + 1h, std::move(token));
            co_await std::move(sleep);
        } else {
            auto sleep = async_sleep_until(time, executor, time.now() + 1h, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleep);
        }
        if (throws) throw std::runtime_error{"half written"};
        co_return answer;
    }
    auto plain() {
        return [this] { return run_for_an_hour({}); };
    }
    auto with_context() {
        return [this](CallContext& call) { return run_for_an_hour(call.cancellation_slot()); };
    }

    Error answer = Errc::send_outcome_unknown;
    bool throws = false;
    int called = 0;
};

void expect_cut_off_once(const Error& error) {
    EXPECT_EQ(error, Errc::deadline_exceeded);
    EXPECT_EQ(error, ErrorType::timeout);
    EXPECT_TRUE(error.has_unknown_outcome());
    EXPECT_EQ(error.attempts(), 1u);
}

TEST_F(CutOffTest, OneThatMayHaveHappenedIsNotTriedAgain) {
    auto retry = with({.attempt_timeout = 2s});

    expect_cut_off_once(run(io, time, retry.execute_with_retry(plain())).error());
    EXPECT_EQ(called, 1);
    expect_cut_off_once(run(io, time, retry.execute_with_retry(with_context())).error());
    EXPECT_EQ(called, 2);
    EXPECT_EQ(retry.get_stats().not_retryable, 2u);
}

TEST_F(CutOffTest, NorIsOneThatIsCutOffByATimeoutInsideOfTheRetry) {
    auto retry = with({});
    Timeout each{2s, time};
    Pipeline guarded{retry, each};

    expect_cut_off_once(run(io, time, guarded.execute(plain())).error());
    expect_cut_off_once(run(io, time, guarded.execute(with_context())).error());
    EXPECT_EQ(called, 2);
    EXPECT_EQ(each.get_stats().timed_out, 2u);
}

TEST_F(CutOffTest, TheDeadlineOfTheCallKeepsWhatTheOperationSaid) {
    auto retry = with({});
    answer = Error{Errc::send_outcome_unknown, "broker 7"};

    for (const bool takes_context : {false, true}) {
        const CallOptions options{.deadline = time.now() + 2s};
        const auto result = takes_context ? run(io, time, retry.execute_with_retry(with_context(), options))
                                          : run(io, time, retry.execute_with_retry(plain(), options));

        const auto error = result.error();
        expect_cut_off_once(error);
        ASSERT_NE(error.inner(), nullptr);
        EXPECT_EQ(error.inner()->detail(), "broker 7");
    }
}

TEST_F(CutOffTest, OneThatIsMarkedIsTriedAgain) {
    auto retry = with({.attempt_timeout = 2s});

    const auto marked = run(io, time, retry.execute_with_retry(idempotent(plain())));
    EXPECT_EQ(called, 4);
    EXPECT_EQ(marked.error(), Errc::retries_exhausted);
    const auto of_context = run(io, time, retry.execute_with_retry(idempotent(with_context())));
    EXPECT_EQ(called, 8);
    EXPECT_EQ(of_context.error(), Errc::retries_exhausted);
}

TEST_F(CutOffTest, ACancellationWithAnUnknownOutcomeInsideCountsToo) {
    auto retry = with({.attempt_timeout = 2s});
    answer = Error{Errc::cancelled}.with_inner(Error{Errc::send_outcome_unknown});

    expect_cut_off_once(run(io, time, retry.execute_with_retry(plain())).error());
    expect_cut_off_once(run(io, time, retry.execute_with_retry(with_context())).error());
    EXPECT_EQ(called, 2);
}

TEST_F(CutOffTest, WhatSaysOnlyThatItWasCancelledLeavesNothingBehind) {
    auto retry = with({.max_retries = 1, .attempt_timeout = 2s});

    for (const Error& cancelled : {Error{Errc::cancelled}, Error{asio::error::operation_aborted}}) {
        answer = cancelled;
        const auto result = run(io, time, retry.execute_with_retry(plain()));

        EXPECT_EQ(result.error(), Errc::retries_exhausted);
        ASSERT_NE(result.error().inner(), nullptr);
        const auto last = *result.error().inner();
        EXPECT_EQ(last, Errc::deadline_exceeded);
        EXPECT_EQ(last.inner(), nullptr);
    }
    EXPECT_EQ(called, 4);
}

TEST_F(CutOffTest, ATryThatFailsByItselfAfterOneThatWasCutOffIsNotCutOff) {
    auto retry = with({.max_retries = 1, .attempt_timeout = 2s});
    answer = Errc::cancelled;
    const auto fails_the_second_time = [this](CallContext& call) -> asio::awaitable<Result<int>> {
        if (call.attempt() == 2) co_return Errc::connect_failed;
        auto running = run_for_an_hour(call.cancellation_slot());
        co_return co_await std::move(running);
    };

    const auto result = run(io, time, retry.execute_with_retry(fails_the_second_time));

    ASSERT_NE(result.error().inner(), nullptr);
    EXPECT_EQ(*result.error().inner(), Errc::connect_failed);
}

TEST_F(CutOffTest, TheDeadlineOfATryThatHasEndedIsNotWaitedFor) {
    auto retry = with({.max_retries = 1, .backoff_strategy = FixedInterval{5s}, .attempt_timeout = 2s});
    const auto fails = [this](CallContext& call) -> asio::awaitable<Result<int>> {
        EXPECT_TRUE(call.cancellation_slot().is_connected());
        EXPECT_EQ(time.sleepers(), 1u) << "for the deadline";
        co_return Errc::connect_failed;
    };

    const auto call = testing::start(io, retry.execute_with_retry(fails));

    EXPECT_EQ(time.sleepers(), 1u) << "the backoff";
    time.run_for(io, 1h);
    EXPECT_EQ(call.value().error(), Errc::retries_exhausted);
}

TEST_F(CutOffTest, WhatATryBoundToTheSlotIsNotCancelledInTheNext) {
    auto retry = with({.max_retries = 1, .attempt_timeout = 2s});
    int cancelled = 0;
    const auto binds_once = [&](CallContext& call) -> asio::awaitable<Result<int>> {
        auto slot = call.cancellation_slot();
        if (call.attempt() == 1) {
            slot.assign([&](asio::cancellation_type) { ++cancelled; });
            co_return Errc::connect_failed;
        }
        asio::cancellation_signal nobodys;
        auto token = asio::bind_cancellation_slot(nobodys.slot(), asio::as_tuple(asio::use_awaitable));
        auto sleep = async_sleep_until(time, io.get_executor(), time.now() + 5s, std::move(token));
        co_await std::move(sleep);
        co_return 7;
    };

    EXPECT_EQ(run(io, time, retry.execute_with_retry(binds_once)).value(), 7);

    EXPECT_EQ(cancelled, 0);
}

TEST_F(CutOffTest, WhatItThrewIsInside) {
    auto retry = with({.max_retries = 0, .attempt_timeout = 2s});
    throws = true;

    for (const bool takes_context : {false, true}) {
        const auto result = takes_context ? run(io, time, retry.execute_with_retry(with_context()))
                                          : run(io, time, retry.execute_with_retry(plain()));

        const auto exhausted = result.error();
        ASSERT_NE(exhausted.inner(), nullptr);
        ASSERT_NE(exhausted.inner()->inner(), nullptr);
        EXPECT_EQ(*exhausted.inner(), Errc::deadline_exceeded);
        EXPECT_EQ(exhausted.inner()->inner()->detail(), "half written");
    }
}

} // namespace
} // namespace velostream
