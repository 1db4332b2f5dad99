// SPDX-License-Identifier: Apache-2.0
// However a hedged call ends early, none of its attempts goes on, and it leaves nothing behind: no permit, no sleeper.
#include "velostream/hedge.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "support/early_end.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::hedge_test {
namespace {

using namespace std::chrono_literals;
using testing::EarlyEnd;
using testing::ManualTime;

enum class Step {
    before_the_hedge_is_due,
    both_run,
    only_the_first_runs, // the hedge has failed
    only_the_hedge_runs, // the first has failed
};

class CancelledHedgeTest : public ::testing::Test {
  protected:
    using Hedging = Hedge<ManualTime>;

    template <class Operation>
    auto start(Hedging& hedging, Operation called, CallOptions options = {}) {
        Pipeline guarded{retry, calls, hedging, attempts};
        return testing::start(*io, guarded.execute(idempotent(called), options));
    }
    void poll() {
        io->restart();
        io->poll();
    }
    void expect_nothing_left() {
        const auto made = operation.calls();
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(calls.get_stats().in_use, 0u);
        EXPECT_EQ(attempts.get_stats().in_use, 0u);
        EXPECT_EQ(budget.get_stats(time.now()).withdrawn, hedge.get_stats().hedges) << "attempts that were made";
        EXPECT_EQ(patient.get_stats().hedges, 0u);
        time.advance(1h);
        if (io) poll();
        EXPECT_EQ(operation.calls(), made);
    }

    ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10}};
    RetryExecutor<ManualTime> retry{RetryConfig{}, RetryOptions{.budget = budget}, nullptr, time};
    Bulkhead<ManualTime> calls{{.max_concurrent = 1}, time}, attempts{{.max_concurrent = 2}, time};
    Hedging hedge{HedgeConfig{.delay = 1s}, time, budget}, patient{HedgeConfig{.delay = 1h}, time, budget};
    testing::ScriptedOperation<int> operation{time};
};

class CancelledHedgeAtEveryStep : public CancelledHedgeTest,
                                  public ::testing::WithParamInterface<std::tuple<Step, bool, EarlyEnd>> {
  protected:
    // The call, where `step` has just begun.
    auto start_call(Step step, bool with_context, EarlyEnd how) {
        if (step == Step::only_the_first_runs) operation.hangs().fails(Errc::circuit_open);
        if (step == Step::only_the_hedge_runs) operation.fails(Errc::connect_failed);
        operation.hangs();
        auto& hedging = step == Step::before_the_hedge_is_due ? patient : hedge;
        const auto options = testing::options_for(how, time);
        const auto call =
            with_context ? start(hedging, operation.with_context(), options) : start(hedging, operation, options);
        time.run_for(*io, 1s);
        return call;
    }
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledHedgeAtEveryStep,
                         ::testing::Combine(::testing::Values(Step::before_the_hedge_is_due, Step::both_run,
                                                              Step::only_the_first_runs, Step::only_the_hedge_runs),
                                            ::testing::Bool(), ::testing::ValuesIn(testing::early_ends)));

TEST_P(CancelledHedgeAtEveryStep, LeavesNothingBehind) {
    const auto [step, with_context, how] = GetParam();
    const auto call = start_call(step, with_context, how);
    const auto running = step == Step::both_run ? 2u : 1u;
    ASSERT_EQ(operation.calls(), step == Step::before_the_hedge_is_due ? 1u : 2u);
    ASSERT_EQ(operation.running(), running);
    ASSERT_EQ(attempts.get_stats().in_use, running);

    const auto at_deadline = step == Step::only_the_hedge_runs ? Errc::connect_failed : Errc::deadline_exceeded;
    testing::end_early(how, call, io, time, at_deadline);

    expect_nothing_left();
}

// The first answers while the hedge does not heed its cancellation.
class CancelledHedgeWithALoser : public CancelledHedgeTest {
  protected:
    auto start_call() {
        const auto second_is_deaf = [this]() -> asio::awaitable<Result<int>> {
            if (operation.calls() == 1)
                co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            auto running = operation();
            co_return co_await std::move(running);
        };
        operation.takes(2s).returns(7).takes(5s).returns(8);
        const auto call = start(hedge, second_is_deaf);
        time.run_for(*io, 3s);
        EXPECT_EQ(operation.running(), 1u);
        return call;
    }
};

TEST_F(CancelledHedgeWithALoser, CancelledKeepsTheAnswerThatItHas) {
    const auto call = start_call();

    call.cancel(asio::cancellation_type::total);
    poll();
    EXPECT_FALSE(call.ended());
    time.run_for(*io, 5s);

    EXPECT_EQ(call.value().value(), 7);
    expect_nothing_left();
}

TEST_F(CancelledHedgeWithALoser, DestroyedLeavesNothingBehind) {
    const auto call = start_call();

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_F(CancelledHedgeTest, DestroyedWithItsAnswerOnTheWay) {
    operation.takes(2s).returns(7).hangs();
    const auto call = start(hedge, operation);
    time.run_for(*io, 1s);
    ASSERT_EQ(operation.running(), 2u);
    time.advance(1s);

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_F(CancelledHedgeTest, DestroyedWithItsHedgeOnTheWay) {
    operation.hangs();
    const auto call = start(hedge, operation);
    time.advance(1s);

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_F(CancelledHedgeTest, CancelledWithItsHedgeOnTheWay) {
    operation.hangs();
    const auto call = start(hedge, operation);
    time.advance(1s);

    call.cancel(asio::cancellation_type::terminal);
    poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(operation.cancelled(), operation.calls());
    expect_nothing_left();
}

TEST_F(CancelledHedgeTest, DestroyedBeforeItWasAwaited) {
    Pipeline guarded{retry, calls, hedge, attempts};
    operation.returns(7);

    {
        const auto never_awaited = guarded.execute(idempotent(operation));
    }

    EXPECT_EQ(hedge.get_stats().calls, 0u);
    expect_nothing_left();
}

} // namespace
} // namespace velostream::hedge_test
