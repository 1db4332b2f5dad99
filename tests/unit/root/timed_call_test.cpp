// SPDX-License-Identifier: Apache-2.0
// Plain operations under a deadline, by the machine's clock: on a context for one thread, where they run on the
// caller's executor, and on one for several, where they have a strand of their own.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/errc.hpp>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "velostream/hedge.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// With the concurrency hint of the context.
class TimedCallTest : public ::testing::TestWithParam<int> {
  protected:
    // Runs `calls()` until nothing is left to do.
    template <class Calls>
    void run(Calls calls) {
        asio::co_spawn(io, calls(), [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
        io.run();
    }
    // Until it is cancelled.
    asio::awaitable<boost::system::error_code> waits() {
        asio::steady_timer never{io, TimePoint::max()};
        auto waiting = never.async_wait(asio::as_tuple(asio::deferred));
        const auto [code] = co_await std::move(waiting);
        co_return code;
    }

    asio::io_context io{GetParam()};
    Timeout<> timeout{30s};
};

TEST_P(TimedCallTest, OneThatIsReadyTakesNobodysCancellationAway) {
    asio::cancellation_signal signal;
    bool is_cancelled = false;
    auto bystander = [&]() -> asio::awaitable<void> {
        auto waiting = waits();
        const auto code = co_await std::move(waiting);
        is_cancelled = code == asio::error::operation_aborted;
    };
    int left = 2;
    auto caller = [&]() -> asio::awaitable<void> {
        for (; left > 0; --left) {
            auto ready = []() -> asio::awaitable<int> { co_return 1; };
            auto call = timeout.execute(ready);
            co_await std::move(call);
            auto others_first = asio::post(asio::deferred);
            co_await std::move(others_first);
        }
        signal.emit(asio::cancellation_type::terminal);
    };
    asio::co_spawn(io, caller(), asio::detached);
    asio::post(io, [&] { // while a call of the other is under way, or has just ended
        asio::co_spawn(io, bystander(), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    });
    while (left > 0) io.run_one();
    io.poll();

    EXPECT_TRUE(is_cancelled);
}

template <class Execute>
void expect_value_for_one_that_cancels_its_caller(asio::io_context& io, Execute execute) {
    asio::cancellation_signal signal;
    std::optional<Result<int>> result;
    bool has_ended = false;
    auto calls = [&]() -> asio::awaitable<void> {
        auto operation = [&]() -> asio::awaitable<int> {
            signal.emit(asio::cancellation_type::terminal);
            co_return 7;
        };
        auto call = execute(operation);
        result = co_await std::move(call);
    };
    asio::co_spawn(io, calls(), asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr failed) {
                       has_ended = true;
                       EXPECT_FALSE(failed);
                   }));
    EXPECT_NO_THROW(io.run());

    EXPECT_TRUE(has_ended);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->value(), 7);
}

TEST_P(TimedCallTest, AnOperationMayCancelItsCallerBeforeItFirstWaits) {
    expect_value_for_one_that_cancels_its_caller(io, [&](auto operation) { return timeout.execute(operation); });
}

TEST_P(TimedCallTest, AHedgedOperationMayCancelItsCallerBeforeItFirstWaits) {
    Hedge hedge{HedgeConfig{.delay = 1h}};
    Pipeline guarded{hedge};
    expect_value_for_one_that_cancels_its_caller(
        io, [&](auto operation) { return guarded.execute(idempotent(operation)); });
}

// How much of the stack 2000 calls take, one after the other, whose operation is ready.
template <class Run, class Execute>
std::uintptr_t stack_of_ready_calls(Run run, Execute execute) {
    std::uintptr_t lowest = ~std::uintptr_t{0}, highest = 0;
    run([&]() -> asio::awaitable<void> {
        for (int i = 0; i < 2'000; ++i) {
            auto ready = [&]() -> asio::awaitable<void> {
                const auto at = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
                lowest = std::min(lowest, at);
                highest = std::max(highest, at);
                co_return;
            };
            auto call = execute(ready);
            co_await std::move(call);
        }
    });
    return highest - lowest;
}

TEST_P(TimedCallTest, AnyNumberThatAreReadyNeedTheStackOfOne) {
    Hedge hedge{HedgeConfig{.delay = 1h}};
    Pipeline hedged{hedge};
    Pipeline both{timeout, hedge};
    const auto run_them = [this](auto calls) {
        io.restart();
        run(std::move(calls));
    };

    EXPECT_LT(stack_of_ready_calls(run_them, [&](auto ready) { return timeout.execute(ready); }), 64u * 1024);
    EXPECT_LT(stack_of_ready_calls(run_them, [&](auto ready) { return hedged.execute(idempotent(ready)); }),
              64u * 1024);
    EXPECT_LT(stack_of_ready_calls(run_them, [&](auto ready) { return both.execute(idempotent(ready)); }), 64u * 1024);
}

// The caller goes on in another context than that of its executor, as in a library's callback.
TEST_P(TimedCallTest, ACancellationBeforeTheOperationBeginsEndsTheCall) {
    for (const auto kind : {asio::cancellation_type::terminal, asio::cancellation_type::total}) {
        asio::io_context elsewhere;
        asio::cancellation_signal signal;
        std::optional<Result<int>> result;
        bool has_ended = false;
        auto calls = [&]() -> asio::awaitable<void> {
            co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
            co_await asio::this_coro::throw_if_cancelled(false);
            auto hopping = asio::post(asio::bind_executor(elsewhere, asio::deferred));
            co_await std::move(hopping);
            auto operation = [&]() -> asio::awaitable<int> {
                auto waiting = waits();
                if (co_await std::move(waiting)) throw std::runtime_error{"cancelled"};
                co_return 1;
            };
            auto call = timeout.execute(operation);
            result = co_await std::move(call);
        };
        asio::co_spawn(io, calls(), asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr failed) {
                           has_ended = true;
                           EXPECT_FALSE(failed);
                       }));
        io.restart();
        io.poll(); // up to the hop
        asio::post(io, [&] { signal.emit(kind); });
        elsewhere.poll(); // the call begins there
        EXPECT_NO_THROW(io.run());

        EXPECT_TRUE(has_ended);
        ASSERT_TRUE(result);
        EXPECT_EQ(result->error(), ErrorType::cancelled);
    }
}

// Finds no memory for an alarm.
struct PoorTime : SteadyTime {
    void sleep_until(const asio::any_io_executor&, TimePoint, SleepHandler) { throw std::bad_alloc{}; }
};

TEST_P(TimedCallTest, WithoutMemoryForTheAlarmTheCallFailsForThat) {
    const auto no_memory = boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    Timeout<PoorTime> poor{30s};
    std::optional<Result<int>> returned, thrown, succeeded;
    const bool has_begun = GetParam() == 1; // before the alarm is set
    bool began = false;
    run([&]() -> asio::awaitable<void> {
        auto returns = [&]() -> asio::awaitable<Result<int>> {
            auto waiting = waits();
            if (co_await std::move(waiting)) co_return Error{Errc::cancelled};
            co_return 1;
        };
        auto throws = [&]() -> asio::awaitable<int> {
            auto waiting = waits();
            if (co_await std::move(waiting)) throw std::runtime_error{"cancelled"};
            co_return 1;
        };
        auto succeeds = [&]() -> asio::awaitable<int> {
            began = true;
            auto waiting = waits();
            co_await std::move(waiting);
            co_return 1;
        };
        auto first = poor.execute(returns);
        returned = co_await std::move(first);
        auto second = poor.execute(throws);
        thrown = co_await std::move(second);
        auto third = poor.execute(succeeds);
        succeeded = co_await std::move(third);
    });

    EXPECT_EQ(returned->error(), no_memory);
    EXPECT_EQ(thrown->error(), no_memory);
    EXPECT_EQ(began, has_begun);
    if (has_begun)
        EXPECT_EQ(succeeded->value(), 1);
    else
        EXPECT_EQ(succeeded->error(), no_memory);
}

INSTANTIATE_TEST_SUITE_P(OnAContextFor, TimedCallTest, ::testing::Values(1, 2),
                         [](const auto& tested) { return tested.param == 1 ? "OneThread" : "SeveralThreads"; });

} // namespace
} // namespace velostream
