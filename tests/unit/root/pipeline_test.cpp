// SPDX-License-Identifier: Apache-2.0
#include "velostream/pipeline.hpp"

#include <gtest/gtest.h>

#include "support/run_coroutine.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class PipelineTest : public ::testing::Test {
  protected:
    asio::io_context io;
    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    CircuitBreaker<testing::ManualTime> breaker{
        "orders", {.failure_threshold = 2, .success_threshold = 1, .timeout = 10s}, observer, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 3}, observer, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(PipelineTest, ReturnsTheValueOfTheOperation) {
    Pipeline guarded{retry, breaker};
    operation.returns(7);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 7);
    EXPECT_EQ(operation.calls(), 1u);
}

TEST_F(PipelineTest, RunsItsFirstPolicyOutermost) {
    Pipeline retry_outside{retry, breaker};
    operation.fails(Errc::connect_failed);

    const auto result = run(io, time, retry_outside.execute(operation));

    // The second failure opens the circuit; the third try finds it open, and that is not retried.
    EXPECT_EQ(result.error(), Errc::circuit_open);
    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(breaker.get_stats().failure_count, 2u);
}

TEST_F(PipelineTest, JudgesTheWholeCallIfTheBreakerIsOutside) {
    Pipeline breaker_outside{breaker, retry};
    operation.fails(Errc::connect_failed);

    const auto result = run(io, time, breaker_outside.execute(operation));

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(operation.calls(), 4u);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

} // namespace
} // namespace velostream
