// SPDX-License-Identifier: Apache-2.0
#include "velostream/fallback.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class FallbackTest : public ::testing::Test {
  protected:
    template <class... Policies, class Operation>
    auto call(Pipeline<Policies...> guarded, Operation called) {
        return run(io, time, guarded.execute(called));
    }

    asio::io_context io;
    ManualTime time;
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 1}, nullptr, time};
    CircuitBreaker<ManualTime> breaker{"orders", {.failure_threshold = 1}, nullptr, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(FallbackTest, ReturnsSomethingElseForTheErrorsThatItNames) {
    Fallback seven{{ErrorType::network}, [](const Error&) { return 7; }};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(call(Pipeline{seven, retry}, operation).value(), 7);
    EXPECT_EQ(operation.calls(), 2u) << "after all tries";
    EXPECT_EQ(seven.get_stats().used, 1u);
    EXPECT_EQ(seven.get_stats().failed, 0u);
}

TEST_F(FallbackTest, LetsOtherErrorsPass) {
    Fallback seven{{ErrorType::timeout}, [](const Error&) { return 7; }};
    operation.fails(Errc::invalid_configuration);

    EXPECT_EQ(call(Pipeline{seven, retry}, operation).error(), Errc::invalid_configuration);
    EXPECT_EQ(seven.get_stats().used, 0u);
}

TEST_F(FallbackTest, IsNotAskedForACallThatSucceeds) {
    Fallback seven{{ErrorType::network}, [](const Error&) { return 7; }};
    operation.returns(1);

    EXPECT_EQ(call(Pipeline{seven}, operation).value(), 1);
    EXPECT_EQ(seven.get_stats().used, 0u);
}

TEST_F(FallbackTest, IsToldTheError) {
    std::string told;
    Fallback fallback{{ErrorType::network}, [&](const Error& error) {
                          told = error.message();
                          return 7;
                      }};
    operation.fails(Error{Errc::connect_failed, "port 5432"});

    call(Pipeline{fallback}, operation);

    EXPECT_NE(told.find("port 5432"), std::string::npos);
}

TEST_F(FallbackTest, MayAnswerAsACoroutineAResultOrNothing) {
    const auto failing = []() -> asio::awaitable<Result<int>> { co_return Errc::connect_failed; };
    const auto failing_void = []() -> asio::awaitable<Result<void>> { co_return Errc::connect_failed; };
    Fallback result{{ErrorType::network}, [](const Error&) -> Result<int> { return 1; }};
    Fallback coroutine{{ErrorType::network}, [](const Error&) -> asio::awaitable<int> { co_return 2; }};
    Fallback both{{ErrorType::network}, [](const Error&) -> asio::awaitable<Result<int>> { co_return 3; }};
    Fallback nothing{{ErrorType::network}, [](const Error&) {}};
    Fallback empty{{ErrorType::network}, [](const Error&) -> asio::awaitable<void> { co_return; }};

    EXPECT_EQ(call(Pipeline{result}, failing).value(), 1);
    EXPECT_EQ(call(Pipeline{coroutine}, failing).value(), 2);
    EXPECT_EQ(call(Pipeline{both}, failing).value(), 3);
    EXPECT_TRUE(call(Pipeline{nothing}, failing_void));
    EXPECT_TRUE(call(Pipeline{empty}, failing_void));
}

TEST_F(FallbackTest, WhatItFailsWithTakesThePlaceOfTheError) {
    Fallback other{{ErrorType::network}, [](const Error&) -> Result<int> { return Errc::send_timeout; }};
    Fallback throws{{ErrorType::network}, [](const Error&) -> int { throw std::runtime_error{"no cache"}; }};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(call(Pipeline{other}, operation).error(), Errc::send_timeout);
    const auto thrown = call(Pipeline{throws}, operation);
    EXPECT_EQ(thrown.error(), Errc::operation_failed);
    EXPECT_THROW(static_cast<void>(thrown.value()), std::runtime_error);
    EXPECT_EQ(other.get_stats().failed, 1u);
    EXPECT_EQ(throws.get_stats().failed, 1u);
}

TEST_F(FallbackTest, PoliciesInsideHearOfTheFailureAndPoliciesOutsideDoNot) {
    CircuitBreaker<ManualTime> inside{"inside", {.failure_threshold = 1}, nullptr, time};
    Fallback seven{{ErrorType::network}, [](const Error&) { return 7; }};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(call(Pipeline{breaker, seven, inside}, operation).value(), 7);

    EXPECT_EQ(inside.state(), CircuitState::open);
    EXPECT_EQ(breaker.get_stats().failure_count, 0u);
    EXPECT_EQ(breaker.get_stats().window_calls, 1u);
}

TEST_F(FallbackTest, PoliciesOutsideHearOfTheFallbacksFailure) {
    Fallback other{{ErrorType::network}, [](const Error&) -> Result<int> { return Errc::send_timeout; }};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(call(Pipeline{breaker, other}, operation).error(), Errc::send_timeout);

    EXPECT_EQ(breaker.state(), CircuitState::open);
}

TEST_F(FallbackTest, AnswersForAnOpenCircuitIfItNamesRefusals) {
    Fallback seven{{ErrorType::resource_exhausted}, [](const Error&) { return 7; }};
    breaker.force_open();
    operation.returns(1);

    EXPECT_EQ(call(Pipeline{seven, breaker}, operation).value(), 7);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(FallbackTest, ACallWhoseCallerHasCancelledIsNotRecovered) {
    Fallback seven{{ErrorType::cancelled}, [](const Error&) { return 7; }};
    Pipeline guarded{breaker, seven};
    operation.hangs();
    const auto call = testing::start(io, guarded.execute(operation));

    call.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(seven.get_stats().used, 0u);
    EXPECT_EQ(breaker.get_stats().cancelled, 1u);
}

TEST_F(FallbackTest, OneOutsideOfAnotherSeesWhatThatOneFailedWith) {
    Fallback outside{{ErrorType::timeout}, [](const Error&) { return 7; }};
    Fallback inside{{ErrorType::network}, [](const Error&) -> Result<int> { return Errc::send_timeout; }};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(call(Pipeline{outside, breaker, inside}, operation).value(), 7);

    EXPECT_EQ(breaker.state(), CircuitState::open);
}

TEST_F(FallbackTest, IsNotAskedAnyMoreWhenItsCallerCancelsWhileAnotherOneAnswers) {
    Fallback outside{{ErrorType::cancelled, ErrorType::network}, [](const Error&) { return 7; }};
    Fallback inside{{ErrorType::network}, [this](const Error&) -> asio::awaitable<Result<int>> {
                        const auto executor = co_await asio::this_coro::executor;
                        auto sleep = async_sleep_until(time, executor, time.now() + 5s, asio::use_awaitable);
                        co_await std::move(sleep);
                        co_return 8;
                    }};
    Pipeline guarded{outside, inside};
    operation.fails(Errc::connect_failed);
    const auto call = testing::start(io, guarded.execute(operation));
    ASSERT_EQ(time.sleepers(), 1u);

    call.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(outside.get_stats().used, 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(FallbackTest, WhatItAwaitsEndsAtTheDeadline) {
    Fallback slow{{ErrorType::network}, [this](const Error&) -> asio::awaitable<int> {
                      const auto executor = co_await asio::this_coro::executor;
                      auto sleep = async_sleep_until(time, executor, time.now() + 1h, asio::use_awaitable);
                      co_await std::move(sleep);
                      co_return 8;
                  }};
    Timeout whole{5s, time};
    operation.fails(Errc::connect_failed);
    const auto begin = time.now();

    EXPECT_EQ(call(Pipeline{whole, slow}, operation).error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), begin + 5s);
    EXPECT_EQ(whole.get_stats().timed_out, 1u);
    EXPECT_EQ(slow.get_stats().failed, 1u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(FallbackTest, ItsFunctionIsAwaitedWithoutASlotWhereNobodyCanCancelTheCall) {
    bool is_connected = true;
    Fallback asks{{ErrorType::network}, [&](const Error&) -> asio::awaitable<Result<int>> {
                      const auto state = co_await asio::this_coro::cancellation_state;
                      is_connected = state.slot().is_connected();
                      co_return 7;
                  }};
    Timeout timeout{5s, time};
    Pipeline guarded{asks, timeout};
    const auto fails = [](CallContext& call) -> asio::awaitable<Result<int>> {
        EXPECT_TRUE(call.cancellation_slot().is_connected()) << "to the deadline, by a slot that it was lent";
        co_return Errc::connect_failed;
    };

    asio::co_spawn(io, guarded.execute(fails), [](std::exception_ptr, const Result<int>&) {});
    io.poll();

    EXPECT_FALSE(is_connected);
}

TEST_F(FallbackTest, WhatItHasWithoutWaitingIsHeardAfterTheDeadline) {
    Fallback cached{{ErrorType::timeout}, [](const Error&) -> asio::awaitable<int> { co_return 7; }};
    Timeout whole{5s, time};
    operation.hangs();

    EXPECT_EQ(call(Pipeline{whole, cached}, operation).value(), 7);
    EXPECT_EQ(whole.get_stats().timed_out, 0u);
}

TEST_F(FallbackTest, MustNameATypeOfError) {
    const auto make = [] { Fallback none{{}, [](const Error&) { return 7; }}; };

    EXPECT_THROW(make(), std::invalid_argument);
}

} // namespace
} // namespace velostream
