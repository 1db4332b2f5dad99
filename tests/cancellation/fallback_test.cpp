// SPDX-License-Identifier: Apache-2.0
// However a call with a fallback ends early, it is not recovered, and it leaves nothing behind: no permit, no sleeper.
#include "velostream/fallback.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <tuple>

#include "support/cancellation_kinds.hpp"
#include "support/early_end.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::EarlyEnd;
using testing::ManualTime;

enum class Step { operation, fallback };

class CancelledFallbackTest : public ::testing::Test {
  protected:
    void poll() {
        io->restart();
        io->poll();
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(instead.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(whole.get_stats().in_use, 0u);
        EXPECT_EQ(service.get_stats().in_use, 0u);
        EXPECT_EQ(budget.get_stats(time.now()).retries, 0u);
        EXPECT_EQ(outermost_used, 0) << "a fallback further out was asked";
        EXPECT_LE(instead.calls(), fallback.get_stats().used);
    }

    ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    testing::ScriptedOperation<int> operation{time}, instead{time};
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10}};
    RetryExecutor<ManualTime> retry{RetryConfig{}, RetryOptions{.budget = budget}, nullptr, time};
    Bulkhead<ManualTime> whole{{.max_concurrent = 1}, time}, service{{.max_concurrent = 1}, time};
    int outermost_used = 0;
    Fallback<std::function<int(const Error&)>> outermost{{ErrorType::cancelled, ErrorType::network},
                                                         [this](const Error&) { return ++outermost_used; }};
    Fallback<std::function<asio::awaitable<Result<int>>(const Error&)>> fallback{
        {ErrorType::cancelled, ErrorType::network}, [this](const Error&) { return instead(); }};
};

class CancelledFallbackAtEveryStep : public CancelledFallbackTest,
                                     public ::testing::WithParamInterface<std::tuple<Step, bool, EarlyEnd>> {
  protected:
    auto start_call(bool with_context, EarlyEnd how) {
        Pipeline guarded{outermost, whole, fallback, service};
        const auto options = testing::options_for(how, time);
        return with_context ? testing::start(*io, guarded.execute(operation.with_context(), options))
                            : testing::start(*io, guarded.execute(operation, options));
    }
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledFallbackAtEveryStep,
                         ::testing::Combine(::testing::Values(Step::operation, Step::fallback), ::testing::Bool(),
                                            ::testing::ValuesIn(testing::early_ends)));

TEST_P(CancelledFallbackAtEveryStep, LeavesNothingBehind) {
    const auto [step, with_context, how] = GetParam();
    const bool is_asked = step == Step::fallback;
    is_asked ? operation.fails(Errc::connect_failed) : operation.hangs();
    instead.hangs();
    const auto call = start_call(with_context, how);
    ASSERT_EQ(operation.running(), is_asked ? 0u : 1u);
    ASSERT_EQ(instead.running(), is_asked ? 1u : 0u);
    ASSERT_EQ(whole.get_stats().in_use, 1u);
    ASSERT_EQ(service.get_stats().in_use, is_asked ? 0u : 1u);

    testing::end_early(how, call, io, time);

    EXPECT_EQ(fallback.get_stats().used, is_asked ? 1u : 0u);
    EXPECT_EQ(operation.calls(), 1u);
    expect_nothing_left();
}

TEST_F(CancelledFallbackTest, InABackoffInsideIsNotAsked) {
    for (const auto kind : testing::cancellation_kinds) {
        Pipeline guarded{outermost, whole, fallback, retry, service};
        operation.fails(Errc::connect_failed);
        const auto call = testing::start(*io, guarded.execute(operation));
        ASSERT_EQ(time.sleepers(), 1u);

        call.cancel(kind);
        poll();

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(fallback.get_stats().used, 0u);
        expect_nothing_left();
    }
}

TEST_F(CancelledFallbackTest, DestroyedInABackoffInside) {
    Pipeline guarded{outermost, whole, fallback, retry, service};
    operation.fails(Errc::connect_failed);
    const auto call = testing::start(*io, guarded.execute(operation));
    ASSERT_EQ(time.sleepers(), 1u);

    io.reset();

    EXPECT_FALSE(call.ended());
    EXPECT_EQ(fallback.get_stats().used, 0u);
    expect_nothing_left();
}

TEST_F(CancelledFallbackTest, WithItsAnswerOnTheWayStillHasIt) {
    for (const auto kind : testing::cancellation_kinds) {
        Pipeline guarded{outermost, whole, fallback, service};
        operation.fails(Errc::connect_failed);
        instead.takes(1s).returns(8);
        const auto call = testing::start(*io, guarded.execute(operation));
        time.advance(1s);

        call.cancel(kind);
        poll();

        EXPECT_EQ(call.value().value(), 8);
        expect_nothing_left();
    }
}

TEST_F(CancelledFallbackTest, DestroyedWithItsAnswerOnTheWay) {
    Pipeline guarded{outermost, whole, fallback, service};
    operation.fails(Errc::connect_failed);
    instead.takes(1s).returns(8);
    const auto call = testing::start(*io, guarded.execute(operation));
    time.advance(1s);

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left();
}

TEST_F(CancelledFallbackTest, DestroyedBeforeItWasAwaited) {
    Pipeline guarded{outermost, whole, fallback, service};
    operation.fails(Errc::connect_failed);

    {
        const auto never_awaited = guarded.execute(operation);
    }

    EXPECT_EQ(operation.calls(), 0u);
    expect_nothing_left();
}

} // namespace
} // namespace velostream
