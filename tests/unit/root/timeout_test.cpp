// SPDX-License-Identifier: Apache-2.0
#include "velostream/timeout.hpp"

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "support/run_coroutine.hpp"
#include "support/watched_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class TimeoutTest : public ::testing::Test {
  protected:
    template <class... Policies, class Operation>
    auto call(Pipeline<Policies...> guarded, Operation called, CallOptions options = {}) {
        return run(io, time, guarded.execute(called, options));
    }

    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 2, .backoff_strategy = FixedInterval{1s}}, nullptr,
                                    time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(TimeoutTest, CancelsWhatTakesTooLong) {
    Timeout timeout{5s, time};
    operation.hangs();

    const auto result = call(Pipeline{timeout}, operation);

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(result.error(), ErrorType::timeout);
    EXPECT_EQ(time.now(), start + 5s);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(timeout.get_stats().timed_out, 1u);
}

TEST_F(TimeoutTest, CancelsAnOperationThatTakesTheContextThroughItsSlot) {
    Timeout timeout{5s, time};
    operation.hangs();

    const auto result = call(Pipeline{timeout}, operation.with_context());

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 5s);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(timeout.get_stats().timed_out, 1u);
}

TEST_F(TimeoutTest, WhatCountsTheSecondsStopsCountingWhenItsTimeIsOver) {
    Timeout timeout{4500ms, time};
    int counted = 0;
    const auto counts = [&](asio::cancellation_slot slot) -> asio::awaitable<int> {
        const auto executor = co_await asio::this_coro::executor;
        for (;; ++counted) {
            auto token = asio::bind_cancellation_slot(slot, asio::use_awaitable);
            auto second = slot.is_connected() ? async_sleep_until(time, executor, time.now() + 1s, std::move(token))
                                              : async_sleep_until(time, executor, time.now() + 1s, asio::use_awaitable);
            co_await std::move(second);
        }
    };
    const auto plain = [&] { return counts({}); };
    const auto with_context = [&](CallContext& context) { return counts(context.cancellation_slot()); };

    EXPECT_EQ(call(Pipeline{timeout}, plain).error(), Errc::deadline_exceeded);
    time.run_for(io, 1h);
    EXPECT_EQ(counted, 4);
    EXPECT_EQ(call(Pipeline{timeout}, with_context).error(), Errc::deadline_exceeded);
    time.run_for(io, 1h);
    EXPECT_EQ(counted, 8);
}

TEST_F(TimeoutTest, LeavesAloneWhatIsInTime) {
    Timeout timeout{5s, time};
    operation.takes(5s - 1ns).returns(7);

    EXPECT_EQ(call(Pipeline{timeout}, operation).value(), 7);
    EXPECT_EQ(call(Pipeline{timeout}, operation.with_context()).value(), 7);

    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
}

TEST_F(TimeoutTest, BoundsEachTryInsideOfARetry) {
    Timeout each{5s, time};
    operation.hangs();

    const auto result = call(Pipeline{retry, each}, operation);

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(*result.error().inner(), Errc::deadline_exceeded);
    EXPECT_EQ(operation.started_at(), (std::vector{start, start + 6s, start + 12s}));
    EXPECT_EQ(time.now(), start + 17s);
    EXPECT_EQ(each.get_stats().timed_out, 3u);
}

TEST_F(TimeoutTest, BoundsTheWholeCallOutsideOfARetry) {
    Timeout whole{7s, time}, each{5s, time};
    operation.hangs();

    const auto result = call(Pipeline{whole, retry, each}, operation.with_context());

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(operation.started_at(), (std::vector{start, start + 6s}));
    EXPECT_EQ(time.now(), start + 7s);
    EXPECT_EQ(whole.get_stats().timed_out, 1u);
    EXPECT_EQ(each.get_stats().timed_out, 1u) << "the second try was ended by the other one";
}

TEST_F(TimeoutTest, ACallThatHasOneNanosecondLeftIsMade) {
    Timeout timeout{5s, time};
    operation.returns(7);

    EXPECT_EQ(call(Pipeline{timeout}, operation, {.deadline = time.now() + 1ns}).value(), 7);
    EXPECT_EQ(call(Pipeline{timeout}, operation, {.deadline = time.now()}).error(), Errc::deadline_exceeded);
    EXPECT_EQ(operation.calls(), 1u);
}

TEST_F(TimeoutTest, NeverExtendsTheDeadlineOfTheCall) {
    Timeout timeout{5s, time};
    operation.hangs();

    const auto result = call(Pipeline{timeout}, operation, {.deadline = start + 2s});

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 2s);
    EXPECT_EQ(timeout.get_stats().timed_out, 0u) << "the caller's deadline did it";
}

TEST_F(TimeoutTest, LeavesAnErrorAloneThatCameInTime) {
    Timeout timeout{5s, time};
    for (const auto own : {Errc::send_timeout, Errc::deadline_exceeded}) {
        testing::ScriptedOperation<int> failing{time};
        failing.takes(1s).fails(own);
        EXPECT_EQ(call(Pipeline{timeout}, failing).error(), own);
        EXPECT_EQ(call(Pipeline{timeout}, failing.with_context()).error(), own);
    }
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
}

TEST_F(TimeoutTest, ACancellationThatCameFirstIsTheCallersAlsoLater) {
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        Timeout timeout{5s, time};
        Pipeline guarded{timeout};
        const auto hangs_on = [this](CallContext& call) -> asio::awaitable<Result<int>> {
            co_await asio::this_coro::throw_if_cancelled(false);
            const auto executor = co_await asio::this_coro::executor;
            for (int times = 0; times < 2; ++times) { // goes on after the first cancellation
                auto token =
                    asio::bind_cancellation_slot(call.cancellation_slot(), asio::as_tuple(asio::use_awaitable));
                auto sleep = async_sleep_until(time, executor, time.now() + 10s, std::move(token));
                co_await std::move(sleep);
            }
            co_return Errc::cancelled;
        };
        const auto started = testing::start(io, guarded.execute(hangs_on));

        started.cancel(kind);
        io.poll();
        ASSERT_FALSE(started.ended());
        time.run_for(io, 20s);

        EXPECT_EQ(started.value().error(), Errc::cancelled);
        EXPECT_EQ(timeout.get_stats().timed_out, 0u);
    }
}

TEST_F(TimeoutTest, ACancellationThatTheOperationDoesNotListenToLeavesTheDeadline) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    const auto listens_to_terminal_only = [this](CallContext& call) -> asio::awaitable<int> {
        const auto executor = co_await asio::this_coro::executor;
        auto inner = [&]() -> asio::awaitable<void> { // spawned: it accepts `terminal` only
            auto sleep = async_sleep_until(time, executor, time.now() + 1h, asio::use_awaitable);
            co_await std::move(sleep);
        };
        auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable);
        auto spawned = asio::co_spawn(executor, inner(), std::move(token));
        co_await std::move(spawned);
        co_return 7;
    };
    const auto started = testing::start(io, guarded.execute(listens_to_terminal_only));

    started.cancel(asio::cancellation_type::total);
    time.run_for(io, 5s);

    ASSERT_TRUE(started.ended());
    EXPECT_EQ(started.value().error(), ErrorType::cancelled) << "the caller was first";
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(TimeoutTest, ACancellationWhileSomethingElseIsAwaitedIsTheCallersAlsoLater) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    const auto tidies_up = [this](CallContext& call) -> asio::awaitable<Result<int>> {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::as_tuple(asio::use_awaitable));
        auto bound = async_sleep_until(time, executor, time.now() + 1s, std::move(token));
        co_await std::move(bound);
        for (int times = 0; times < 2; ++times) {
            auto sleep = async_sleep_until(time, executor, time.now() + 9s, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleep);
        }
        co_return Errc::cancelled;
    };
    const auto started = testing::start(io, guarded.execute(tidies_up));
    time.run_for(io, 2s);

    started.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 20s);

    EXPECT_EQ(started.value().error(), Errc::cancelled);
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
}

TEST_F(TimeoutTest, TheCallersCancellationReachesWhatIsAwaitedThroughTheSlotAfterSomethingElse) {
    Timeout timeout{50s, time};
    Pipeline guarded{timeout};
    const auto two_waits = [this](CallContext& call) -> asio::awaitable<Result<int>> {
        const auto executor = co_await asio::this_coro::executor;
        auto first =
            async_sleep_until(time, executor, time.now() + 1s, asio::use_awaitable); // takes the slot for itself
        co_await std::move(first);
        auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable);
        auto second = async_sleep_until(time, executor, time.now() + 10s, std::move(token));
        co_await std::move(second);
        co_return 7;
    };
    const auto started = testing::start(io, guarded.execute(two_waits));
    time.run_for(io, 1s);
    ASSERT_EQ(time.sleepers(), 2u);

    started.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();

    EXPECT_EQ(started.value().error(), ErrorType::cancelled);
    EXPECT_EQ(time.sleepers(), 0u);
}

// Waits for `first` through its slot, and for an hour in another way.
auto waits_on_after(const testing::WatchedTime& first, const ManualTime& time) {
    return [=](CallContext& call) -> asio::awaitable<Result<int>> {
        const auto executor = co_await asio::this_coro::executor;
        auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable);
        auto bound = async_sleep_until(first, executor, first.now() + 1s, std::move(token));
        co_await std::move(bound);
        auto unbound = async_sleep_until(time, executor, time.now() + 1h, asio::as_tuple(asio::use_awaitable));
        co_await std::move(unbound);
        co_return 7;
    };
}

TEST_F(TimeoutTest, TheCallersCancellationReachesWhatIsAwaitedThroughTheSlotASecondTime) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    const auto waits_twice = [this](CallContext& call) -> asio::awaitable<Result<int>> {
        for (int i = 0; i < 2; ++i) {
            auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::as_tuple(asio::use_awaitable));
            auto sleep = async_sleep_until(time, io.get_executor(), time.now() + 1s, std::move(token));
            const auto [code] = co_await std::move(sleep);
            if (code) co_return Error{code};
        }
        co_return 7;
    };
    const auto started = testing::start(io, guarded.execute(waits_twice));
    time.run_for(io, 1500ms);

    started.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();

    ASSERT_TRUE(started.ended());
    EXPECT_EQ(started.value().error(), ErrorType::cancelled);
}

TEST_F(TimeoutTest, DoesNotCancelWhatHasEnded) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    const testing::WatchedTime first;
    const auto started = testing::start(io, guarded.execute(waits_on_after(first, time)));

    first.wake_all();
    time.run_for(io, 1h);

    EXPECT_EQ(first.late_cancellations(), 0);
    EXPECT_TRUE(started.ended());
}

TEST_F(TimeoutTest, DoesNotCancelWhatHasEndedInACallThatNobodyCanCancel) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    const testing::WatchedTime first;
    bool ended = false;
    asio::co_spawn(io, guarded.execute(waits_on_after(first, time)),
                   [&](std::exception_ptr, const Result<int>&) { ended = true; });
    io.poll();

    first.wake_all();
    time.run_for(io, 1h);

    EXPECT_EQ(first.late_cancellations(), 0);
    EXPECT_TRUE(ended);
}

TEST_F(TimeoutTest, CancelsWhatHasNotEndedInACallThatNobodyCanCancel) {
    Timeout timeout{5s, time};
    Pipeline guarded{retry, timeout};
    operation.hangs();
    std::optional<Result<int>> result;
    asio::co_spawn(io, guarded.execute(operation.with_context()),
                   [&](std::exception_ptr, const Result<int>& ended) { result = ended; });
    time.run_for(io, 1h);

    EXPECT_EQ(result->error(), Errc::retries_exhausted);
    EXPECT_EQ(operation.cancelled(), 3u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(TimeoutTest, AChainThatNobodyCanCancelIsAsItWasAfterTheCall) {
    Timeout outer_timeout{50s, time}, timeout{5s, time};
    Pipeline outer{outer_timeout}, inner{timeout};
    const testing::WatchedTime first;
    const auto is_connected = []() -> asio::awaitable<bool> {
        const auto state = co_await asio::this_coro::cancellation_state;
        co_return state.slot().is_connected();
    };
    bool ended = false;
    auto calls = [&]() -> asio::awaitable<void> {
        auto both = [&](CallContext& call) -> asio::awaitable<Result<int>> {
            auto within = waits_on_after(first, time);
            auto first_call = inner.execute(within);
            auto failed = co_await std::move(first_call);
            EXPECT_EQ(failed.value(), 7);
            auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::as_tuple(asio::use_awaitable));
            auto sleep = async_sleep_until(time, io.get_executor(), time.now() + 2h, std::move(token));
            const auto [code] = co_await std::move(sleep);
            co_return Error{code};
        };
        auto call = outer.execute(both);
        const auto result = co_await std::move(call);
        EXPECT_EQ(result.error(), Errc::deadline_exceeded);
        auto asked = is_connected();
        EXPECT_FALSE(co_await std::move(asked));
        ended = true;
    };
    asio::co_spawn(io, calls(), asio::detached);
    io.poll();
    first.wake_all();
    time.run_for(io, 10h);

    EXPECT_TRUE(ended);
    EXPECT_EQ(first.late_cancellations(), 0);
}

TEST_F(TimeoutTest, ACallMayGoAfterTheSignalOfItsCaller) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    std::optional<asio::io_context> ending{std::in_place};
    std::optional<asio::cancellation_signal> signal{std::in_place};
    operation.hangs();
    asio::co_spawn(*ending, guarded.execute(operation.with_context()),
                   asio::bind_cancellation_slot(signal->slot(), asio::detached));
    ending->poll();
    ASSERT_EQ(operation.running(), 1u);

    signal.reset();
    ending.reset();

    EXPECT_EQ(operation.running(), 0u);
}

TEST_F(TimeoutTest, ACallMayGoBeforeTheSignalOfItsCaller) {
    Timeout timeout{5s, time};
    Pipeline guarded{timeout};
    std::optional<asio::io_context> ending{std::in_place};
    operation.hangs();
    const auto started = testing::start(*ending, guarded.execute(operation.with_context()));

    ending.reset();

    EXPECT_FALSE(started.ended());
    EXPECT_EQ(operation.running(), 0u);
}

TEST_F(TimeoutTest, AlsoCancelsWhatIsAwaitedThroughTheSlotAfterTheDeadline) {
    for (const bool first_is_bound : {true, false}) {
        Timeout timeout{5s, time};
        Pipeline guarded{timeout};
        const auto two_waits = [=, this](CallContext& call) -> asio::awaitable<Result<int>> {
            const auto executor = co_await asio::this_coro::executor;
            auto slot = call.cancellation_slot();
            if (!first_is_bound) slot = {};
            auto token = asio::bind_cancellation_slot(slot, asio::as_tuple(asio::use_awaitable));
            auto first = async_sleep_until(time, executor, time.now() + 6s, token);
            co_await std::move(first);
            auto again = asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable);
            auto second = async_sleep_until(time, executor, time.now() + 1h, again);
            co_await std::move(second);
            co_return 7;
        };
        const auto started = testing::start(io, guarded.execute(two_waits));

        time.run_for(io, 6s);

        ASSERT_TRUE(started.ended());
        EXPECT_EQ(started.value().error(), Errc::deadline_exceeded);
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(TimeoutTest, ByTheMachinesClockCancelsOperationsOfBothShapes) {
    Timeout timeout{20ms};
    Pipeline guarded{timeout};
    const auto hang = [](asio::cancellation_slot slot) -> asio::awaitable<int> {
        asio::steady_timer never{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
        if (slot.is_connected())
            co_await never.async_wait(asio::bind_cancellation_slot(slot, asio::use_awaitable));
        else
            co_await never.async_wait(asio::use_awaitable);
        co_return 1;
    };
    const auto plain = [&]() { return hang({}); };
    const auto with_context = [&](CallContext& call) { return hang(call.cancellation_slot()); };
    const auto begin = SteadyTime{}.now();

    const auto first = testing::start(io, guarded.execute(plain));
    const auto second = testing::start(io, guarded.execute(with_context));
    io.restart();
    io.run();

    EXPECT_EQ(first.value().error(), Errc::deadline_exceeded);
    EXPECT_EQ(second.value().error(), Errc::deadline_exceeded);
    EXPECT_GE(SteadyTime{}.now() - begin, 20ms);
    EXPECT_EQ(timeout.get_stats().timed_out, 2u);
}

TEST_F(TimeoutTest, MustBeAboveZero) {
    try {
        const Timeout timeout{0s, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_EQ(std::string_view{problem.what()}.find("timeout = 0 ns: must be > 0") != std::string_view::npos, true)
            << problem.what();
    }
    EXPECT_THROW((Timeout{-1ns}), std::invalid_argument);
}

TEST_F(TimeoutTest, MayBeLongerThanTimeItself) {
    Timeout timeout{Duration::max(), time};
    operation.takes(1s).returns(7);

    EXPECT_EQ(call(Pipeline{timeout}, operation).value(), 7);
}

} // namespace
} // namespace velostream
