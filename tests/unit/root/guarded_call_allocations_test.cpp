// SPDX-License-Identifier: Apache-2.0
// Guarded calls leave the heap alone. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include "support/allocations_of_calls.hpp"
#include "support/failing_malloc.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/memory_limit.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/timeout.hpp"

namespace velostream::guarded_call_allocations_test {
namespace {

using namespace std::chrono_literals;
using testing::allocations;

const Error network = Errc::connect_failed;

constexpr auto plain = []() -> asio::awaitable<int> { co_return 1; };
constexpr auto with_context = [](CallContext&) -> asio::awaitable<Result<int>> { co_return 1; };

class GuardedCallAllocations : public ::testing::Test {
  protected:
    GuardedCallAllocations() { open.try_acquire()->failure(network); }

    template <class Call>
    std::uint64_t of(Call call) {
        return testing::allocations_of_calls(io, time, std::move(call));
    }

    asio::io_context io;
    testing::ManualTime time;
    CircuitBreaker<testing::ManualTime> closed{"closed", {}, nullptr, time};
    CircuitBreaker<testing::ManualTime> open{"open", {.failure_threshold = 1, .timeout = 1h}, nullptr, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 0}, nullptr, time};
    RetryBudget nothing{{.ratio = 0, .reserve_per_second = 0}};
    RetryExecutor<testing::ManualTime> limited{RetryConfig{.attempt_timeout = 1h}, RetryOptions{.budget = nothing},
                                               nullptr, time};
};

TEST_F(GuardedCallAllocations, AreCounted) {
    const auto before = allocations;
    const auto frame = plain(); // outside of any context: there is nothing to use again
    EXPECT_EQ(allocations, before + 1);

    const auto allocates = [](CallContext&) -> asio::awaitable<int> {
        static volatile int size = 100;
        const std::string text(static_cast<std::size_t>(size), ' ');
        co_return static_cast<int>(text.size());
    };
    EXPECT_EQ(of([&] { return closed.execute(allocates); }), 1000u);
}

TEST_F(GuardedCallAllocations, APermitOfAClosedCircuitTakesNone) {
    closed.try_acquire()->success();

    const auto before = allocations;
    for (int i = 0; i < 1000; ++i) closed.try_acquire()->success();

    EXPECT_EQ(allocations, before);
}

TEST_F(GuardedCallAllocations, ARefusalOfAnOpenCircuitTakesNone) {
    EXPECT_FALSE(open.try_acquire());

    const auto before = allocations;
    for (int i = 0; i < 1000; ++i) {
        const auto refused = open.try_acquire();
        if (refused) break;
        const auto error = refused.error();
        if (error != Errc::circuit_open) break;
    }

    EXPECT_EQ(allocations, before);
    EXPECT_EQ(open.get_stats().rejected, 1001u);
}

TEST_F(GuardedCallAllocations, ACallThroughAClosedCircuitTakesNone) {
    EXPECT_EQ(of([&] { return closed.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return closed.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, ACallThatAnOpenCircuitRefusesTakesNone) {
    EXPECT_EQ(of([&] { return open.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return open.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, SuccessInTheFirstTryTakesNone) {
    EXPECT_EQ(of([&] { return retry.execute_with_retry(plain); }), 0u);
    EXPECT_EQ(of([&] { return retry.execute_with_retry(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, ARetryTakesOneForItsWait) {
    RetryExecutor<> again{RetryConfig{.backoff_strategy = FixedInterval{.interval = 1us}}};
    int tries = 0;
    const auto second_succeeds = [&tries](CallContext&) -> asio::awaitable<Result<int>> {
        if (++tries % 2 == 1) co_return Errc::connect_failed;
        co_return 1;
    };

    // The handler's executor becomes one of another type, which Asio keeps on the heap.
    const auto call = [&] { return again.execute_with_retry(second_succeeds); };
    EXPECT_EQ(testing::allocations_by_the_machines_clock(io, call), 1000u);
    EXPECT_GE(again.get_stats().succeeded_after_retry, 1020u);
}

TEST_F(GuardedCallAllocations, CountingACallForABudgetTakesNone) {
    EXPECT_EQ(of([&] { return limited.execute_with_retry(with_context); }), 0u);
    EXPECT_EQ(nothing.get_stats(time.now()).calls, 1020u);
}

TEST_F(GuardedCallAllocations, ARetryThatABudgetRefusesTakesNone) {
    constexpr auto fails = [](CallContext&) -> asio::awaitable<Result<int>> { co_return Errc::connect_failed; };

    EXPECT_EQ(of([&] { return limited.execute_with_retry(fails); }), 0u);
    EXPECT_EQ(limited.get_stats().no_budget, 1020u);
}

TEST_F(GuardedCallAllocations, APipelineTakesNone) {
    Pipeline guarded{retry, closed};

    EXPECT_EQ(of([&] { return guarded.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return guarded.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, TheSlotOfACallThatNobodyCanCancelTakesNone) {
    Timeout<> timeout{1h};
    const auto waits = [this](CallContext& call) -> asio::awaitable<int> {
        asio::steady_timer timer{io, asio::steady_timer::time_point{}};
        auto token = asio::bind_cancellation_slot(call.cancellation_slot(), asio::use_awaitable);
        auto waiting = timer.async_wait(std::move(token));
        co_await std::move(waiting);
        co_return 1;
    };

    EXPECT_EQ(testing::allocations_by_the_machines_clock(io, [&] { return timeout.execute(waits); }), 0u);
}

TEST_F(GuardedCallAllocations, ADeadlineOfAPlainOperationTakesNoneOnAContextForOneThread) {
    asio::io_context one_thread{1};
    Timeout<> timeout{1h};

    EXPECT_EQ(testing::allocations_by_the_machines_clock(one_thread, [&] { return timeout.execute(plain); }), 0u);
}

TEST_F(GuardedCallAllocations, NorDoesItWhereItsCallerCanBeCancelled) {
    asio::io_context one_thread{1};
    asio::cancellation_signal signal;
    Timeout<> timeout{1h};

    EXPECT_EQ(testing::allocations_by_the_machines_clock(
                  one_thread, [&] { return timeout.execute(plain); }, signal.slot()),
              0u);
}

TEST_F(GuardedCallAllocations, FivePoliciesTakeNone) {
    const MemoryAccount account{"calls", 1024};
    RetryExecutor<> with_budget{RetryConfig{}, RetryOptions{.budget = RetryBudget{}}};
    CircuitBreaker<> breaker{"orders", {}};
    Bulkhead<> bulkhead{{.max_concurrent = 1}};
    Timeout<> timeout{1h};
    MemoryLimit<> memory{account, 100};
    Pipeline guarded{with_budget, breaker, bulkhead, timeout, memory};

    EXPECT_EQ(testing::allocations_by_the_machines_clock(io, [&] { return guarded.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, APipelineIsOneFrameWhateverTheNumberOfPolicies) {
    Pipeline one{retry};
    Pipeline three{retry, closed, open};

    // On a thread that has kept no frame yet, and outside of any context: there is nothing to use again.
    std::thread{[&] {
        const auto before = allocations;
        const auto short_call = one.execute(plain);
        EXPECT_EQ(allocations, before + 1);
        const auto long_call = three.execute(plain);
        EXPECT_EQ(allocations, before + 2);
    }}.join();
}

TEST_F(GuardedCallAllocations, ADeadlineOfAPlainOperationIsOneFrameMore) {
    Timeout<> whole{1h}, each{1h};
    RetryExecutor<> retries{RetryConfig{}};
    CircuitBreaker<> breaker{"orders", {}};
    Pipeline none{retries, breaker};
    Pipeline one{whole, retries, breaker};
    Pipeline two{whole, retries, each, breaker};

    EXPECT_EQ(testing::frames_of_a_call([&](auto operation) { return none.execute(operation); }), 1u);
    EXPECT_EQ(testing::frames_of_a_call([&](auto operation) { return one.execute(operation); }), 2u);
    EXPECT_EQ(testing::frames_of_a_call([&](auto operation) { return two.execute(operation); }), 2u);
}

} // namespace
} // namespace velostream::guarded_call_allocations_test

#endif
