// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/latency_window.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;
using Window = LatencyWindow<>;
using Recorded = Window::Recorded;

Window::Samples of(const std::vector<Duration>& latencies) {
    Window window;
    for (const auto latency : latencies) window.record(0, latency, Crowding::quiet, Window::capacity);
    return window.samples();
}

double mean_ns(Duration latency, std::uint32_t times) {
    return of(std::vector<Duration>(times, latency)).mean_ns;
}

TEST(LatencyWindow, SaysWhenThereAreEnough) {
    Window window;

    EXPECT_EQ(window.record(0, 1ms, Crowding::quiet, 3), Recorded::counted);
    EXPECT_EQ(window.record(0, 1ms, Crowding::quiet, 3), Recorded::counted);
    EXPECT_EQ(window.record(0, 1ms, Crowding::quiet, 3), Recorded::complete);
    EXPECT_EQ(window.record(0, 9s, Crowding::full, 3), Recorded::complete) << "and counts no more";

    EXPECT_EQ(window.samples().count, 3u);
    EXPECT_NEAR(window.samples().mean_ns, 1e6, 1e3);
    EXPECT_EQ(window.samples().crowding, Crowding::quiet);
}

TEST(LatencyWindow, WhoNeedsFewerThanThereAreIsToldSo) {
    Window window;
    for (int i = 0; i < 5; ++i) window.record(0, 1ms, Crowding::quiet, 10);

    EXPECT_EQ(window.record(0, 1ms, Crowding::quiet, 4), Recorded::complete);
    EXPECT_EQ(window.samples().count, 5u);
}

TEST(LatencyWindow, CallsThatBeganInAnotherEpochAreNotCounted) {
    Window window;
    window.record(0, 1ms, Crowding::full, 10);

    window.begin(Window::after(0));
    EXPECT_EQ(window.epoch(), 1u);
    EXPECT_EQ(window.record(0, 1ms, Crowding::full, 10), Recorded::late);
    EXPECT_EQ(window.record(2, 1ms, Crowding::full, 10), Recorded::late);

    EXPECT_EQ(window.samples().count, 0u);
    EXPECT_EQ(window.record(1, 1ms, Crowding::busy, 10), Recorded::counted);
    EXPECT_EQ(window.samples().crowding, Crowding::busy) << "nothing is left of the earlier window";
}

TEST(LatencyWindow, EpochsBeginAnewAfterTheLast) {
    constexpr Window::Epoch last = (1U << 22) - 1;
    Window window;
    window.begin(last);
    EXPECT_EQ(window.epoch(), last);
    EXPECT_EQ(window.record(last, 1ms, Crowding::full, 10), Recorded::counted);

    EXPECT_EQ(Window::after(last), 0u);
    window.begin(Window::after(last));

    EXPECT_EQ(window.record(last, 1ms, Crowding::full, 10), Recorded::late);
    EXPECT_EQ(window.record(0, 1ms, Crowding::full, 10), Recorded::counted);
}

TEST(LatencyWindow, EqualLatenciesAreExactToATenthOfAPercent) {
    for (auto latency = 1us; latency < 1h; latency = latency * 11 / 10 + 1us)
        for (const std::uint32_t times : {1U, 7U, 1000U}) {
            const auto exact = std::chrono::duration<double, std::nano>{latency}.count();
            EXPECT_NEAR(mean_ns(latency, times), exact, exact / 1000) << exact;
        }
}

TEST(LatencyWindow, MeansAreThoseOfTheLogarithms) {
    const auto few_slow = of({1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1s});

    EXPECT_NEAR(few_slow.mean_ns, 1e6 * std::pow(1000, 0.1), 1e5);
    EXPECT_NEAR(of({1us, 1s}).mean_ns, 1e6, 1e3);
}

TEST(LatencyWindow, ALongerLatencyNeverLooksShorter) {
    double before = 0;
    for (std::int64_t ns = 1; ns < std::int64_t{1} << 61; ns += ns / 97 + 1) {
        const auto mean = mean_ns(Duration{ns}, 1);
        ASSERT_GE(mean, before) << ns;
        before = mean;
    }
}

TEST(LatencyWindow, BelowAMicrosecondAllAreEqual) {
    for (const auto latency : {Duration::min(), Duration{-1}, Duration{0}, Duration{1}, Duration{999}, Duration{1000}})
        EXPECT_NEAR(mean_ns(latency, 3), 1000, 1) << latency.count();
}

TEST(LatencyWindow, TheLongestLatenciesOfAFullWindowDoNotOverflow) {
    Window window;
    window.begin(5);
    for (std::uint32_t i = 0; i < Window::capacity; ++i)
        window.record(5, Duration::max(), Crowding::quiet, Window::capacity);

    EXPECT_EQ(window.epoch(), 5u);
    EXPECT_EQ(window.samples().count, Window::capacity);
    EXPECT_EQ(window.samples().crowding, Crowding::quiet);
    EXPECT_NEAR(window.samples().mean_ns, 9.22e18, 1e16);
}

TEST(LatencyWindow, RemembersTheWorstCrowding) {
    for (const auto first : {Crowding::quiet, Crowding::busy, Crowding::full})
        for (const auto second : {Crowding::quiet, Crowding::busy, Crowding::full}) {
            Window window;
            window.record(0, 1ms, first, 10);
            window.record(0, 1ms, second, 10);
            EXPECT_EQ(window.samples().crowding, std::max(first, second));
        }
}

TEST(LatencyWindow, CrowdingFollowsFromWhatRunsAndTheLimit) {
    struct Case {
        std::uint32_t in_use, limit;
        Crowding crowding;
    };
    for (const auto& [in_use, limit, crowding] :
         {Case{1, 1, Crowding::full}, Case{1, 2, Crowding::busy}, Case{1, 3, Crowding::busy},
          Case{1, 4, Crowding::quiet}, Case{2, 4, Crowding::busy}, Case{3, 4, Crowding::busy},
          Case{4, 4, Crowding::full}, Case{9, 4, Crowding::full}, Case{25, 100, Crowding::quiet},
          Case{26, 100, Crowding::busy}, Case{99, 100, Crowding::busy},
          Case{1'000'000'000, 1'000'000'000, Crowding::full}})
        EXPECT_EQ(crowding_of(in_use, limit), crowding) << in_use << " of " << limit;
}

} // namespace
} // namespace velostream
