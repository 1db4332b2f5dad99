// SPDX-License-Identifier: Apache-2.0
// Every request for memory of a retry executor fails once. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include "support/allocation_count.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using testing::ManualTime;
using testing::with_each_request_failing;

class RetryFailuresTest : public ::testing::Test {
  protected:
    using Retry = RetryExecutor<ManualTime>;

    // A call that holds 100 bytes and whose every try fails: the error that it ends with.
    Error failing_call(Retry& retry) {
        CallContext context;
        context.set_held_bytes(100);
        Retry::Guard guard{retry};
        for (;;) {
            Error error{Errc::connect_failed};
            guard.before(context);
            if (guard.after_failure(context, error).passes_on()) return error;
        }
    }

    ManualTime time;
    Error last;
};

TEST_F(RetryFailuresTest, WithoutMemoryForMoreACallEndsWithItsLastErrorAndIsCountedOnce) {
    const MemoryAccount account{"calls", 4096};
    Retry retry{RetryConfig{.max_retries = 1, .budget = RetryBudgetConfig{.reserve_per_second = 1000}},
                RetryOptions{.account = account}, nullptr, time};
    const auto empty = account.used(); // but for its budget
    std::uint64_t calls = 0;

    const auto failures = with_each_request_failing([&] { last = failing_call(retry); },
                                                    [&] {
                                                        EXPECT_TRUE(last == ErrorType::network);
                                                        EXPECT_EQ(last.attempts(), 2U);
                                                        const auto stats = retry.get_stats();
                                                        EXPECT_EQ(stats.exhausted, ++calls);
                                                        EXPECT_EQ(stats.calls, calls);
                                                        EXPECT_EQ(stats.cancelled, 0U);
                                                        EXPECT_EQ(account.used(), empty);
                                                    });

    EXPECT_GE(failures, 1);
    EXPECT_TRUE(last == Errc::retries_exhausted);
}

TEST_F(RetryFailuresTest, ARefusalOfTheAccountNeedsNoMemory) {
    const RetryBudget budget;
    Retry retry{RetryConfig{}, RetryOptions{.budget = budget, .account = MemoryAccount{"calls", 99}}, nullptr, time};
    std::uint64_t calls = 0;

    with_each_request_failing([&] { last = failing_call(retry); },
                              [&] {
                                  EXPECT_TRUE(last == Errc::connect_failed);
                                  EXPECT_EQ(last.retry_refused_by(), Errc::memory_limit_exceeded);
                                  EXPECT_EQ(retry.get_stats().no_memory, ++calls);
                                  EXPECT_EQ(budget.get_stats(time.now()).retries, 0U);
                              });
}

} // namespace
} // namespace velostream

#endif
