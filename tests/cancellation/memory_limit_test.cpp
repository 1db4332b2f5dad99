// SPDX-License-Identifier: Apache-2.0
// However a call under a memory limit ends early, it leaves nothing behind: no bytes, no waiter, no sleeper.
#include "velostream/memory_limit.hpp"

#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <tuple>

#include "support/cancellation_kinds.hpp"
#include "support/early_end.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::memory_limit_test {
namespace {

using namespace std::chrono_literals;
using testing::EarlyEnd;
using testing::ManualTime;

enum class Step {
    first_in_line,
    behind_another,
    operation,
};

class CancelledMemoryLimitTest : public ::testing::Test {
  protected:
    auto start(asio::io_context& context, CallOptions options = {}) {
        Pipeline guarded{calls, limit};
        return testing::start(context, guarded.execute(operation, options));
    }
    auto start() { return start(*io); }
    void fill() { full = account.try_reserve(50).value(); }
    void poll(asio::io_context& context) {
        context.restart();
        context.poll();
    }
    void expect_nothing_left() {
        full.release();
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(calls.get_stats().in_use, 0u);
        EXPECT_EQ(account.used(), 0u);
        EXPECT_EQ(process.used(), 0u);
        EXPECT_FALSE(process.anyone_waits());
        EXPECT_TRUE(account.try_reserve(100));
    }

    ManualTime time;
    asio::io_context elsewhere;
    std::optional<asio::io_context> io{std::in_place};
    const MemoryAccount process{"process", 100}, account = process.child("calls");
    MemoryReservation full;
    Bulkhead<ManualTime> calls{{}, time};
    MemoryLimit<ManualTime> limit{account, 60, WhenFull::wait, time};
    testing::ScriptedOperation<int> operation{time};
};

class CancelledMemoryLimitAtEveryStep : public CancelledMemoryLimitTest,
                                        public ::testing::WithParamInterface<std::tuple<Step, bool, EarlyEnd>> {
  protected:
    auto start_call(bool with_context, EarlyEnd how) {
        Pipeline guarded{calls, limit};
        const auto options = testing::options_for(how, time);
        return with_context ? testing::start(*io, guarded.execute(operation.with_context(), options))
                            : testing::start(*io, guarded.execute(operation, options));
    }
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledMemoryLimitAtEveryStep,
                         ::testing::Combine(::testing::Values(Step::first_in_line, Step::behind_another,
                                                              Step::operation),
                                            ::testing::Bool(), ::testing::ValuesIn(testing::early_ends)));

TEST_P(CancelledMemoryLimitAtEveryStep, LeavesNothingBehind) {
    const auto [step, with_context, how] = GetParam();
    const bool waits = step != Step::operation;
    operation.hangs();
    if (waits) fill();
    std::optional<testing::Started<Result<MemoryReservation>>> before;
    if (step == Step::behind_another)
        before = testing::start(elsewhere, async_reserve(account, 100, asio::use_awaitable));
    const auto call = start_call(with_context, how);
    ASSERT_EQ(operation.running(), waits ? 0u : 1u);
    ASSERT_EQ(account.used(), waits ? 50u : 60u);
    ASSERT_EQ(calls.get_stats().in_use, 1u);

    testing::end_early(how, call, io, time, waits ? Errc::memory_limit_exceeded : Errc::deadline_exceeded);

    EXPECT_EQ(operation.calls(), waits ? 0u : 1u);
    if (before) {
        full.release();
        poll(elsewhere);
        EXPECT_EQ(before->value()->bytes(), 100u) << "the line goes on";
        before.reset();
    }
    expect_nothing_left();
}

TEST_F(CancelledMemoryLimitTest, WhileItsBytesAreOnTheirWayLetsTheNextOneHaveThem) {
    for (const auto kind : testing::cancellation_kinds) {
        fill();
        operation.takes(1s).returns(7);
        const auto call = start(), next = start(elsewhere);
        full.release();

        call.cancel(kind);
        poll(*io);
        poll(elsewhere);
        time.run_for(elsewhere, 1s);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(next.value().value(), 7);
        expect_nothing_left();
    }
}

TEST_F(CancelledMemoryLimitTest, DestroyedWhileItsBytesAreOnTheirWay) {
    fill();
    operation.returns(7);
    const auto call = start(), next = start(elsewhere);
    full.release();
    ASSERT_EQ(account.used(), 60u);

    io.reset();
    poll(elsewhere);

    EXPECT_FALSE(call.ended());
    EXPECT_EQ(next.value().value(), 7) << "the bytes came back and went on";
    EXPECT_EQ(operation.calls(), 1u);
    expect_nothing_left();
}

TEST_F(CancelledMemoryLimitTest, AtItsDeadlineWhileItsBytesAreOnTheirWay) {
    fill();
    const auto call = start(*io, {.deadline = time.now() + 1s});
    full.release();
    time.advance(1s);

    poll(*io);

    EXPECT_EQ(call.value().error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(operation.calls(), 0u);
    expect_nothing_left();
}

// Outside of a retry the bytes are held during the backoff, too.
class CancelledMemoryLimitInABackoff : public CancelledMemoryLimitTest {
  protected:
    CancelledMemoryLimitInABackoff() { operation.fails(Errc::connect_failed); }

    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10}};
    RetryExecutor<ManualTime> retry{RetryConfig{}, RetryOptions{.budget = budget, .account = account}, nullptr, time};
    Pipeline<Bulkhead<ManualTime>, MemoryLimit<ManualTime>, RetryExecutor<ManualTime>> guarded{calls, limit, retry};
};

TEST_F(CancelledMemoryLimitInABackoff, ByItsCaller) {
    for (const auto kind : testing::cancellation_kinds) {
        const auto call = testing::start(*io, guarded.execute(operation, {.held_bytes = 30}));
        ASSERT_EQ(account.used(), 90u);

        call.cancel(kind);
        poll(*io);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(budget.get_stats(time.now()).retries, 0u);
        expect_nothing_left();
    }
}

TEST_F(CancelledMemoryLimitInABackoff, WithItsContext) {
    const auto call = testing::start(*io, guarded.execute(operation, {.held_bytes = 30}));
    ASSERT_EQ(account.used(), 90u);

    io.reset();

    EXPECT_FALSE(call.ended());
    EXPECT_EQ(budget.get_stats(time.now()).retries, 0u);
    expect_nothing_left();
}

TEST_F(CancelledMemoryLimitTest, DestroyedBeforeItWasAwaited) {
    Pipeline guarded{calls, limit};

    {
        const auto never_awaited = guarded.execute(operation);
    }

    EXPECT_EQ(operation.calls(), 0u);
    expect_nothing_left();
}

} // namespace
} // namespace velostream::memory_limit_test
