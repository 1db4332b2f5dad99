// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/scripted_operation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <stdexcept>

#include "support/run_coroutine.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class ScriptedOperationTest : public ::testing::Test {
  protected:
    Result<int> call() { return run(io, time, operation()); }

    asio::io_context io;
    ManualTime time;
    ScriptedOperation<int> operation{time};
};

TEST_F(ScriptedOperationTest, AnswersStepByStepAndRepeatsTheLast) {
    operation.fails(Errc::connect_failed).throws(std::out_of_range{"row 7"}).returns(7);

    EXPECT_EQ(call().error(), Errc::connect_failed);
    EXPECT_THROW(call(), std::out_of_range);
    EXPECT_EQ(call().value(), 7);
    EXPECT_EQ(call().value(), 7);
    EXPECT_EQ(operation.calls(), 4u);
}

TEST_F(ScriptedOperationTest, TakesTimeInTheStepThatSaysSo) {
    const auto start = time.now();
    operation.takes(2s).returns(1).returns(2);

    call();
    call();
    call();

    EXPECT_THAT(operation.started_at(), ElementsAre(start, start + 2s, start + 2s));
    EXPECT_EQ(time.now(), start + 2s);
}

TEST_F(ScriptedOperationTest, HangsUntilItIsCancelledWhateverTimePasses) {
    time.advance(1h);
    operation.hangs().returns(1);
    const auto hanging = start(io, operation());

    time.run_for(io, 24h * 365 * 100);
    EXPECT_FALSE(hanging.ended());
    EXPECT_EQ(operation.running(), 1u);

    hanging.cancel(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_EQ(hanging.value().error(), asio::error::operation_aborted);
    EXPECT_EQ(hanging.value().error(), ErrorType::cancelled);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(call().value(), 1) << "hanging was one step";
}

TEST_F(ScriptedOperationTest, WritesDownTheContextOfEachCall) {
    CallContext context{time.now() + 5s};
    context.begin_attempt(3, CallContext::no_deadline);
    operation.returns(1);
    auto with_context = operation.with_context();

    EXPECT_EQ(run(io, time, with_context(context)).value(), 1);

    ASSERT_EQ(operation.contexts().size(), 1u);
    EXPECT_EQ(operation.contexts()[0].attempt(), 3u);
    EXPECT_EQ(operation.contexts()[0].deadline(), time.now() + 5s);
}

TEST_F(ScriptedOperationTest, CopiesShareScriptAndRecords) {
    auto copy = operation;
    operation.returns(1);
    copy.returns(2);

    EXPECT_EQ(run(io, time, copy()).value(), 1);
    EXPECT_EQ(call().value(), 2);
    EXPECT_EQ(copy.calls(), 2u);
}

} // namespace
} // namespace velostream::testing
