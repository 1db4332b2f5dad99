// SPDX-License-Identifier: Apache-2.0
// A policy of a user's own that has some answers already, as `async/policy.hpp` describes it.
#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>
#include <optional>
#include <stdexcept>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::answering_guard_test {
namespace {

using namespace std::chrono_literals;

class Cache {
  public:
    explicit Cache(testing::ManualTime clock) : time(std::move(clock)) {}

    testing::ManualTime time;
    std::optional<Result<int>> kept; // nothing: it throws
    bool has_answer = true, is_slow = false;
    int told = 0;

    class Guard {
      public:
        explicit Guard(Cache& cache) noexcept : cache_(cache) {}
        Decision before(CallContext&) noexcept {
            if (cache_.is_slow) return Decision::wait();
            return cache_.has_answer ? Decision::answer() : Decision::proceed();
        }
        asio::awaitable<Decision> wait(CallContext&) {
            const auto executor = co_await asio::this_coro::executor;
            auto sleep = async_sleep_until(cache_.time, executor, cache_.time.now() + 1s, asio::use_awaitable);
            co_await std::move(sleep);
            co_return cache_.has_answer ? Decision::answer() : Decision::proceed();
        }
        template <class Success>
        Success answer(CallContext&) {
            if (!cache_.kept) throw std::range_error{"torn"};
            return Success(*cache_.kept);
        }
        void after_success(CallContext&) noexcept { ++cache_.told; }
        Verdict after_failure(CallContext&, const Error&) noexcept {
            ++cache_.told;
            return Verdict::pass_on();
        }

      private:
        Cache& cache_;
    };
};

static_assert(AnsweringGuard<Cache::Guard, Result<int>>);
static_assert(!AnsweringGuard<CircuitBreaker<>::Guard, Result<int>>);

class AnsweringGuardTest : public ::testing::Test {
  protected:
    template <class... Policies>
    Result<int> call(Pipeline<Policies...> guarded) {
        return run(io, time, guarded.execute(operation));
    }

    asio::io_context io;
    testing::ManualTime time;
    CircuitBreaker<testing::ManualTime> outer{"outer", {}, nullptr, time}, inner{"inner", {}, nullptr, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 1}, nullptr, time};
    Cache cache{time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(AnsweringGuardTest, ItsAnswerTakesThePlaceOfTheTry) {
    cache.kept = Result<int>{7};

    EXPECT_EQ(call(Pipeline{outer, cache, inner}).value(), 7);

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(inner.get_stats().window_calls, 0u) << "not asked";
    EXPECT_EQ(outer.get_stats().window_calls, 1u) << "told of a success";
    EXPECT_EQ(outer.get_stats().failure_count, 0u);
    EXPECT_EQ(cache.told, 0) << "it knows";
}

TEST_F(AnsweringGuardTest, AnswersAsTheOnlyPolicyAsWell) {
    cache.kept = Result<int>{7};

    EXPECT_EQ(call(Pipeline{cache}).value(), 7);
}

TEST_F(AnsweringGuardTest, AnErrorIsAFailureOfTheTryForThePoliciesFurtherOut) {
    cache.kept = Result<int>{Errc::connect_failed};

    const auto result = call(Pipeline{retry, outer, cache, inner});

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(result.error().attempts(), 2u);
    EXPECT_EQ(outer.get_stats().failure_count, 2u);
    EXPECT_EQ(inner.get_stats().window_calls, 0u);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(AnsweringGuardTest, WhatItThrowsIsTheErrorOfTheTry) {
    EXPECT_THROW(call(Pipeline{outer, cache}).value(), std::range_error);

    EXPECT_EQ(outer.get_stats().failure_count, 1u);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(AnsweringGuardTest, MayWaitForItsAnswer) {
    cache.kept = Result<int>{7};
    cache.is_slow = true;
    const auto start = time.now();

    EXPECT_EQ(call(Pipeline{outer, cache, inner}).value(), 7);

    EXPECT_EQ(time.now(), start + 1s);
    EXPECT_EQ(inner.get_stats().window_calls, 0u);
}

TEST_F(AnsweringGuardTest, LetsATryProceedForWhichItHasNone) {
    cache.has_answer = false;
    operation.returns(3);
    for (const bool is_slow : {false, true}) {
        cache.is_slow = is_slow;
        EXPECT_EQ(call(Pipeline{outer, cache, inner}).value(), 3);
    }

    EXPECT_EQ(cache.told, 2);
    EXPECT_EQ(inner.get_stats().window_calls, 2u);
}

} // namespace
} // namespace velostream::answering_guard_test
