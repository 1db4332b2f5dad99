// SPDX-License-Identifier: Apache-2.0
// What makes a run fail, and what is left behind then.
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "velostream/testing/scripted_operation.hpp"
#include "velostream/testing/virtual_traffic.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

class FailedTrafficTest : public ::testing::Test {
  protected:
    VirtualTraffic traffic(TrafficConfig config) {
        config.failures_to = &printed;
        config.seed = RunSeed{42};
        return VirtualTraffic{*io, time, config};
    }
    void expect_printed(const std::string& part) const {
        EXPECT_NE(printed.str().find(part), std::string::npos) << printed.str();
    }

    std::ostringstream printed;
    std::optional<asio::io_context> io{std::in_place};
    ManualTime time;
    ScriptedOperation<int> operation{time};
};

TEST_F(FailedTrafficTest, ABrokenPromiseFailsTheRunAndPrintsTheSeed) {
    operation.fails(Errc::connect_failed);
    auto minute = traffic({.duration = 1min});
    minute.expect("all succeed", [](const TrafficReport& report) { return report.failed == 0; });
    minute.expect("all are counted", [](const TrafficReport& report) { return report.calls == 60; });

    const auto report = minute.run(operation);

    EXPECT_FALSE(report.passed());
    EXPECT_EQ(report.problems, std::vector<std::string>{"does not hold: all succeed"});
    expect_printed("VELOSTREAM_SEED=42");
    expect_printed("does not hold: all succeed");
    expect_printed("60 x ");
}

TEST_F(FailedTrafficTest, APrintedReportSaysHowToRepeatTheRun) {
    operation.returns(1).takes(2s).fails(Errc::connect_failed);
    std::ostringstream out;

    out << traffic({.duration = 2s}).run(operation);

    EXPECT_EQ(
        out.str().substr(0, out.str().find("fingerprint")),
        "seed 42 (to repeat: VELOSTREAM_SEED=42): 2 calls in 3 s, 1 succeeded, 1 failed, 0 unfinished; longest 2 s, "
        "at most 1 at once; ");
    const auto message = make_error_code(Errc::connect_failed).message();
    EXPECT_NE(out.str().find("  1 x " + message + " (network)\n"), std::string::npos) << out.str();
    EXPECT_EQ(printed.str(), "") << "it passed";
}

TEST_F(FailedTrafficTest, CallsThatNeverEndAreCancelledAndFailTheRun) {
    operation.returns(1).hangs();

    const auto report = traffic({.duration = 10s, .grace_period = 1min}).run(operation);

    EXPECT_EQ(report.calls, 10u);
    EXPECT_EQ(report.succeeded, 1u);
    EXPECT_EQ(report.failed, 0u) << "their cancellation is no answer";
    EXPECT_EQ(report.unfinished, 9u);
    EXPECT_EQ(report.ignored_cancellation, 0u);
    EXPECT_EQ(report.elapsed, 70s);
    ASSERT_EQ(report.problems.size(), 1u);
    EXPECT_EQ(report.problems.front(), "9 calls had not ended 70 s after the start");
    expect_printed("VELOSTREAM_SEED=42");
    EXPECT_EQ(operation.cancelled(), 9u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(FailedTrafficTest, CallsThatIgnoreTheirCancellationAreCountedAndMayEndLater) {
    int ended = 0;
    const auto report = traffic({.duration = 2s, .grace_period = 1s}).run([this, &ended]() -> asio::awaitable<void> {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 2; ++i) {
            auto sleep = async_sleep_until(time, executor, time.now() + 1h, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleep);
        }
        ++ended;
    });

    EXPECT_EQ(report.unfinished, 2u);
    EXPECT_EQ(report.ignored_cancellation, 2u);
    expect_printed("2 of them ignored their cancellation");
    time.run_for(*io, 2h);
    EXPECT_EQ(ended, 2);
}

TEST_F(FailedTrafficTest, CallsThatIgnoreTheirCancellationGoWithTheirContext) {
    const auto alive = std::make_shared<int>();
    const auto waits = [this, alive]() -> asio::awaitable<void> {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        for (;;) {
            auto sleep = async_sleep_until(time, executor, time.now() + 1h, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleep);
        }
    };
    traffic({.duration = 2s, .grace_period = 1s}).run(waits);
    ASSERT_EQ(time.sleepers(), 2u);

    io.reset();

    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(alive.use_count(), 2) << "here and in the lambda";
}

TEST_F(FailedTrafficTest, CallsThatGoRoundInCirclesFailTheRunAndDoNotHangIt) {
    auto circling = traffic({.duration = 10s, .max_handlers_per_moment = 1000});

    const auto report = circling.run([](std::uint64_t number) -> asio::awaitable<void> {
        if (number < 3) co_return;
        const auto executor = co_await asio::this_coro::executor;
        for (;;) {
            auto posted = asio::post(executor, asio::use_awaitable);
            co_await std::move(posted);
        }
    });

    EXPECT_EQ(report.calls, 4u);
    EXPECT_EQ(report.unfinished, 1u);
    EXPECT_EQ(report.elapsed, 3s);
    ASSERT_FALSE(report.passed());
    EXPECT_EQ(report.problems.front(),
              "time stood still 3 s after the start: 1000 handlers ran, and there are more to run");
    expect_printed("VELOSTREAM_SEED=42");
}

TEST_F(FailedTrafficTest, WhatAnActionThrowsEndsTheRunAndLeavesNothing) {
    operation.hangs();
    auto minute = traffic({.duration = 1min});
    minute.at(5s, [] { throw std::range_error{"far out"}; });

    EXPECT_THROW(minute.run(operation), std::range_error);

    expect_printed("VELOSTREAM_SEED=42");
    EXPECT_EQ(operation.calls(), 5u);
    EXPECT_EQ(operation.running(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(FailedTrafficTest, WhatAnExpectationThrowsEndsTheRun) {
    operation.returns(1);
    auto minute = traffic({.duration = 1min});
    minute.expect("nothing", [](const TrafficReport&) -> bool { throw std::range_error{"far out"}; });

    EXPECT_THROW(minute.run(operation), std::range_error);

    expect_printed("VELOSTREAM_SEED=42");
}

TEST_F(FailedTrafficTest, AFunctionThatThrowsWithoutACoroutineIsAFailedCall) {
    const auto throws = [](std::uint64_t number) -> asio::awaitable<void> {
        if (number == 0) throw std::range_error{"far out"};
        return []() -> asio::awaitable<void> { co_return; }();
    };

    const auto report = traffic({.duration = 2s}).run(throws);

    EXPECT_TRUE(report.passed()) << report;
    EXPECT_EQ(report.failed, 1u);
    EXPECT_EQ(report.succeeded, 1u);
}

} // namespace
} // namespace velostream::testing
