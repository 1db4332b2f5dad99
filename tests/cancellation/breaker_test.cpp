// SPDX-License-Identifier: Apache-2.0
// A breaker's `execute` by itself: cancelled or destroyed at every await, in every state that admits calls.
#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "support/run_coroutine.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

enum class Shape { plain, with_context, with_deadline };
enum class End { terminal, partial, total, destroyed };

class CancelledBreakerTest : public ::testing::TestWithParam<std::tuple<Shape, End>> {
  protected:
    Shape shape() const { return std::get<0>(GetParam()); }
    End end() const { return std::get<1>(GetParam()); }

    testing::Started<Result<int>> start_call() {
        if (shape() == Shape::with_context) return testing::start(*io, breaker.execute(operation.with_context()));
        const auto deadline = shape() == Shape::with_deadline ? time.now() + 60s : CallContext::no_deadline;
        return testing::start(*io, breaker.execute(operation, {.deadline = deadline}));
    }
    void end_call(const testing::Started<Result<int>>& call) {
        switch (end()) {
            case End::terminal:
                call.cancel(asio::cancellation_type::terminal);
                break;
            case End::partial:
                call.cancel(asio::cancellation_type::partial);
                break;
            case End::total:
                call.cancel(asio::cancellation_type::total);
                break;
            case End::destroyed:
                io.reset();
                return;
        }
        io->poll();
        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    }

    testing::ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    CircuitBreaker<testing::ManualTime> breaker{
        "orders", {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}, nullptr, time};
    testing::ScriptedOperation<int> operation{time};
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledBreakerTest,
                         ::testing::Combine(::testing::Values(Shape::plain, Shape::with_context, Shape::with_deadline),
                                            ::testing::Values(End::terminal, End::partial, End::total,
                                                              End::destroyed)));

TEST_P(CancelledBreakerTest, JudgesNothingWhileClosed) {
    operation.hangs();
    const auto call = start_call();

    end_call(call);

    const auto stats = breaker.get_stats();
    EXPECT_EQ(stats.state, CircuitState::closed);
    EXPECT_EQ(stats.window_calls, 0u);
    EXPECT_EQ(stats.cancelled, 1u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_P(CancelledBreakerTest, ReturnsTheProbePermit) {
    breaker.try_acquire()->failure(Errc::connect_failed);
    time.advance(10s);
    operation.hangs();
    const auto call = start_call();
    ASSERT_FALSE(breaker.try_acquire());

    end_call(call);

    EXPECT_EQ(breaker.state(), CircuitState::half_open) << "neither closed nor opened by it";
    EXPECT_TRUE(breaker.try_acquire());
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

} // namespace
} // namespace velostream
