// SPDX-License-Identifier: Apache-2.0
// However a try ends early that chaos lets wait, it leaves nothing behind; nor does traffic that is ended at any
// moment.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <sstream>
#include <tuple>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/chaos_fault.hpp"
#include "velostream/testing/chaos_hang.hpp"
#include "velostream/testing/chaos_latency.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/testing/virtual_traffic.hpp"
#include "velostream/timeout.hpp"

namespace velostream::chaos_test {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

enum class Wait { latency, hang };
enum class Shape { plain, with_context, with_deadline, in_a_hedge };
enum class End { terminal, partial, total, destroyed };

class CancelledChaosTest : public ::testing::TestWithParam<std::tuple<Wait, Shape, End>> {
  protected:
    // Half-open, and the only probe permit is free: whoever loses it blocks the breaker.
    CancelledChaosTest() {
        breaker.try_acquire()->failure(Errc::connect_failed);
        time.advance(10s);
        operation.returns(1);
        (std::get<Wait>(GetParam()) == Wait::latency ? latency.set_injection_rate(1) : hang.set_injection_rate(1));
    }

    testing::Started<Result<int>> start_call() {
        switch (std::get<Shape>(GetParam())) {
            case Shape::plain:
                return testing::start(*io, guarded.execute(operation));
            case Shape::with_context:
                return testing::start(*io, guarded.execute(operation.with_context()));
            case Shape::with_deadline:
                return testing::start(*io, guarded.execute(operation, time.now() + 60s));
            case Shape::in_a_hedge:
                break;
        }
        return testing::start(*io, hedged.execute(idempotent(operation)));
    }
    // Returns whether the call has ended.
    bool end(const testing::Started<Result<int>>& call) {
        const auto how = std::get<End>(GetParam());
        if (how == End::destroyed) {
            io.reset();
            return call.ended();
        }
        call.cancel(how == End::terminal  ? asio::cancellation_type::terminal
                    : how == End::partial ? asio::cancellation_type::partial
                                          : asio::cancellation_type::total);
        io->restart();
        io->poll();
        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        return call.ended();
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.calls(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_TRUE(breaker.try_acquire()) << "the probe permit is lost";
        EXPECT_EQ(latency.get_stats().injected + hang.get_stats().injected, 1u) << "not tried again";
    }

    ManualTime time;
    std::optional<asio::io_context> io{std::in_place};
    CircuitBreaker<ManualTime> breaker{
        "orders", {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}, nullptr, time};
    RetryExecutor<ManualTime> retry{RetryConfig{}, nullptr, time};
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1h}, time};
    testing::ChaosLatency<ManualTime> latency{{.injection_rate = 0}, 30s, time};
    testing::ChaosHang<ManualTime> hang{{.injection_rate = 0}, time};
    Pipeline<RetryExecutor<ManualTime>, CircuitBreaker<ManualTime>, testing::ChaosLatency<ManualTime>,
             testing::ChaosHang<ManualTime>>
        guarded{retry, breaker, latency, hang};
    Pipeline<RetryExecutor<ManualTime>, CircuitBreaker<ManualTime>, Hedge<ManualTime>,
             testing::ChaosLatency<ManualTime>, testing::ChaosHang<ManualTime>>
        hedged{retry, breaker, hedge, latency, hang};
    testing::ScriptedOperation<int> operation{time};
};

INSTANTIATE_TEST_SUITE_P(
    Everywhere, CancelledChaosTest,
    ::testing::Combine(::testing::Values(Wait::latency, Wait::hang),
                       ::testing::Values(Shape::plain, Shape::with_context, Shape::with_deadline, Shape::in_a_hedge),
                       ::testing::Values(End::terminal, End::partial, End::total, End::destroyed)));

TEST_P(CancelledChaosTest, WhileItWaits) {
    const auto call = start_call();
    ASSERT_FALSE(breaker.try_acquire());
    ASSERT_GE(time.sleepers(), 1u);

    EXPECT_EQ(end(call), std::get<End>(GetParam()) != End::destroyed);

    expect_nothing_left();
}

TEST_P(CancelledChaosTest, BeforeItWaits) {
    auto starts_late = [this]() -> asio::awaitable<Result<int>> {
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::this_coro::throw_if_cancelled(false);
        auto sleep = async_sleep_until(time, executor, time.now() + 1s, asio::as_tuple(asio::deferred));
        co_await std::move(sleep);
        auto call = guarded.execute(operation);
        co_return co_await std::move(call);
    };
    const auto call = testing::start(*io, starts_late());

    EXPECT_EQ(end(call), std::get<End>(GetParam()) != End::destroyed);

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_TRUE(breaker.try_acquire()) << "the probe permit is lost";
}

// Traffic that is ended after so many half seconds, with calls in every state there is.
class EndedTrafficTest : public ::testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(AtAnyMoment, EndedTrafficTest, ::testing::Range(0, 40));

TEST_P(EndedTrafficTest, LeavesNothingBehind) {
    std::optional<asio::io_context> io{std::in_place};
    ManualTime time;
    std::ostringstream printed;
    const testing::RunSeed seed{7};
    const RetryBudget budget{RetryBudgetConfig{.ratio = 1}};
    const MemoryAccount account{"calls"};
    RetryExecutor retry{RetryConfig{.backoff_strategy = FixedInterval{1s}},
                        RetryOptions{.budget = budget, .account = account}, nullptr, time};
    Timeout each{3s, time};
    CircuitBreaker breaker{"orders", {.failure_threshold = 30, .timeout = 2s}, nullptr, time};
    testing::ChaosFault refused{{.injection_rate = 0.2, .seed = seed.of("refused")}, Errc::connect_failed};
    testing::ChaosLatency slow{{.injection_rate = 0.4, .seed = seed.of("slow")}, 0s, 4s, time};
    testing::ChaosHang hang{{.injection_rate = 0.2, .seed = seed.of("hang")}, time};
    Pipeline guarded{retry, each, breaker, refused, slow, hang};
    testing::ScriptedOperation<int> operation{time};
    operation.takes(700ms).returns(1);
    testing::VirtualTraffic traffic{
        *io,
        time,
        {.duration = (GetParam() + 1) * 500ms, .calls = 5, .grace_period = 0s, .seed = seed, .failures_to = &printed}};

    const auto report = traffic.run([&] { return guarded.execute(operation, {.held_bytes = 100}); });

    EXPECT_GT(report.unfinished, 0u);
    EXPECT_EQ(report.ignored_cancellation, 0u);
    EXPECT_EQ(report.calls, report.succeeded + report.failed + report.unfinished);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(retry.get_stats().cancelled, report.unfinished);
    const auto before = operation.calls();
    time.run_for(*io, 1h);
    EXPECT_EQ(operation.calls(), before);
}

} // namespace
} // namespace velostream::chaos_test
