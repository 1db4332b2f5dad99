// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <stdexcept>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/chaos_hang.hpp"
#include "velostream/testing/chaos_latency.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

// Tries that wait, by latency or for ever.
class ChaosWaitsTest : public ::testing::Test {
  protected:
    ChaosWaitsTest() { operation.returns(1); }

    template <class... Policies>
    Result<int> call(Pipeline<Policies...> guarded, CallOptions options = {}) {
        return run(io, time, guarded.execute(operation, options));
    }

    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    ScriptedOperation<int> operation{time};
};

TEST_F(ChaosWaitsTest, ALatencyPassesBeforeTheOperationIsCalled) {
    ChaosLatency slow{{.injection_rate = 1}, 2s, time};

    EXPECT_EQ(call(Pipeline{slow}).value(), 1);

    EXPECT_EQ(operation.started_at(), std::vector{start + 2s});
    EXPECT_EQ(slow.get_stats().injected, 1u);
}

TEST_F(ChaosWaitsTest, ALatencyLeavesAloneWhatItDoesNotStrike) {
    ChaosLatency slow{{.injection_rate = 0}, 2s, time};

    EXPECT_EQ(call(Pipeline{slow}).value(), 1);

    EXPECT_EQ(time.now(), start);
}

TEST_F(ChaosWaitsTest, ALatencyIsASlowCallForTheBreakerAround) {
    CircuitBreaker<ManualTime> breaker{"orders", {.slow_call_threshold = 1s}, nullptr, time};
    ChaosLatency slow{{.injection_rate = 1}, 2s, time};

    call(Pipeline{breaker, slow});

    EXPECT_EQ(breaker.get_stats().slow_count, 1u);
}

TEST_F(ChaosWaitsTest, ALatencyEndsAtTheDeadlineWithoutACall) {
    for (const auto latency : {3s, 4s}) { // exactly then, and later
        const auto before = time.now();
        Timeout each{3s, time};
        ChaosLatency slow{{.injection_rate = 1}, latency, time};

        EXPECT_EQ(call(Pipeline{each, slow}).error(), Errc::deadline_exceeded);

        EXPECT_EQ(time.now(), before + 3s);
        EXPECT_EQ(each.get_stats().timed_out, 1u);
        EXPECT_EQ(operation.calls(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(ChaosWaitsTest, ALatencyThatEndsBeforeTheDeadlineLeavesTheRestToTheCall) {
    Timeout each{3s, time};
    ChaosLatency slow{{.injection_rate = 1}, 3s - 1ns, time};

    EXPECT_EQ(call(Pipeline{each, slow}).value(), 1);
}

TEST_F(ChaosWaitsTest, LatenciesOfARangeComeFromTheSeed) {
    const auto latencies = [&](std::uint64_t seed) {
        ChaosLatency slow{{.injection_rate = 1, .seed = seed}, 100ms, 200ms, time};
        std::vector<Duration> taken;
        for (int i = 0; i < 50; ++i) {
            const auto before = time.now();
            call(Pipeline{slow});
            taken.push_back(time.now() - before);
        }
        return taken;
    };

    const auto taken = latencies(7);

    EXPECT_EQ(latencies(7), taken);
    EXPECT_NE(latencies(8), taken);
    EXPECT_GE(*std::min_element(taken.begin(), taken.end()), 100ms);
    EXPECT_LE(*std::max_element(taken.begin(), taken.end()), 200ms);
    EXPECT_GT(std::set<Duration>(taken.begin(), taken.end()).size(), 45u);
}

TEST_F(ChaosWaitsTest, ARangeHasBothItsEnds) {
    ChaosLatency slow{{.injection_rate = 1}, 1ns, 2ns, time};
    std::set<Duration> taken;
    for (int i = 0; i < 50; ++i) {
        const auto before = time.now();
        call(Pipeline{slow});
        taken.insert(time.now() - before);
    }

    EXPECT_EQ(taken, (std::set<Duration>{1ns, 2ns}));
}

TEST_F(ChaosWaitsTest, ALatencyMayBeLongerThanTimeItself) {
    Timeout each{3s, time};
    ChaosLatency slow{{.injection_rate = 1}, Duration::zero(), Duration::max(), time};
    ChaosLatency slowest{{.injection_rate = 1}, Duration::max(), time};

    EXPECT_EQ(call(Pipeline{each, slow}).error(), Errc::deadline_exceeded);
    EXPECT_EQ(call(Pipeline{each, slowest}).error(), Errc::deadline_exceeded);
}

TEST_F(ChaosWaitsTest, RefusesLatenciesThatAreNone) {
    EXPECT_THROW((ChaosLatency{{}, -1ns, time}), std::invalid_argument);
    EXPECT_THROW((ChaosLatency{{}, 2s, 1s, time}), std::invalid_argument);
    EXPECT_NO_THROW((ChaosLatency{{}, 0s, time}));
}

TEST_F(ChaosWaitsTest, AHangEndsAtTheDeadlineOfTheTry) {
    Timeout each{3s, time};
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 2, .backoff_strategy = FixedInterval{1s}}, nullptr,
                                    time};
    ChaosHang hang{{.injection_rate = 1, .only_if = [](const CallContext& call) { return call.attempt() < 3; }}, time};

    EXPECT_EQ(call(Pipeline{retry, each, hang}).value(), 1);

    EXPECT_EQ(operation.started_at(), std::vector{start + 8s});
    EXPECT_EQ(each.get_stats().timed_out, 2u);
    EXPECT_EQ(hang.get_stats().injected, 2u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ChaosWaitsTest, AHangEndsAtTheDeadlineOfTheCallOrOfAnAttempt) {
    ChaosHang hang{{.injection_rate = 1}, time};
    RetryExecutor<ManualTime> once{RetryConfig{.max_retries = 0, .attempt_timeout = 2s}, nullptr, time};

    EXPECT_EQ(call(Pipeline{hang}, {.deadline = start + 5s}).error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 5s);
    EXPECT_EQ(*call(Pipeline{once, hang}).error().inner(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 7s);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(ChaosWaitsTest, AHangWithoutDeadlineNeverEndsByItself) {
    ChaosHang hang{{.injection_rate = 1}, time};
    Pipeline guarded{hang};
    const auto started = testing::start(io, guarded.execute(operation));

    time.run_for(io, 24h * 365);
    EXPECT_FALSE(started.ended());

    started.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();
    EXPECT_EQ(started.value().error(), Errc::cancelled);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(ChaosWaitsTest, AHangByTheMachinesClockEndsAtTheDeadline) {
    Timeout each{20ms};
    ChaosHang hang{{.injection_rate = 1}};
    Pipeline guarded{each, hang};

    const auto started = testing::start(io, guarded.execute(operation));
    io.restart();
    io.run();

    EXPECT_EQ(started.value().error(), Errc::deadline_exceeded);
}

} // namespace
} // namespace velostream::testing
