// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/chaos.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/chaos_fault.hpp"
#include "velostream/testing/chaos_hang.hpp"
#include "velostream/testing/chaos_latency.hpp"
#include "velostream/testing/chaos_result.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

static_assert(CallPolicy<ChaosFault> && CallPolicy<ChaosLatency<ManualTime>> && CallPolicy<ChaosHang<ManualTime>>);
static_assert(TimedPolicy<ChaosLatency<ManualTime>> && TimedPolicy<ChaosHang<ManualTime>>);

class ChaosTest : public ::testing::Test {
  protected:
    ChaosTest() { operation.returns(1); }

    bool is_struck(ChaosFault& chaos) {
        Pipeline guarded{chaos};
        return run(io, time, guarded.execute(operation)).has_error();
    }
    std::vector<bool> strikes(ChaosFault& chaos, int tries) {
        std::vector<bool> struck;
        for (int i = 0; i < tries; ++i) struck.push_back(is_struck(chaos));
        return struck;
    }
    static ChaosFault fault(ChaosConfig config) { return ChaosFault{std::move(config), Errc::connect_failed}; }

    asio::io_context io;
    ManualTime time;
    ScriptedOperation<int> operation{time};
};

TEST_F(ChaosTest, TheSameSeedStrikesTheSameTries) {
    auto first = fault({.injection_rate = 0.3, .seed = 7});
    auto second = fault({.injection_rate = 0.3, .seed = 7});
    auto other = fault({.injection_rate = 0.3, .seed = 8});

    const auto struck = strikes(first, 200);

    EXPECT_EQ(strikes(second, 200), struck);
    EXPECT_NE(strikes(other, 200), struck);
}

TEST_F(ChaosTest, StrikesAboutAsOftenAsItsRateSays) {
    auto chaos = fault({.injection_rate = 0.25, .seed = 3});

    strikes(chaos, 10'000);

    EXPECT_EQ(chaos.get_stats().tries, 10'000u);
    EXPECT_NEAR(static_cast<double>(chaos.get_stats().injected), 2500.0, 130.0) << "three times what chance explains";
}

TEST_F(ChaosTest, ARateOfNothingStrikesNobodyAndARateOfOneEverybody) {
    auto nobody = fault({.injection_rate = 0});
    auto everybody = fault({.injection_rate = 1});

    strikes(nobody, 1000);
    strikes(everybody, 1000);

    EXPECT_EQ(nobody.get_stats().injected, 0u);
    EXPECT_EQ(everybody.get_stats().injected, 1000u);
}

TEST_F(ChaosTest, StrikesOneTryInAThousandByDefault) {
    EXPECT_EQ(fault({}).injection_rate(), 0.001);
    EXPECT_TRUE(fault({}).is_enabled());
}

TEST_F(ChaosTest, IsSwitchedOffAndOnWhileItRunsWithoutChangingWhatComesLater) {
    auto always_on = fault({.injection_rate = 0.3, .seed = 7});
    auto switched = fault({.injection_rate = 0.3, .seed = 7, .enabled = false});
    const auto all = strikes(always_on, 300);

    const auto while_off = strikes(switched, 100);
    switched.set_enabled(true);
    const auto while_on = strikes(switched, 200);

    EXPECT_EQ(while_off, std::vector<bool>(100, false));
    EXPECT_EQ(while_on, std::vector<bool>(all.begin() + 100, all.end()));
    EXPECT_EQ(switched.get_stats().tries, 300u);
}

TEST_F(ChaosTest, AHigherRateStrikesWhatALowerOneStrikesAndMore) {
    auto low = fault({.injection_rate = 0.1, .seed = 7});
    auto high = fault({.injection_rate = 0.1, .seed = 7});
    high.set_injection_rate(0.5);
    EXPECT_EQ(high.injection_rate(), 0.5);

    const auto by_low = strikes(low, 300), by_high = strikes(high, 300);

    for (std::size_t i = 0; i < by_low.size(); ++i) EXPECT_LE(by_low[i], by_high[i]) << i;
    EXPECT_GT(high.get_stats().injected, low.get_stats().injected);
}

TEST_F(ChaosTest, StrikesOnlyWhatItsPredicateAllows) {
    RetryExecutor<ManualTime> retry{RetryConfig{}, nullptr, time};
    auto chaos = fault({.injection_rate = 1, .only_if = [](const CallContext& call) { return call.attempt() < 3; }});
    Pipeline guarded{retry, chaos};

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 1);

    EXPECT_EQ(chaos.get_stats().tries, 3u);
    EXPECT_EQ(chaos.get_stats().injected, 2u);
    EXPECT_EQ(operation.calls(), 1u);
}

TEST_F(ChaosTest, WhatThePredicateThrowsIsTheErrorOfTheTry) {
    auto chaos =
        fault({.injection_rate = 1, .only_if = [](const CallContext&) -> bool { throw std::runtime_error{"no"}; }});
    Pipeline guarded{chaos};

    const auto result = run(io, time, guarded.execute(operation));

    EXPECT_THROW(result.value(), std::runtime_error);
    EXPECT_EQ(chaos.get_stats().injected, 0u);
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(ChaosTest, RefusesARateThatIsNone) {
    for (const double rate : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
        EXPECT_THROW(fault({.injection_rate = rate}), std::invalid_argument) << rate;
        auto chaos = fault({.injection_rate = 0.5});
        EXPECT_THROW(chaos.set_injection_rate(rate), std::invalid_argument) << rate;
        EXPECT_EQ(chaos.injection_rate(), 0.5);
    }
    try {
        fault({.injection_rate = 2});
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_NE(std::string_view{problem.what()}.find("injection_rate = 2.000000: must be 0 to 1"),
                  std::string_view::npos)
            << problem.what();
    }
}

TEST_F(ChaosTest, AFaultTakesThePlaceOfTheCall) {
    CircuitBreaker<ManualTime> breaker{"orders", {}, nullptr, time};
    auto chaos = fault({.injection_rate = 1});
    Pipeline guarded{breaker, chaos};

    EXPECT_EQ(run(io, time, guarded.execute(operation)).error(), Errc::connect_failed);

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

TEST_F(ChaosTest, AFaultMayBeMadeForEachTry) {
    int made = 0;
    ChaosFault chaos{{.injection_rate = 1}, [&](const CallContext& call) {
                         ++made;
                         return Error{Errc::send_timeout, "try " + std::to_string(call.attempt())};
                     }};
    Pipeline guarded{chaos};

    const auto error = run(io, time, guarded.execute(operation)).error();

    EXPECT_EQ(error, Errc::send_timeout);
    EXPECT_EQ(error.detail(), "try 1");
    EXPECT_EQ(made, 1);
}

TEST_F(ChaosTest, AFaultMayBeAnException) {
    ChaosFault chaos{{.injection_rate = 1}, [](const CallContext&) -> Error { throw std::range_error{"far out"}; }};
    Pipeline guarded{chaos};

    EXPECT_THROW(run(io, time, guarded.execute(operation)).value(), std::range_error);
}

TEST_F(ChaosTest, AResultTakesThePlaceOfTheCallAndIsASuccessForThePoliciesAround) {
    CircuitBreaker<ManualTime> breaker{"orders", {}, nullptr, time};
    ChaosResult chaos{{.injection_rate = 1}, [] { return 9; }};
    Pipeline guarded{breaker, chaos};

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 9);

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(breaker.get_stats().window_calls, 1u);
    EXPECT_EQ(breaker.get_stats().failure_count, 0u);
    EXPECT_EQ(chaos.get_stats().injected, 1u);
}

TEST_F(ChaosTest, AResultMayBeAnErrorAnExceptionOrNothing) {
    ChaosResult error{{.injection_rate = 1}, []() -> Result<int> { return Errc::connect_failed; }};
    ChaosResult exception{{.injection_rate = 1}, []() -> int { throw std::range_error{"far out"}; }};
    ChaosResult nothing{{.injection_rate = 1}, [] {}};
    Pipeline with_error{error};
    Pipeline with_exception{exception};
    Pipeline with_nothing{nothing};
    const auto returns_nothing = [this]() -> asio::awaitable<void> { co_await operation(); };

    EXPECT_EQ(run(io, time, with_error.execute(operation)).error(), Errc::connect_failed);
    EXPECT_THROW(run(io, time, with_exception.execute(operation)).value(), std::range_error);
    EXPECT_TRUE(run(io, time, with_nothing.execute(returns_nothing)));
    EXPECT_EQ(operation.calls(), 0u);
}

TEST_F(ChaosTest, AResultLeavesAloneWhatItDoesNotStrike) {
    ChaosResult chaos{{.injection_rate = 0}, [] { return 9; }};
    Pipeline guarded{chaos};

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 1);
}

} // namespace
} // namespace velostream::testing
