// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/concurrency_gradient.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <optional>
#include <random>
#include <utility>

#include "velostream/base/http_status.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr auto far_away = std::size_t{1'000'000};

ConcurrencyGradient::Samples samples(Duration latency, Crowding crowding) {
    return {.count = 100, .mean_ns = static_cast<double>(latency.count()), .crowding = crowding};
}

// Goes the whole way to its target at once, and measures when a test says so.
AdaptiveLimitConfig direct() {
    return {.initial_limit = 100, .max_limit = 1000, .smoothing = 1, .remeasure_every = far_away};
}

// One that knows that a call takes 10 ms without load.
ConcurrencyGradient informed(const AdaptiveLimitConfig& config = direct()) {
    ConcurrencyGradient gradient{config};
    gradient.on_window(samples(10ms, Crowding::quiet));
    return gradient;
}

TEST(ConcurrencyGradient, GoesTowardsLimitTimesGradientPlusItsRoot) {
    struct Case {
        Duration latency;
        Crowding crowding;
        std::size_t limit; // of 100 before
        std::optional<LimitMove> why;
    };
    for (const auto& [latency, crowding, limit, why] : {
             Case{1us, Crowding::full, 110, LimitMove::room_to_grow},
             Case{10ms, Crowding::full, 110, LimitMove::room_to_grow},
             Case{15ms, Crowding::full, 110, LimitMove::room_to_grow}, // 1.5 times as long is still good
             Case{16ms, Crowding::full, 103, LimitMove::room_to_grow},
             Case{20ms, Crowding::full, 85, LimitMove::latency_rose},
             Case{30ms, Crowding::full, 60, LimitMove::latency_rose},
             Case{1h, Crowding::full, 60, LimitMove::latency_rose}, // by half at most
             Case{10ms, Crowding::busy, 100, std::nullopt},         // it was not reached: no reason to grow
             Case{15ms, Crowding::busy, 100, std::nullopt},
             Case{16ms, Crowding::busy, 100, std::nullopt},
             Case{20ms, Crowding::busy, 85, LimitMove::latency_rose},
             Case{1h, Crowding::busy, 60, LimitMove::latency_rose},
             Case{1us, Crowding::quiet, 100, std::nullopt},
             Case{20ms, Crowding::quiet, 100, std::nullopt}, // nobody waits for others: a lower limit would not help
             Case{1h, Crowding::quiet, 100, std::nullopt},
         }) {
        auto gradient = informed();
        const auto epoch = gradient.epoch();

        const auto change = gradient.on_window(samples(latency, crowding));

        EXPECT_EQ(gradient.limit(), limit) << latency.count() << " ns";
        EXPECT_EQ(change ? std::optional{change->why} : std::nullopt, why) << latency.count() << " ns";
        EXPECT_EQ(gradient.epoch() != epoch, change.has_value()) << "every limit begins an epoch";
        if (!change) continue;
        EXPECT_EQ(change->from, 100u);
        EXPECT_EQ(change->to, limit);
    }
}

TEST(ConcurrencyGradient, GoesOnlyAPartOfTheWayWhereItIsSmoothed) {
    auto config = direct();
    config.smoothing = 0.2;
    auto gradient = informed(config);

    gradient.on_window(samples(30ms, Crowding::full));

    EXPECT_EQ(gradient.limit(), 92u) << "a fifth of the way to 60";
}

TEST(ConcurrencyGradient, SmallStepsAddUp) {
    AdaptiveLimitConfig config{.initial_limit = 1, .smoothing = 0.2};
    auto gradient = informed(config);

    for (int i = 0; i < 4; ++i) EXPECT_FALSE(gradient.on_window(samples(10ms, Crowding::full)));

    EXPECT_TRUE(gradient.on_window(samples(10ms, Crowding::full)));
    EXPECT_EQ(gradient.limit(), 2u);
}

TEST(ConcurrencyGradient, StaysWithinItsBounds) {
    auto config = direct();
    config.min_limit = 90;
    config.max_limit = 105;
    auto falls = informed(config);
    auto grows = informed(config);

    falls.on_window(samples(1h, Crowding::full));
    for (int i = 0; i < 3; ++i) grows.on_window(samples(10ms, Crowding::full));

    EXPECT_EQ(falls.limit(), 90u);
    EXPECT_EQ(grows.limit(), 105u);
}

TEST(ConcurrencyGradient, TheLatencyWithoutLoadIsWhatAQuietWindowHad) {
    auto gradient = informed();
    EXPECT_EQ(gradient.latency_without_load(), 10ms);

    gradient.on_window(samples(40ms, Crowding::quiet));
    EXPECT_EQ(gradient.latency_without_load(), 40ms);
    gradient.on_window(samples(5ms, Crowding::quiet));
    EXPECT_EQ(gradient.latency_without_load(), 5ms);
}

TEST(ConcurrencyGradient, ALoadDoesNotRaiseTheLatencyWithoutLoad) {
    auto gradient = informed();

    for (int i = 0; i < 10'000; ++i) gradient.on_window(samples(14ms, Crowding::full));

    EXPECT_EQ(gradient.latency_without_load(), 10ms);
    EXPECT_EQ(gradient.recent_latency(), 14ms);
}

TEST(ConcurrencyGradient, AShorterLatencyUnderLoadLowersTheLatencyWithoutLoad) {
    auto config = direct();
    config.smoothing = 0.2;
    auto gradient = informed(config);

    gradient.on_window(samples(5ms, Crowding::full));

    EXPECT_EQ(gradient.latency_without_load(), 9ms);
}

TEST(ConcurrencyGradient, AWindowAtTheFloorMeasuresTheLatencyWithoutLoad) {
    auto config = direct();
    config.initial_limit = config.min_limit = 5;
    auto gradient = informed(config);

    gradient.on_window(samples(70ms, Crowding::full));

    EXPECT_EQ(gradient.latency_without_load(), 70ms);
    EXPECT_EQ(gradient.limit(), 7u) << "and is good by that measure";
}

TEST(ConcurrencyGradient, AQuarterOfTheLimitMeasuresEverySoManyWindows) {
    auto config = direct();
    config.remeasure_every = 10;
    config.max_limit = 100;
    auto gradient = informed(config);
    for (int i = 0; i < 9; ++i) gradient.on_window(samples(14ms, Crowding::full));
    EXPECT_FALSE(gradient.is_measuring());

    const auto begins = gradient.on_window(samples(14ms, Crowding::full));
    EXPECT_TRUE(gradient.is_measuring());
    EXPECT_EQ(gradient.limit(), 25u);
    const auto ends = gradient.on_window(samples(12ms, Crowding::full));

    EXPECT_EQ(begins->why, LimitMove::measuring_begins);
    EXPECT_EQ(ends->why, LimitMove::measuring_ends);
    EXPECT_EQ(gradient.limit(), 100u);
    EXPECT_EQ(gradient.latency_without_load(), 12ms);
    for (int i = 0; i < 9; ++i) gradient.on_window(samples(14ms, Crowding::full));
    EXPECT_FALSE(gradient.is_measuring()) << "it counts anew";
}

TEST(ConcurrencyGradient, MeasuresSoonerWhereLatencyIsFarAboveWhatIsGood) {
    auto config = direct();
    config.remeasure_every = 10;
    auto gradient = informed(config);

    gradient.on_window(samples(31ms, Crowding::full));
    EXPECT_FALSE(gradient.is_measuring());
    gradient.on_window(samples(31ms, Crowding::full));

    EXPECT_TRUE(gradient.is_measuring());
}

TEST(ConcurrencyGradient, MeasuresAfterItsFirstWindowUnderLoad) {
    ConcurrencyGradient loaded{direct()};
    ConcurrencyGradient idle{direct()};
    EXPECT_EQ(loaded.latency_without_load(), Duration{0});

    loaded.on_window(samples(500ms, Crowding::full));
    idle.on_window(samples(10ms, Crowding::quiet));
    idle.on_window(samples(10ms, Crowding::full));

    EXPECT_EQ(loaded.latency_without_load(), 500ms) << "better than nothing";
    EXPECT_TRUE(loaded.is_measuring());
    EXPECT_FALSE(idle.is_measuring()) << "it is known";
}

TEST(ConcurrencyGradient, WhereLatencyFallsAsMuchAsTheLimitTheLowerOneStaysAndAQuarterOfThatIsMeasured) {
    auto config = direct();
    config.initial_limit = 40;
    ConcurrencyGradient gradient{config};
    gradient.on_window(samples(400ms, Crowding::full)); // 46
    ASSERT_EQ(gradient.limit(), 11u);

    const auto goes_on = gradient.on_window(samples(110ms, Crowding::full));
    ASSERT_TRUE(goes_on);
    EXPECT_EQ(goes_on->why, LimitMove::measuring_goes_on);
    EXPECT_EQ(gradient.limit(), 2u);
    const auto ends = gradient.on_window(samples(60ms, Crowding::full)); // there is nothing to wait for with that few

    EXPECT_EQ(ends->why, LimitMove::measuring_ends);
    EXPECT_EQ(gradient.limit(), 11u);
    EXPECT_EQ(gradient.latency_without_load(), 60ms);
}

TEST(ConcurrencyGradient, WhereLatencyFallsLessThanTheLimitItComesBack) {
    auto config = direct();
    config.initial_limit = 40;
    ConcurrencyGradient gradient{config};
    gradient.on_window(samples(400ms, Crowding::full)); // 46

    gradient.on_window(samples(140ms, Crowding::full));

    EXPECT_FALSE(gradient.is_measuring());
    EXPECT_EQ(gradient.limit(), 46u);
    EXPECT_EQ(gradient.latency_without_load(), 140ms);
}

TEST(ConcurrencyGradient, TheFirstMeasurementOfALargeLimitLooksAtASixteenthToo) {
    auto config = direct();
    config.initial_limit = 961;
    ConcurrencyGradient unknown{config};
    unknown.on_window(samples(100ms, Crowding::full)); // 992, whose latency has not risen yet to what it makes of it
    ASSERT_EQ(unknown.limit(), 248u);

    unknown.on_window(samples(90ms, Crowding::full));
    EXPECT_TRUE(unknown.is_measuring());
    EXPECT_EQ(unknown.limit(), 62u);
    unknown.on_window(samples(80ms, Crowding::full));

    EXPECT_FALSE(unknown.is_measuring());
    EXPECT_EQ(unknown.limit(), 992u);
}

TEST(ConcurrencyGradient, AMeasurementAtTheFloorEndsThere) {
    auto config = direct();
    config.initial_limit = 40;
    config.min_limit = 10;
    ConcurrencyGradient gradient{config};
    gradient.on_window(samples(400ms, Crowding::full));
    ASSERT_EQ(gradient.limit(), 11u);

    gradient.on_window(samples(110ms, Crowding::full));
    EXPECT_EQ(gradient.limit(), 10u);
    gradient.on_window(samples(100ms, Crowding::full));

    EXPECT_FALSE(gradient.is_measuring());
}

TEST(ConcurrencyGradient, EveryDroppedCallLowersTheLimitWhereNoneIsTolerated) {
    auto config = direct();
    config.tolerated_drop_rate = 0;
    auto gradient = informed(config);

    const auto change = gradient.on_drop();
    EXPECT_EQ(change->to, 90u);
    EXPECT_EQ(change->why, LimitMove::calls_dropped);
    gradient.on_drop();

    EXPECT_EQ(gradient.limit(), 81u);
}

TEST(ConcurrencyGradient, DroppedCallsLowerTheLimitWhenThereAreMoreThanTolerated) {
    auto config = direct();
    config.tolerated_drop_rate = 0.03;
    auto gradient = informed(config);

    for (int i = 0; i < 3; ++i) EXPECT_FALSE(gradient.on_drop());
    EXPECT_TRUE(gradient.on_drop());
    EXPECT_EQ(gradient.limit(), 90u);
}

TEST(ConcurrencyGradient, DroppedCallsOfAnEarlierWindowAreForgotten) {
    auto gradient = informed();

    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(gradient.on_drop());
        gradient.on_window(samples(10ms, Crowding::busy));
    }

    EXPECT_EQ(gradient.limit(), 100u);
}

TEST(ConcurrencyGradient, ADropLowersASmallLimitByOneAndNoneBelowTheFloor) {
    auto config = direct();
    config.initial_limit = 3;
    config.min_limit = 2;
    config.tolerated_drop_rate = 0;
    auto gradient = informed(config);

    gradient.on_drop();
    EXPECT_EQ(gradient.limit(), 2u);
    const auto epoch = gradient.epoch();
    EXPECT_FALSE(gradient.on_drop());

    EXPECT_EQ(gradient.limit(), 2u);
    EXPECT_NE(gradient.epoch(), epoch) << "a cut is done with those who are under way";
}

TEST(ConcurrencyGradient, ADropLowersALimitThatIsOnItsWayToTheNextByOneToo) {
    auto config = direct();
    config.initial_limit = 4;
    config.smoothing = 0.2;
    config.tolerated_drop_rate = 0;
    config.drop_backoff = 0.99;
    auto gradient = informed(config);
    gradient.on_window(samples(10ms, Crowding::full)); // 4.4
    ASSERT_EQ(gradient.limit(), 4u);

    gradient.on_drop();

    EXPECT_EQ(gradient.limit(), 3u);
}

TEST(ConcurrencyGradient, ADropWhileItMeasuresLowersWhatItComesBackTo) {
    auto config = direct();
    config.initial_limit = 49;
    config.tolerated_drop_rate = 0;
    ConcurrencyGradient gradient{config};
    gradient.on_window(samples(10ms, Crowding::full)); // 56, and down to a quarter to measure

    gradient.on_drop();
    EXPECT_TRUE(gradient.is_measuring());
    EXPECT_EQ(gradient.limit(), 12u) << "a quarter of 50";
    gradient.on_window(samples(10ms, Crowding::full));

    EXPECT_EQ(gradient.limit(), 50u);
}

TEST(ConcurrencyGradient, AWindowHasAtMostTenCallsAPlaceAndAsManyAsTheLimitUpToAThousand) {
    auto config = direct();
    config.max_limit = 1'000'000'000;
    for (const auto& [limit, window] : {std::pair{1u, 10u},
                                        {9u, 90u},
                                        {10u, 100u},
                                        {100u, 100u},
                                        {101u, 101u},
                                        {1000u, 1000u},
                                        {1001u, 1000u},
                                        {1'000'000'000u, 1000u}}) {
        config.initial_limit = limit;
        EXPECT_EQ(ConcurrencyGradient{config}.window(), window);
    }
    config.window = 4000;
    EXPECT_EQ(ConcurrencyGradient{config}.window(), 4000u);
}

TEST(ConcurrencyGradient, LatenciesOfNothingDivideByNothing) {
    for (const auto first : {Duration{0}, Duration{1}, Duration::max()})
        for (const auto second : {Duration{0}, Duration{1}, Duration::max()}) {
            auto config = direct();
            config.initial_limit = config.max_limit = 1'000'000'000;
            ConcurrencyGradient gradient{config};
            gradient.on_window(samples(first, Crowding::quiet));
            gradient.on_window(samples(second, Crowding::full));
            EXPECT_GE(gradient.limit(), 500'000'000u);
            EXPECT_LE(gradient.limit(), 1'000'000'000u);
        }
    ConcurrencyGradient untouched{direct()};
    EXPECT_FALSE(untouched.on_window({}));
    EXPECT_EQ(untouched.latency_without_load(), Duration{0});
}

TEST(ConcurrencyGradient, WhateverItSeesTheLimitStaysWithinItsBoundsAndAnEpochHasOneLimit) {
    std::mt19937_64 random{7};
    const auto below = [&](std::uint64_t bound) { return static_cast<std::size_t>(random() % bound); };
    const auto fraction = [&] { return std::uniform_real_distribution<double>{0.001, 0.999}(random); };
    for (int round = 0; round < 300; ++round) {
        AdaptiveLimitConfig config;
        config.min_limit = 1 + below(std::uint64_t{1} << below(30));
        config.max_limit = config.min_limit + below(std::uint64_t{1} << below(30));
        config.initial_limit = config.min_limit + below(config.max_limit - config.min_limit + 1);
        config.tolerance = 1 + 2 * fraction();
        config.smoothing = fraction();
        config.drop_backoff = fraction();
        config.tolerated_drop_rate = round % 2 == 0 ? 0 : fraction() / 20;
        config.remeasure_every = 5 + below(100);
        ConcurrencyGradient gradient{config};
        for (int step = 0; step < 2000; ++step) {
            const auto limit = gradient.limit();
            const auto epoch = gradient.epoch();
            const auto latency = static_cast<double>(random() >> below(64)) * static_cast<double>(below(2));
            const auto crowding = static_cast<Crowding>(below(3));
            const auto change = below(4) == 0
                                    ? gradient.on_drop()
                                    : gradient.on_window({.count = 100, .mean_ns = latency, .crowding = crowding});
            ASSERT_GE(gradient.limit(), config.min_limit);
            ASSERT_LE(gradient.limit(), config.max_limit);
            ASSERT_EQ(change.has_value(), gradient.limit() != limit);
            if (change) {
                ASSERT_EQ(change->from, limit);
                ASSERT_EQ(change->to, gradient.limit());
                ASSERT_NE(gradient.epoch(), epoch);
            }
        }
    }
}

TEST(ConcurrencyGradient, MovesHaveWords) {
    EXPECT_EQ(to_string(LimitMove::latency_rose), "latency rose");
    EXPECT_EQ(to_string(LimitMove::room_to_grow), "room to grow");
    EXPECT_EQ(to_string(LimitMove::calls_dropped), "calls dropped");
    EXPECT_EQ(to_string(LimitMove::measuring_begins), "measuring begins");
    EXPECT_EQ(to_string(LimitMove::measuring_goes_on), "measuring goes on");
    EXPECT_EQ(to_string(LimitMove::measuring_ends), "measuring ends");
}

TEST(IsOverload, IsWhatAServiceOrTheWayToItSaysAndNoLimitOfOurs) {
    const Error dropped[] = {
        Errc::send_timeout,    Errc::deadline_exceeded, Errc::connect_failed,  Errc::send_outcome_unknown,
        http_status_code(429), http_status_code(503),   http_status_code(408), boost::asio::error::connection_reset};
    for (const auto& error : dropped) EXPECT_TRUE(is_overload(error)) << error;
    const Error others[] = {Errc::circuit_open,          Errc::bulkhead_full,   Errc::rate_limited,
                            Errc::pool_timeout,          Errc::cancelled,       Errc::operation_failed,
                            Errc::memory_limit_exceeded, http_status_code(404), http_status_code(401),
                            http_status_code(403)};
    for (const auto& error : others) EXPECT_FALSE(is_overload(error)) << error;
}

TEST(IsOverload, ExhaustedRetriesAnswerAsTheirLastError) {
    EXPECT_TRUE(is_overload(Error{Errc::retries_exhausted}.with_inner(http_status_code(429))));
    EXPECT_FALSE(is_overload(Error{Errc::retries_exhausted}.with_inner(Errc::circuit_open)));
    EXPECT_FALSE(is_overload(Errc::retries_exhausted));
}

} // namespace
} // namespace velostream
