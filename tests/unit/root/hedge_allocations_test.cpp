// SPDX-License-Identifier: Apache-2.0
// What a hedge takes: frames, and memory from the heap. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/errc.hpp>
#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>

#include "support/allocation_count.hpp"
#include "support/allocations_of_calls.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/hedge.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr auto plain = []() -> asio::awaitable<int> { co_return 1; };
constexpr auto with_context = [](CallContext&) -> asio::awaitable<Result<int>> { co_return 1; };

class HedgeAllocations : public ::testing::Test {
  protected:
    // Of 1000 calls, or `count`.
    template <class Operation, class... Policies>
    std::uint64_t of(Pipeline<Policies...> guarded, Operation operation, CallOptions options = {}, int count = 1000) {
        auto call = [&] { return guarded.execute(idempotent(operation), options); };
        return testing::allocations_by_the_machines_clock(one_thread, call, slot, count);
    }
    CallOptions with_deadline() const { return {.deadline = SteadyTime{}.now() + 1h}; }

    // Operations that wait until the context comes to what it has to do next.
    auto waits() {
        return [this]() -> asio::awaitable<int> {
            asio::steady_timer timer{one_thread, TimePoint{}};
            auto waiting = timer.async_wait(asio::deferred);
            co_await std::move(waiting);
            co_return 1;
        };
    }
    auto waits_with_context() {
        return [this](CallContext& call) -> asio::awaitable<int> {
            asio::steady_timer timer{one_thread, TimePoint{}};
            auto waiting =
                timer.async_wait(asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable));
            co_await std::move(waiting);
            co_return 1;
        };
    }
    // The first attempt of each call waits until it is cancelled, the second one is ready.
    auto first_is_cancelled() {
        return [this]() -> asio::awaitable<Result<int>> {
            if (++attempts % 2 == 0) co_return 1;
            co_await asio::this_coro::throw_if_cancelled(false);
            asio::steady_timer timer{one_thread, TimePoint::max()};
            auto waiting = timer.async_wait(asio::as_tuple(asio::deferred));
            co_await std::move(waiting);
            co_return Errc::cancelled;
        };
    }
    // The first attempt of each call fails, the second one does not.
    auto first_fails() {
        return [this](CallContext&) -> asio::awaitable<Result<int>> {
            if (++attempts % 2 == 0) co_return 1;
            co_return Errc::connect_failed;
        };
    }

    asio::io_context one_thread{1};
    asio::cancellation_signal signal;
    asio::cancellation_slot slot; // of the caller
    Hedge<> hedge{HedgeConfig{.delay = 1h, .max_hedges = 1}}, quick{HedgeConfig{.delay = 0s, .max_hedges = 1}};
    CircuitBreaker<> outside{"outside", {}}, inside{"inside", {}};
    RetryExecutor<> retry{RetryConfig{}};
    Bulkhead<> bulkhead{{.max_concurrent = 2}};
    Timeout<> timeout{1h};
    int attempts = 0;
};

TEST_F(HedgeAllocations, ACallThatNeedsNoHedgeTakesNone) {
    EXPECT_EQ(of(Pipeline{hedge}, plain), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, with_context), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits_with_context()), 0u);
}

TEST_F(HedgeAllocations, NorDoesItWithADeadline) {
    EXPECT_EQ(of(Pipeline{hedge}, plain, with_deadline()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, with_context, with_deadline()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits(), with_deadline()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits_with_context(), with_deadline()), 0u);
}

TEST_F(HedgeAllocations, NorDoesItWithinOtherPolicies) {
    EXPECT_EQ(of(Pipeline{timeout, retry, outside, hedge, inside, bulkhead}, plain), 0u);
    EXPECT_EQ(of(Pipeline{timeout, retry, outside, hedge, inside, bulkhead}, with_context), 0u);
    EXPECT_EQ(of(Pipeline{timeout, retry, outside, hedge, inside, bulkhead}, waits()), 0u);
    EXPECT_EQ(of(Pipeline{timeout, retry, outside, hedge, inside, bulkhead}, waits_with_context()), 0u);
}

TEST_F(HedgeAllocations, NorDoesItWhereItsCallerCanBeCancelledUnlessItWaitsUnderADeadline) {
    slot = signal.slot();

    EXPECT_EQ(of(Pipeline{hedge}, plain, with_deadline()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, with_context, with_deadline()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits()), 0u);
    EXPECT_EQ(of(Pipeline{hedge}, waits_with_context()), 0u);

    // Then there are slots at three places, and Asio keeps memory for two.
    EXPECT_EQ(of(Pipeline{hedge}, waits(), with_deadline()), 1000u);
    EXPECT_EQ(of(Pipeline{hedge}, waits_with_context(), with_deadline()), 1000u);
}

TEST_F(HedgeAllocations, ACallThatIsHedgedTakesNone) {
    EXPECT_EQ(of(Pipeline{hedge}, first_fails()), 0u);
    EXPECT_EQ(of(Pipeline{outside, hedge, bulkhead}, first_fails()), 0u);
    EXPECT_GE(attempts, 2 * 2040);
    EXPECT_EQ(hedge.get_stats().won, static_cast<std::uint64_t>(attempts) / 2) << "each call is hedged";
    attempts = 0;

    EXPECT_EQ(of(Pipeline{quick}, first_is_cancelled(), {}, 30), 0u);
    EXPECT_EQ(of(Pipeline{outside, quick, bulkhead}, first_is_cancelled(), {}, 30), 0u);
    EXPECT_GE(attempts, 2 * 100);
    EXPECT_EQ(quick.get_stats().won, static_cast<std::uint64_t>(attempts) / 2);
}

TEST_F(HedgeAllocations, WithADeadlineAPlainOneThatIsHedgedTakesTwo) {
    EXPECT_EQ(of(Pipeline{quick}, first_is_cancelled(), with_deadline(), 30), 60u);

    slot = signal.slot(); // and where its caller can be cancelled three
    EXPECT_EQ(of(Pipeline{quick}, first_is_cancelled(), with_deadline(), 30), 90u);
}

TEST_F(HedgeAllocations, AnAttemptIsOneFrame) {
    const auto frames_of = [](auto guarded) {
        return testing::frames_of_a_call([&](auto operation) { return guarded.execute(idempotent(operation)); });
    };

    // The call, the attempt, and what its attempts share.
    EXPECT_EQ(frames_of(Pipeline{hedge}), 3u);
    EXPECT_EQ(frames_of(Pipeline{retry, outside, hedge, inside, bulkhead}), 3u);
    // With a deadline the operation is one by itself, as it is without a hedge.
    EXPECT_EQ(frames_of(Pipeline{timeout, hedge}), 4u);
    // And another attempt is one more.
    const auto with_two_attempts = [&](auto operation) {
        auto second_counts = [operation, is_first = true]() mutable -> asio::awaitable<Result<int>> {
            if (std::exchange(is_first, false)) co_return Errc::connect_failed;
            auto counting = operation();
            co_return co_await std::move(counting);
        };
        return Pipeline{hedge}.execute(idempotent(std::move(second_counts)));
    };
    EXPECT_EQ(testing::frames_of_a_call(with_two_attempts), 4u);
}

TEST_F(HedgeAllocations, WhereThereIsNoMemoryForItTheCallFailsForThatAndLeavesNothingBehind) {
    const auto no_memory = boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    Pipeline guarded{bulkhead, hedge, inside};
    int failures = 0, refused = 0;
    auto calls = [&]() -> asio::awaitable<void> {
        for (bool has_failed = true; has_failed; ++failures) {
            const testing::NoFrameKept none;
            std::optional<Result<int>> result;
            testing::allocations_until_failure = failures;
            try {
                auto call = guarded.execute(idempotent(plain));
                result = co_await std::move(call);
            } catch (const std::bad_alloc&) {
                ++refused; // for its own frame
            }
            has_failed = std::exchange(testing::allocations_until_failure, -1) < 0;
            EXPECT_EQ(bulkhead.get_stats().in_use, 0u);
            if (!has_failed) {
                EXPECT_EQ(result.value().value(), 1);
            } else if (result) {
                EXPECT_EQ(result->error(), no_memory);
            }
        }
    };
    asio::co_spawn(one_thread, calls(), asio::detached);
    one_thread.run();

    EXPECT_EQ(refused, 1);
    EXPECT_GE(failures, 4) << "of these, of what its attempts share, of its attempt, and then one that succeeds";
}

} // namespace
} // namespace velostream

#endif
