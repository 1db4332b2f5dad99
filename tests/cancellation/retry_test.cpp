// SPDX-License-Identifier: Apache-2.0
// A retry executor by itself: cancelled or destroyed in the n-th try and in the n-th backoff.
#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "support/run_coroutine.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::retry_test {
namespace {

using namespace std::chrono_literals;

enum class End { terminal, partial, total, destroyed };

// The operation takes a second and fails; the delays are a second. So try n runs from 2n to 2n + 1 s, and backoff n
// from there to 2n + 2 s.
class CancelledRetryTest : public ::testing::TestWithParam<std::tuple<int, bool, End>> {};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledRetryTest,
                         ::testing::Combine(::testing::Range(0, 6), ::testing::Bool(),
                                            ::testing::Values(End::terminal, End::partial, End::total,
                                                              End::destroyed)));

TEST_P(CancelledRetryTest, LeavesNothingBehind) {
    const auto [half_seconds, with_timeout, end] = GetParam();
    testing::ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    RetryConfig config{.max_retries = 3, .backoff_strategy = FixedInterval{1s}};
    if (with_timeout) config.attempt_timeout = 10s;
    const RetryBudget budget;
    const MemoryAccount account{"calls"};
    RetryExecutor retry{config, RetryOptions{.budget = budget, .account = account}, nullptr, time};
    testing::ScriptedOperation<int> operation{time};
    operation.takes(1s).fails(Errc::connect_failed);
    const auto call = testing::start(*io, retry.execute_with_retry(operation, {.held_bytes = 100}));
    time.run_for(*io, half_seconds * 1s + 500ms);
    const auto calls = operation.calls();
    ASSERT_EQ(calls, static_cast<std::size_t>(half_seconds / 2 + 1));
    const bool waits = half_seconds % 2 == 1;
    ASSERT_EQ(account.used(), waits ? 100u : 0u);

    if (end == End::destroyed) {
        io.reset();
        EXPECT_FALSE(call.ended());
    } else {
        call.cancel(end == End::terminal  ? asio::cancellation_type::terminal
                    : end == End::partial ? asio::cancellation_type::partial
                                          : asio::cancellation_type::total);
        io->poll();
        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(call.value().error().attempts(), calls);
    }

    EXPECT_EQ(retry.get_stats().calls, 1u);
    EXPECT_EQ(retry.get_stats().cancelled, 1u);
    EXPECT_EQ(retry.get_stats().given_up, 0u);
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(budget.get_stats(time.now()).retries, calls - 1) << "those that were made";
    EXPECT_EQ(budget.get_stats(time.now()).refunded, waits ? 1u : 0u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
    time.advance(100s);
    EXPECT_EQ(operation.calls(), calls);
}

} // namespace
} // namespace velostream::retry_test
