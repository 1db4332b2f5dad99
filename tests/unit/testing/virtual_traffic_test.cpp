// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/virtual_traffic.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "velostream/pipeline.hpp"
#include "velostream/testing/chaos_fault.hpp"
#include "velostream/testing/chaos_latency.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

class VirtualTrafficTest : public ::testing::Test {
  protected:
    // Prints failures to `printed`.
    VirtualTraffic traffic(TrafficConfig config) {
        config.failures_to = &printed;
        return VirtualTraffic{io, time, config};
    }
    // When each call began.
    auto remembering() {
        return [this](std::uint64_t number) -> asio::awaitable<void> {
            EXPECT_EQ(number, began.size());
            began.push_back(time.now() - start);
            co_return;
        };
    }
    asio::awaitable<void> sleep(Duration duration) {
        const auto executor = co_await asio::this_coro::executor;
        auto slept = async_sleep_until(time, executor, time.now() + duration, asio::use_awaitable);
        co_await std::move(slept);
    }

    std::ostringstream printed;
    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    std::vector<Duration> began;
};

TEST_F(VirtualTrafficTest, AnHourPassesWithACallEachSecondByDefault) {
    const auto report = VirtualTraffic{io, time}.run(remembering());

    EXPECT_TRUE(report.passed()) << report;
    EXPECT_EQ(report.calls, 3600u);
    EXPECT_EQ(report.succeeded, 3600u);
    EXPECT_EQ(report.elapsed, 1h);
    EXPECT_EQ(time.now(), start + 1h);
    EXPECT_EQ(began.front(), 0s);
    EXPECT_EQ(began.back(), 3599s);
}

TEST_F(VirtualTrafficTest, CallsComeEvenlyAtTheRate) {
    traffic({.duration = 2s, .calls = 3, .period = 1s}).run(remembering());

    const Duration third = 333333333ns, two_thirds = 666666666ns;
    EXPECT_EQ(began, (std::vector<Duration>{0s, third, two_thirds, 1s, 1s + third, 1s + two_thirds}));
}

TEST_F(VirtualTrafficTest, ARateThatDoesNotDivideItsPeriodLosesNothing) {
    traffic({.duration = 10ns, .calls = 3, .period = 5ns}).run(remembering());

    EXPECT_EQ(began, (std::vector<Duration>{0ns, 1ns, 3ns, 5ns, 6ns, 8ns}));
}

TEST_F(VirtualTrafficTest, CallsComeAsTheScheduleSays) {
    traffic({.duration = 10s, .schedule = {7s, 0s, 3s, 3s}}).run(remembering());

    EXPECT_EQ(began, (std::vector<Duration>{0s, 3s, 3s, 7s}));
    EXPECT_EQ(time.now(), start + 10s);
}

TEST_F(VirtualTrafficTest, PoissonArrivalsComeFromTheSeedAndAtTheRate) {
    const auto arrivals = [&](std::uint64_t seed) {
        began.clear();
        traffic({.calls = 5, .arrivals = Arrivals::poisson, .seed = RunSeed{seed}})
            .run([this]() -> asio::awaitable<void> {
                began.push_back(time.now().time_since_epoch() % Duration{1h});
                co_return;
            });
        return began;
    };

    const auto first = arrivals(7);

    EXPECT_EQ(arrivals(7), first);
    EXPECT_NE(arrivals(8), first);
    EXPECT_NEAR(static_cast<double>(first.size()), 18'000.0, 500.0);
    int close = 0; // of exponential gaps 1 - 1/e are shorter than the mean
    for (std::size_t i = 1; i < first.size(); ++i) close += first[i] - first[i - 1] < 200ms ? 1 : 0;
    EXPECT_NEAR(static_cast<double>(close) / static_cast<double>(first.size()), 0.632, 0.02);
}

TEST_F(VirtualTrafficTest, CountsWhatCallsComeTo) {
    ScriptedOperation<int> operation{time};
    operation.returns(1).fails(Errc::connect_failed).fails(Errc::send_timeout).throws(std::range_error{"far out"});
    operation.fails(Errc::connect_failed).fails(asio::error::timed_out).returns(2);

    const auto report = traffic({.duration = 10s}).run(operation);

    EXPECT_TRUE(report.passed());
    EXPECT_EQ(report.calls, 10u);
    EXPECT_EQ(report.succeeded, 5u);
    EXPECT_EQ(report.failed, 5u);
    EXPECT_EQ(report.success_rate(), 0.5);
    EXPECT_EQ(report.count(Errc::connect_failed), 2u);
    EXPECT_EQ(report.count(ErrorType::timeout), 2u);
    EXPECT_EQ(report.count(asio::error::timed_out), 1u);
    EXPECT_EQ(report.count(Errc::operation_failed), 1u) << "thrown";
    EXPECT_EQ(report.count(ErrorType::cancelled), 0u);
    ASSERT_EQ(report.errors.size(), 4u);
    EXPECT_EQ(report.errors.front().first, Errc::connect_failed) << "in the order in which they came";
    EXPECT_THROW(std::rethrow_exception(report.errors[2].first.cause()), std::range_error);
    EXPECT_EQ(printed.str(), "") << "failed calls are no failed run";
}

TEST_F(VirtualTrafficTest, ExhaustedRetriesAreCountedByTheTypeOfTheirLastError) {
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 1}, nullptr, time};
    ScriptedOperation<int> operation{time};
    operation.fails(Errc::connect_failed).fails(Errc::connect_failed).fails(Errc::send_timeout);

    const auto report = traffic({.duration = 3s}).run([&] { return retry.execute_with_retry(operation); });

    EXPECT_EQ(report.count(Errc::retries_exhausted), 3u);
    EXPECT_EQ(report.count(ErrorType::network), 1u);
    EXPECT_EQ(report.count(ErrorType::timeout), 2u);
}

TEST_F(VirtualTrafficTest, MeasuresHowLongCallsTakeAndHowManyRunAtOnce) {
    ScriptedOperation<int> operation{time};
    operation.takes(4500ms).returns(1).takes(1s).returns(1);

    const auto report = traffic({.duration = 10s}).run(operation);

    EXPECT_EQ(report.longest, 4500ms);
    EXPECT_EQ(report.most_at_once, 3u) << "the long one, one that ends and one that begins";
}

TEST_F(VirtualTrafficTest, WaitsForTheLastCallsWithinTheGracePeriod) {
    ScriptedOperation<int> operation{time};
    operation.takes(5s).returns(1);

    const auto report = traffic({.duration = 10s, .grace_period = 4s}).run(operation);

    EXPECT_TRUE(report.passed()) << report;
    EXPECT_EQ(report.succeeded, 10u);
    EXPECT_EQ(report.elapsed, 14s);
}

TEST_F(VirtualTrafficTest, ARunOfOneSeedIsTheSameAgain) {
    const auto fingerprint = [this](std::uint64_t value) {
        const RunSeed seed{value};
        RetryExecutor<ManualTime> retry{RetryConfig{.jitter = Jitter::full}, nullptr, time, seed.of("jitter")};
        CircuitBreaker<ManualTime> breaker{"orders", {.failure_threshold = 3, .timeout = 10s}, nullptr, time};
        ChaosLatency slow{{.injection_rate = 0.3, .seed = seed.of("slow")}, 10ms, 3s, time};
        ChaosFault refused{{.injection_rate = 0.3, .seed = seed.of("refused")}, Errc::connect_failed};
        Pipeline guarded{retry, breaker, slow, refused};
        ScriptedOperation<int> operation{time};
        operation.takes(5ms).returns(1);
        auto ten_minutes = traffic({.duration = 10min, .calls = 2, .arrivals = Arrivals::poisson, .seed = seed});
        const auto report = ten_minutes.run([&] { return guarded.execute(operation); });
        EXPECT_GT(report.failed, 10u) << report;
        EXPECT_GT(report.succeeded, 10u) << report;
        return report.fingerprint;
    };

    EXPECT_EQ(fingerprint(1), fingerprint(1));
    EXPECT_NE(fingerprint(1), fingerprint(2));
}

TEST_F(VirtualTrafficTest, TheFingerprintTellsMomentsAndOutcomesApart) {
    const auto fingerprint = [this](Duration takes, std::optional<Error> error) {
        ScriptedOperation<int> operation{time};
        operation.takes(takes);
        if (error)
            operation.fails(*error);
        else
            operation.returns(1);
        return traffic({.duration = 5s}).run(operation).fingerprint;
    };

    const auto usual = fingerprint(1s, std::nullopt);
    EXPECT_EQ(fingerprint(1s, std::nullopt), usual);
    EXPECT_NE(fingerprint(1s + 1ns, std::nullopt), usual);
    EXPECT_NE(fingerprint(1s, Errc::send_timeout), usual);
    EXPECT_NE(fingerprint(1s, Errc::send_timeout), fingerprint(1s, Errc::connect_failed));
}

TEST_F(VirtualTrafficTest, ActionsHappenAtTheirTime) {
    std::vector<std::string> happened;
    const auto note = [&](std::string what) {
        return
            [&, what = std::move(what)] { happened.push_back(what + " " + std::to_string((time.now() - start) / 1s)); };
    };
    auto ten_seconds = traffic({.duration = 10s, .schedule = {5s}});
    ten_seconds.at(10s, note("end"));
    ten_seconds.at(5s, note("first"));
    ten_seconds.at(5s, note("second"));
    ten_seconds.at(0s, note("start"));

    ten_seconds.run([]() -> asio::awaitable<void> { co_return; });

    EXPECT_EQ(happened, (std::vector<std::string>{"start 0", "first 5", "second 5", "end 10"}));
}

TEST_F(VirtualTrafficTest, AtOneMomentActionsComeFirstThenWhoWakesThenWhoBegins) {
    std::vector<std::string> happened;
    auto traffic_of_two = traffic({.duration = 10s, .schedule = {1s, 5s}});
    traffic_of_two.at(5s, [&] { happened.emplace_back("action"); });

    traffic_of_two.run([&](std::uint64_t number) -> asio::awaitable<void> {
        happened.push_back("begins " + std::to_string(number));
        if (number > 0) co_return;
        co_await sleep(4s);
        happened.emplace_back("wakes");
    });

    EXPECT_EQ(happened, (std::vector<std::string>{"begins 0", "action", "wakes", "begins 1"}));
}

TEST_F(VirtualTrafficTest, AnActionThatSetsOthersSetsThemForTheNextRun) {
    int others = 0;
    auto minute = traffic({.duration = 1min});
    minute.at(1s, [&] {
        for (int i = 0; i < 100; ++i) minute.at(2s, [&] { ++others; });
    });
    const auto succeeds = []() -> asio::awaitable<void> { co_return; };

    minute.run(succeeds);
    EXPECT_EQ(others, 0);

    minute.run(succeeds);
    EXPECT_EQ(others, 100);
}

TEST_F(VirtualTrafficTest, RefusesActionsOutsideOfTheRun) {
    auto hour = traffic({});

    EXPECT_THROW(hour.at(-1ns, [] {}), std::invalid_argument);
    EXPECT_THROW(hour.at(1h + 1ns, [] {}), std::invalid_argument);
    EXPECT_NO_THROW(hour.at(1h, [] {}));
}

TEST_F(VirtualTrafficTest, WhatTheTestHasStartedRunsAlong) {
    int ticks = 0;
    const auto ticking = [&]() -> asio::awaitable<void> {
        for (;;) {
            co_await sleep(1min);
            ++ticks;
        }
    };
    asio::co_spawn(io, ticking, asio::detached);

    traffic({}).run([]() -> asio::awaitable<void> { co_return; });

    EXPECT_EQ(ticks, 60);
}

TEST_F(VirtualTrafficTest, RunsAgainFromWhereTimeIs) {
    auto minute = traffic({.duration = 1min});
    int actions = 0;
    minute.at(30s, [&] { ++actions; });
    const auto succeeds = []() -> asio::awaitable<void> { co_return; };

    EXPECT_EQ(minute.run(succeeds).calls, 60u);
    EXPECT_EQ(minute.run(succeeds).calls, 60u);

    EXPECT_EQ(actions, 2);
    EXPECT_EQ(time.now(), start + 2min);
}

TEST_F(VirtualTrafficTest, RefusesConfigsThatMakeNoSense) {
    const TrafficConfig wrong[] = {{.duration = 0s},         {.calls = 0},
                                   {.calls = 1'000'000'001}, {.period = 0s},
                                   {.period = 25h},          {.calls = 11, .period = 10ns},
                                   {.schedule = {-1ns}},     {.schedule = {0s, 1h}},
                                   {.grace_period = -1ns},   {.max_handlers_per_moment = 0}};
    for (const auto& config : wrong) EXPECT_THROW((VirtualTraffic{io, time, config}), std::invalid_argument);

    try {
        const VirtualTraffic traffic{io, time, {.duration = 0s, .calls = 0}};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text{problem.what()};
        EXPECT_NE(text.find("duration = 0 ns: must be > 0"), std::string::npos) << text;
        EXPECT_NE(text.find("calls = 0: must be 1 to 1000000000"), std::string::npos) << text;
    }
}

} // namespace
} // namespace velostream::testing
