// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <string>

#include "accuracy/accuracy_report.hpp"
#include "accuracy/svg.hpp"
#include "accuracy/trace.hpp"
#include "accuracy/trial.hpp"
#include "accuracy/window_error.hpp"

using namespace std::chrono_literals;
using namespace velostream::bench;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using velostream::CircuitBreakerConfig;
using velostream::CircuitState;
using velostream::Duration;

namespace {

Trace trace_of(const std::string& name) {
    const auto all = traces();
    return *std::ranges::find(all, name, &Trace::name);
}
Contender contender_of(const std::string& name) {
    const auto all = contenders();
    return *std::ranges::find(all, name, &Contender::name);
}

const CircuitBreakerConfig last_100{.failure_threshold = 1'000'000};
CircuitBreakerConfig of_time() {
    auto config = last_100;
    config.sliding_window_duration = 10ms; // 10 buckets of 100 outcomes
    return config;
}

} // namespace

TEST(AccuracyTrace, TellsWhenABreakerShouldBeOpen) {
    EXPECT_TRUE(trace_of("steady").bad_spans().empty());

    const auto outage = trace_of("outage").bad_spans();
    ASSERT_EQ(outage.size(), 1u);
    EXPECT_EQ(outage.front().from, 60s);
    EXPECT_EQ(outage.front().until, 180s);

    const auto flapping = trace_of("flapping").bad_spans();
    ASSERT_EQ(flapping.size(), 9u);
    EXPECT_EQ(flapping.back().from, 220s);
    EXPECT_EQ(flapping.back().until, 230s);
}

TEST(AccuracyTrace, FailsAsOftenAsItSays) {
    const auto outage = trace_of("outage"), brown_out = trace_of("brown-out");
    int usual = 0, away = 0, slow = 0;
    for (std::uint64_t call = 0; call < 10'000; ++call) {
        usual += outage.attempt(call, 0, 10s).fails;
        away += outage.attempt(call, 0, 60s).fails;
        slow += brown_out.attempt(call, 1, 100s).takes == 2s;
    }

    EXPECT_NEAR(usual, 10, 10);
    EXPECT_EQ(away, 10'000);
    EXPECT_NEAR(slow, 7000, 200);
}

TEST(AccuracyWindow, TheExactOneBeginsWhereItsConfigurationSays) {
    EXPECT_EQ(beginning(last_100, 99), 0u);
    EXPECT_EQ(beginning(last_100, 100), 0u);
    EXPECT_EQ(beginning(last_100, 101), 1u);

    EXPECT_EQ(beginning(of_time(), 999), 0u) << "nine buckets and all but one of the tenth";
    EXPECT_EQ(beginning(of_time(), 1000), 99u) << "outcome 100 is the first of its bucket";
    EXPECT_EQ(beginning(of_time(), 1099), 99u);
    EXPECT_EQ(beginning(of_time(), 1100), 199u);
}

TEST(AccuracyWindow, OneRecorderIsExact) {
    for (const auto& config : {last_100, of_time()}) {
        const auto errors = measure_window(config, 1, 20'000);
        EXPECT_GT(errors.looks, 2000u);
        EXPECT_EQ(errors.wrong, 0u);
        EXPECT_EQ(errors.most, 0u);
    }
}

TEST(AccuracyWindow, OfSeveralRecordersEveryLookIsCountedByItsError) {
    for (const auto& config : {last_100, of_time()}) {
        const auto errors = measure_window(config, 4, 20'000);
        EXPECT_EQ(errors.recorders, 4);
        EXPECT_EQ(std::accumulate(errors.by_error.begin(), errors.by_error.end(), std::uint64_t{0}), errors.looks);
        EXPECT_EQ(errors.wrong, errors.looks - errors.by_error.front());
        EXPECT_EQ(errors.most, errors.by_error.size() - 1);
    }
}

TEST(AccuracyWindow, SeveralRecordersAreOffByNoMoreThanTheyHaveInHand) {
    constexpr std::uint64_t recorders = 4;
    const auto errors = measure_window(last_100, recorders, 100'000);
    EXPECT_LE(errors.most, recorders) << "what is being recorded";

    const auto of_buckets = measure_window(of_time(), recorders, 100'000);
    EXPECT_LE(of_buckets.most, 2 * recorders) << "and what was when the oldest bucket began";
}

TEST(AccuracyOpenings, OneRecorderIsExact) {
    CircuitBreakerConfig half{.failure_threshold = 100, .minimum_throughput = 20};
    half.failure_rate_threshold = 0.5;

    const auto errors = measure_openings(half, 1, 50);

    EXPECT_EQ(errors.trials, 50u);
    EXPECT_EQ(errors.exact, 50u);
    EXPECT_EQ(errors.missed, 0u);
    EXPECT_EQ(errors.earliest, 0);
    EXPECT_EQ(errors.latest, 0);
}

TEST(AccuracyOpenings, SeveralRecordersMissNone) {
    const auto errors = measure_openings({.failure_threshold = 50}, 4, 20);

    EXPECT_EQ(errors.trials, 20u);
    EXPECT_EQ(errors.missed, 0u);
    EXPECT_EQ(errors.recorders, 4);
    EXPECT_THAT(to_table(std::vector{errors}), StartsWith("threads  circuits  missed"));
}

TEST(AccuracyTrial, SeesAnOutageAndItsEnd) {
    const auto trial = run_trial(trace_of("outage"), contender_of("rate in time"));

    ASSERT_TRUE(trial.opened_after && trial.closed_after);
    EXPECT_GT(*trial.opened_after, 0s);
    EXPECT_LE(*trial.opened_after, 10s) << "a window's length";
    EXPECT_LE(*trial.closed_after, 11s) << "a wait in the open state, and the probes";
    EXPECT_EQ(trial.false_openings, 0u);
    EXPECT_GE(trial.probes, 3u);
    EXPECT_GT(trial.attempts_in_bad, trial.probes / 2);
    EXPECT_LT(trial.amplification(), 1.0) << "less than a call each reached the service";
    EXPECT_EQ(trial.changes.back().to, CircuitState::closed);
}

TEST(AccuracyTrial, WithoutABreakerEveryAttemptGoesThrough) {
    const auto trial = run_trial(trace_of("outage"), contender_of("retry alone"));

    EXPECT_GT(trial.amplification(), 1.5);
    EXPECT_GT(trial.attempts_in_bad, 10'000u);
    EXPECT_TRUE(trial.changes.empty());
    EXPECT_FALSE(trial.opened_after || trial.closed_after);
    EXPECT_EQ(trial.refused_in_good, 0u);
}

TEST(AccuracyTrial, CountsAnOpeningForNothing) {
    const auto trial = run_trial(trace_of("burst"), contender_of("defaults"));

    EXPECT_EQ(trial.false_openings, 2u);
    EXPECT_GT(trial.refused_in_good, 1000u);
}

TEST(AccuracyTrial, IsTheSameEveryTime) {
    const auto trace = trace_of("flapping");
    const auto one = run_trial(trace, contender_of("rate"), 0.5), other = run_trial(trace, contender_of("rate"), 0.5);

    EXPECT_EQ(one.calls, other.calls);
    EXPECT_EQ(one.attempts, other.attempts);
    ASSERT_EQ(one.changes.size(), other.changes.size());
    for (std::size_t i = 0; i < one.changes.size(); ++i) EXPECT_EQ(one.changes[i].at, other.changes[i].at);
}

TEST(AccuracyReport, ShowsAllFiguresInTablesAndDrawings) {
    const std::vector<WindowResult> windows{
        {"last 100",
         {{.recorders = 2, .looks = 200, .wrong = 3, .mean = 0.02, .most = 4, .by_error = {197, 2, 0, 0, 1}}}}};
    EXPECT_EQ(to_table(windows),
              "window    threads  looks   wrong  by 1  by 2  by 3  by more   mean  most\n"
              "last 100        2    200  1.50 %     2     0     0        1  0.020     4\n");
    const auto bars = to_figure(windows);
    EXPECT_THAT(bars, StartsWith("<svg "));
    EXPECT_THAT(bars, HasSubstr(">last 100</text>"));

    Trial trial{.calls = 100, .failed_calls = 7, .attempts = 150, .opened_after = 1500ms};
    trial.changes = {{61s, CircuitState::open}, {71s, CircuitState::half_open}, {72s, CircuitState::closed}};
    const std::vector<Contender> one{{"rate", "half of all", CircuitBreakerConfig{}}};
    const std::vector<TraceResult> results{{trace_of("outage"), {trial}}};
    EXPECT_THAT(to_table(results, one), HasSubstr("  rate        1.5 s"));
    EXPECT_THAT(to_table(results, one), HasSubstr("7.00 %           1.50\n"));
    const auto strips = to_figure(results, one);
    EXPECT_THAT(strips, EndsWith("</svg>\n"));
    EXPECT_THAT(strips, HasSubstr(">rate</text>"));
}

TEST(AccuracySvg, EscapesTextAndWritesNumbersShort) {
    Svg svg{10, 20.25};
    svg.text(1, 2.04, "a < b & c");

    EXPECT_THAT(svg.finished(), HasSubstr("height=\"20.3\""));
    EXPECT_THAT(svg.finished(), HasSubstr("<text x=\"1\" y=\"2\" text-anchor=\"start\">a &lt; b &amp; c</text>"));
    EXPECT_THAT(svg.finished(), EndsWith("</svg>\n"));
}
