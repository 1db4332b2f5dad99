// SPDX-License-Identifier: Apache-2.0
// A timeout by itself: cancelled or destroyed while its operation runs, and while its deadline is on its way.
#include "velostream/timeout.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "support/run_coroutine.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::timeout_test {
namespace {

using namespace std::chrono_literals;

enum class Shape { plain, with_context };
enum class Moment { running, deadline_on_its_way };
enum class End { terminal, partial, total, destroyed };

class CancelledTimeoutTest : public ::testing::TestWithParam<std::tuple<Shape, Moment, End>> {};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledTimeoutTest,
                         ::testing::Combine(::testing::Values(Shape::plain, Shape::with_context),
                                            ::testing::Values(Moment::running, Moment::deadline_on_its_way),
                                            ::testing::Values(End::terminal, End::partial, End::total,
                                                              End::destroyed)));

TEST_P(CancelledTimeoutTest, LeavesNothingBehind) {
    const auto [shape, moment, end] = GetParam();
    testing::ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    Timeout timeout{5s, time};
    Bulkhead inside{{.max_concurrent = 1}, time};
    Pipeline guarded{timeout, inside};
    testing::ScriptedOperation<int> operation{time};
    operation.hangs();
    const auto call = shape == Shape::plain ? testing::start(*io, guarded.execute(operation))
                                            : testing::start(*io, guarded.execute(operation.with_context()));
    ASSERT_EQ(time.sleepers(), 2u) << "the operation's and the deadline's";
    ASSERT_EQ(inside.get_stats().in_use, 1u);
    if (moment == Moment::deadline_on_its_way) time.advance(5s);

    if (end == End::destroyed) {
        io.reset();
        EXPECT_FALSE(call.ended());
    } else {
        call.cancel(end == End::terminal  ? asio::cancellation_type::terminal
                    : end == End::partial ? asio::cancellation_type::partial
                                          : asio::cancellation_type::total);
        io->restart();
        io->poll();
        const auto error = call.value().error();
        EXPECT_TRUE(error == ErrorType::cancelled || moment == Moment::deadline_on_its_way) << error;
        EXPECT_EQ(timeout.get_stats().timed_out, error == ErrorType::timeout ? 1u : 0u);
        EXPECT_EQ(operation.cancelled(), 1u);
    }

    EXPECT_EQ(inside.get_stats().in_use, 0u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

} // namespace
} // namespace velostream::timeout_test
