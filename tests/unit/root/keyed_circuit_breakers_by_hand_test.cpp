// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class KeyedBreakersByHandTest : public ::testing::Test {
  protected:
    using Breakers = KeyedCircuitBreakers<std::string, testing::ManualTime>;

    KeyedBreakersByHandTest() {
        breakers.on_state_change([this](const CircuitStateChanged& change) {
            changes.push_back(std::string{change.breaker} + " " + std::string{to_string(change.to)});
        });
    }

    static void fail(Breakers& which, const std::string& key) {
        auto permit = which.try_acquire(key);
        if (permit) permit->failure(Errc::connect_failed);
    }

    testing::ManualTime time;
    std::vector<std::string> changes;
    Breakers breakers{
        "shops",
        {.breaker = {.failure_threshold = 2, .success_threshold = 1, .timeout = 10s, .sliding_window_size = 5},
         .max_keys = 2},
        nullptr,
        time};
};

TEST_F(KeyedBreakersByHandTest, AKeyWithoutAnEntryIsForcedOpenAndStaysSoWhateverTimePasses) {
    EXPECT_TRUE(breakers.force_open("a"));

    EXPECT_EQ(breakers.state("a"), CircuitState::forced_open);
    time.advance(1h);
    EXPECT_EQ(breakers.try_acquire("a").error(), Errc::circuit_open);
    EXPECT_TRUE(breakers.try_acquire("b").has_value());
    EXPECT_EQ(breakers.get_stats().keys, 1u);
}

TEST_F(KeyedBreakersByHandTest, AKeyThatWasForcedOpenSaysSo) {
    fail(breakers, "b");
    fail(breakers, "b");
    EXPECT_TRUE(breakers.force_open("a"));
    EXPECT_TRUE(breakers.force_open("b"));

    for (const auto* key : {"a", "b"}) {
        ASSERT_TRUE(breakers.why_open(key)) << key;
        EXPECT_EQ(breakers.why_open(key)->cause, BreakerCause::manual) << key << ": as of a CircuitBreaker";
    }
}

TEST_F(KeyedBreakersByHandTest, ClosedByHandItCostsNothingAgain) {
    EXPECT_TRUE(breakers.force_open("a"));
    breakers.force_close("a");

    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
    EXPECT_TRUE(breakers.try_acquire("a").has_value());
    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_THAT(changes, ElementsAre("shops/a forced_open", "shops/a closed"));
}

TEST_F(KeyedBreakersByHandTest, ClosingAKeyOfWhichNothingIsKnownMakesNoEntryAndTellsNothing) {
    breakers.force_close("a");

    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_THAT(changes, ElementsAre());
}

TEST_F(KeyedBreakersByHandTest, AnOpenCircuitIsClosedWithAnEmptyWindow) {
    fail(breakers, "a");
    fail(breakers, "a");
    ASSERT_EQ(breakers.state("a"), CircuitState::open);

    breakers.force_close("a");
    fail(breakers, "a");

    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
    EXPECT_EQ(breakers.get_stats("a").failure_count, 1u);
}

TEST_F(KeyedBreakersByHandTest, ADisabledKeyAdmitsAllAndJudgesNone) {
    EXPECT_TRUE(breakers.disable("a"));
    for (int i = 0; i < 5; ++i) fail(breakers, "a");

    EXPECT_EQ(breakers.state("a"), CircuitState::disabled);
    EXPECT_TRUE(breakers.try_acquire("a").has_value());
}

TEST_F(KeyedBreakersByHandTest, MetricsOnlyCountsAndNeverOpens) {
    EXPECT_TRUE(breakers.metrics_only("a"));
    for (int i = 0; i < 5; ++i) fail(breakers, "a");

    EXPECT_EQ(breakers.state("a"), CircuitState::metrics_only);
    EXPECT_EQ(breakers.get_stats("a").failure_count, 5u);
    EXPECT_TRUE(breakers.try_acquire("a").has_value());
}

TEST_F(KeyedBreakersByHandTest, ResetEndsAStateSetByHandToo) {
    EXPECT_TRUE(breakers.disable("a"));
    breakers.reset("a");

    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
}

TEST_F(KeyedBreakersByHandTest, WhatWasSetByHandIsNeverGivenUpForAnotherKey) {
    EXPECT_TRUE(breakers.force_open("a"));
    EXPECT_TRUE(breakers.disable("b"));
    for (const auto* key : {"c", "d", "e"}) fail(breakers, key);

    EXPECT_EQ(breakers.state("a"), CircuitState::forced_open);
    EXPECT_EQ(breakers.state("b"), CircuitState::disabled);
    EXPECT_EQ(breakers.get_stats().untracked, 3u);
}

TEST_F(KeyedBreakersByHandTest, WithoutAFreeEntryItSaysSoAndNothingHasChanged) {
    EXPECT_TRUE(breakers.force_open("a"));
    EXPECT_TRUE(breakers.disable("b"));

    EXPECT_FALSE(breakers.force_open("c"));

    EXPECT_EQ(breakers.state("c"), CircuitState::closed);
    EXPECT_EQ(breakers.get_stats().keys, 2u);
    EXPECT_THAT(changes, ElementsAre("shops/a forced_open", "shops/b disabled"));
}

TEST_F(KeyedBreakersByHandTest, OneWhoIsClosedAndWithoutFailuresMakesPlace) {
    Breakers timed{
        "shops", {.breaker = {.failure_threshold = 2, .sliding_window_duration = 10s}, .max_keys = 1}, nullptr, time};
    fail(timed, "a");
    EXPECT_FALSE(timed.force_open("b"));
    time.advance(11s); // the failure has left the window of time

    EXPECT_TRUE(timed.force_open("b"));

    EXPECT_EQ(timed.state("b"), CircuitState::forced_open);
    EXPECT_EQ(timed.get_stats().evicted, 1u);
}

TEST_F(KeyedBreakersByHandTest, ToCloseWhatIsClosedTakesNoPlace) {
    Breakers timed{
        "shops", {.breaker = {.failure_threshold = 2, .sliding_window_duration = 10s}, .max_keys = 1}, nullptr, time};
    fail(timed, "a");
    time.advance(11s);

    timed.force_close("b");

    EXPECT_EQ(timed.get_stats().evicted, 0u);
    EXPECT_EQ(timed.get_stats().keys, 1u);
}

TEST_F(KeyedBreakersByHandTest, WhereTheAccountHasNoRoomItThrowsAndNothingHasChanged) {
    MemoryAccount account{"breakers", 64 * 1024};
    Breakers charged{"shops", {.breaker = {}, .max_keys = 100}, nullptr, time, {}, account};
    auto rest = account.try_reserve(64 * 1024 - account.used());
    ASSERT_TRUE(rest.has_value());

    EXPECT_THROW((void)charged.force_open("a"), MemoryRefusedException);
    EXPECT_EQ(charged.state("a"), CircuitState::closed);
    EXPECT_EQ(charged.get_stats().keys, 0u);

    rest->release();
    EXPECT_TRUE(charged.force_open("a"));
}

TEST_F(KeyedBreakersByHandTest, ResultsOfCallsBeforeAreLate) {
    auto before = breakers.try_acquire("a");
    EXPECT_TRUE(breakers.force_open("a"));
    breakers.force_close("a");
    before->failure(Errc::connect_failed);

    EXPECT_EQ(breakers.get_stats("a").failure_count, 0u);
    EXPECT_EQ(breakers.get_stats().late_results, 1u);
}

TEST_F(KeyedBreakersByHandTest, WhoWaitsForAForcedKeyComesWhenItIsClosed) {
    asio::io_context io;
    EXPECT_TRUE(breakers.force_open("a"));
    int ready = 0;
    breakers.async_ready("a", asio::bind_executor(io, [&](boost::system::error_code error) { ready += !error; }));
    time.advance(1h);
    io.poll();
    EXPECT_EQ(ready, 0);

    breakers.force_close("a");
    io.restart();
    io.poll();

    EXPECT_EQ(ready, 1);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
}

} // namespace
} // namespace velostream
