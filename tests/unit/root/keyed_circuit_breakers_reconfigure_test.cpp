// SPDX-License-Identifier: Apache-2.0
// Keyed circuit breakers that get another configuration while they work, and why a key's circuit opened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::keyed_circuit_breakers_reconfigure_test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const Error network = Errc::connect_failed;

class KeyedBreakersReconfigureTest : public ::testing::Test {
  protected:
    using Breakers = KeyedCircuitBreakers<int, testing::ManualTime>;

    void fail(int key, int times = 1) {
        for (int i = 0; i < times; ++i) breakers.try_acquire(key)->failure(network);
    }
    CircuitState state(int key) const { return breakers.state(key); }

    testing::ManualTime time;
    MemoryAccount account{"breakers"};
    Breakers breakers{
        "shops", {.breaker = {.failure_threshold = 10, .success_threshold = 2, .timeout = 10s}, .max_keys = 1000},
        nullptr, time,
        {},      account};
};

TEST_F(KeyedBreakersReconfigureTest, KeepsTheWindowOfEveryKeyAndOpensWithTheNextOutcome) {
    constexpr int many = 500;
    for (int key = 0; key < many; ++key) fail(key, 3);
    auto out = breakers.try_acquire(7);

    breakers.reconfigure({.failure_threshold = 3});
    EXPECT_EQ(breakers.config().breaker.failure_threshold, 3u);
    EXPECT_EQ(breakers.config().max_keys, 1000u);
    for (int key = 0; key < many; ++key) {
        ASSERT_EQ(state(key), CircuitState::closed);
        ASSERT_EQ(breakers.get_stats(key).failure_count, 3u);
    }

    out->success();
    EXPECT_EQ(state(7), CircuitState::open);
    EXPECT_THAT(breakers.why_open(7)->text, HasSubstr("3 failures in the last 4 calls (threshold 3)"));
    EXPECT_EQ(breakers.get_stats().not_closed, 1u);
}

TEST_F(KeyedBreakersReconfigureTest, AKeyThatGetsAnEntryLaterGoesByTheNewRules) {
    breakers.reconfigure({.failure_threshold = 2});

    fail(1, 2);

    EXPECT_EQ(state(1), CircuitState::open);
}

TEST_F(KeyedBreakersReconfigureTest, AKeyWhoseEntryWentAndCameBackGoesByTheNewRules) {
    breakers.reconfigure({.failure_threshold = 2, .sliding_window_size = 5});
    fail(1);
    for (int i = 0; i < 5; ++i) breakers.try_acquire(1)->success();
    ASSERT_EQ(breakers.get_stats().keys, 0u);
    breakers.reconfigure({.failure_threshold = 3, .sliding_window_size = 5});

    fail(1, 2);
    EXPECT_EQ(state(1), CircuitState::closed);
    fail(1);

    EXPECT_EQ(state(1), CircuitState::open);
}

TEST_F(KeyedBreakersReconfigureTest, CallsThatWereOutAreJudgedByTheNewRules) {
    auto of_no_entry = breakers.try_acquire(1);
    fail(2);
    auto of_entry = breakers.try_acquire(2);

    breakers.reconfigure({.failure_threshold = 1});
    of_no_entry->failure(network);
    of_entry->failure(network);

    EXPECT_EQ(state(1), CircuitState::open);
    EXPECT_EQ(state(2), CircuitState::open);
    EXPECT_EQ(breakers.get_stats().late_results, 0u);
}

TEST_F(KeyedBreakersReconfigureTest, AnUnusableConfigurationChangesNothing) {
    EXPECT_THROW(breakers.reconfigure({.failure_threshold = 0}), std::invalid_argument);

    EXPECT_EQ(breakers.config().breaker.failure_threshold, 10u);
    fail(1, 9);
    EXPECT_EQ(state(1), CircuitState::closed);
}

TEST_F(KeyedBreakersReconfigureTest, OutcomesOfANumberThatBecomeThoseOfATimeCountAsOfTheChange) {
    fail(1);
    time.advance(1h);

    breakers.reconfigure({.sliding_window_duration = 10s});
    EXPECT_EQ(breakers.get_stats(1).window_duration, 10s);
    EXPECT_EQ(breakers.get_stats(1).window_calls, 1u);
    time.advance(10s);

    EXPECT_EQ(breakers.get_stats(1).window_calls, 0u);
    breakers.try_acquire(1)->success();
    EXPECT_EQ(breakers.get_stats().keys, 0u) << "nothing bad is left in it";
}

TEST_F(KeyedBreakersReconfigureTest, TheSlowRuleCanBeSwitchedOnAndOff) {
    auto before = breakers.try_acquire(1);
    breakers.reconfigure({.slow_call_threshold = 1s, .slow_call_rate_threshold = 1.0});
    auto slow = breakers.try_acquire(2);
    time.advance(1s);
    before->success();
    EXPECT_EQ(breakers.get_stats().keys, 0u) << "nobody knows how long it took";
    slow->success();
    EXPECT_EQ(breakers.get_stats(2).slow_count, 1u);

    breakers.reconfigure({});
    auto again = breakers.try_acquire(3);
    time.advance(1h);
    again->success();

    EXPECT_EQ(breakers.get_stats(2).slow_count, 0u);
    EXPECT_EQ(breakers.get_stats().keys, 1u);
}

TEST_F(KeyedBreakersReconfigureTest, WhatHasBegunEndsByTheOldNumbers) {
    fail(1, 10);
    breakers.reconfigure({.failure_threshold = 10, .success_threshold = 1, .timeout = 1h});

    time.advance(10s);
    EXPECT_EQ(state(1), CircuitState::half_open);
    breakers.try_acquire(1)->success();
    EXPECT_EQ(state(1), CircuitState::closed);
}

TEST_F(KeyedBreakersReconfigureTest, AnOverdueProbeIsToldAndACallbackMayReconfigure) {
    fail(1, 10);
    time.advance(10s);
    const auto probe = breakers.try_acquire(1);
    time.advance(60s);
    int told = 0;
    breakers.on_state_change([&](const CircuitStateChanged& change) {
        EXPECT_EQ(change.to, CircuitState::open);
        if (++told == 1) breakers.reconfigure({.failure_threshold = 7});
    });

    breakers.reconfigure({.failure_threshold = 5});

    EXPECT_EQ(told, 1);
    EXPECT_EQ(breakers.config().breaker.failure_threshold, 7u);
    EXPECT_EQ(state(1), CircuitState::open);
}

TEST_F(KeyedBreakersReconfigureTest, WaitersOfEveryKeyLearnAtOnceThatMoreProbesMayBeMade) {
    constexpr int many = 200;
    asio::io_context io;
    breakers.reconfigure({.failure_threshold = 1, .success_threshold = 1, .timeout = 10s});
    for (int key = 0; key < many; ++key) fail(key);
    time.advance(10s);
    int ready = 0;
    const auto count = [&](boost::system::error_code code) { ready += !code; };
    for (int key = 0; key < many; ++key)
        for (int i = 0; i < 3; ++i) breakers.async_ready(key, asio::bind_executor(io.get_executor(), count));
    io.poll();
    ASSERT_EQ(ready, many);

    breakers.reconfigure({.failure_threshold = 1, .success_threshold = 2, .timeout = 10s});
    io.restart();
    io.poll();

    EXPECT_EQ(ready, 2 * many);
}

TEST_F(KeyedBreakersReconfigureTest, AWaiterThatMakesNoCallDelaysTheNextByTheNewPatience) {
    asio::io_context io;
    fail(1, 10);
    int ready = 0;
    const auto count = [&](boost::system::error_code code) { ready += !code; };
    for (int i = 0; i < 4; ++i) breakers.async_ready(1, asio::bind_executor(io.get_executor(), count));
    breakers.reconfigure({.success_threshold = 2, .timeout = 100ms});
    time.advance(10s);
    io.poll();
    EXPECT_EQ(ready, 2);

    time.advance(100ms);
    io.restart();
    io.poll();

    EXPECT_EQ(ready, 4);
}

TEST_F(KeyedBreakersReconfigureTest, JitterThatIsSwitchedOnLaterDiffersBetweenKeysAndIsThatOfTheSeed) {
    const auto waits = [&](std::uint64_t seed) {
        Breakers seeded{"seeded", {.breaker = {.failure_threshold = 2}}, nullptr, time, {}, {}, seed};
        for (int key = 0; key < 10; ++key) seeded.try_acquire(key)->failure(network);
        seeded.reconfigure({.failure_threshold = 2, .timeout_jitter = 1.0});
        std::vector<Duration> result;
        for (int key = 0; key < 10; ++key) {
            seeded.try_acquire(key)->failure(network);
            result.push_back(*seeded.get_stats(key).next_probe_at - time.now());
        }
        return result;
    };

    const auto first = waits(1);
    EXPECT_EQ(first, waits(1));
    EXPECT_NE(first, waits(2));
    EXPECT_NE(first.front(), first.back());
}

TEST_F(KeyedBreakersReconfigureTest, AKeyForWhoseNewWindowThereIsNoRoomGoesOnByTheOldRulesUntilThereIs) {
    fail(1, 2);
    auto out = breakers.try_acquire(1);
    account.set_limit(account.used());
    breakers.reconfigure({.failure_threshold = 3, .sliding_window_duration = 10s, .sliding_window_buckets = 1000});

    time.advance(1h);
    fail(1, 2);
    EXPECT_EQ(state(1), CircuitState::closed) << "the fourth failure of ten";
    time.advance(1h);
    account.set_limit(account.used() + 100_KiB);
    out->failure(network); // what the key knows counts as of now

    EXPECT_EQ(state(1), CircuitState::open);
    EXPECT_THAT(breakers.why_open(1)->text, HasSubstr("5 failures"));
}

TEST_F(KeyedBreakersReconfigureTest, AndACallIsAdmittedByTheNewRulesAsSoonAsThereIs) {
    fail(1, 10);
    account.set_limit(account.used());
    breakers.reconfigure({.success_threshold = 1, .sliding_window_duration = 10s, .sliding_window_buckets = 1000});
    time.advance(10s);
    account.set_limit(account.used() + 100_KiB);

    breakers.try_acquire(1)->success(); // the only probe

    EXPECT_EQ(state(1), CircuitState::closed);
}

// A breaker for each key in plain containers, reconfigured at the same moments.
TEST_F(KeyedBreakersReconfigureTest, JudgesAsABreakerForEachKeyThatIsReconfiguredWould) {
    constexpr int keys = 30;
    using Single = CircuitBreaker<testing::ManualTime>;
    CircuitBreakerConfig config{.failure_threshold = 3, .success_threshold = 2, .timeout = 10s};
    config.sliding_window_size = 8;
    Breakers many{"many", {.breaker = config, .max_keys = keys}, nullptr, time};
    std::map<int, std::unique_ptr<Single>> reference;
    for (int key = 0; key < keys; ++key) reference[key] = std::make_unique<Single>(config, nullptr, time);
    std::mt19937_64 random{17};
    std::uint64_t opened = 0;
    for (int i = 0; i < 100'000; ++i) {
        const int key = static_cast<int>(random() % keys);
        auto permit = many.try_acquire(key);
        auto expected = reference[key]->try_acquire();
        ASSERT_EQ(permit.has_value(), expected.has_value()) << i;
        if (permit && random() % 4 == 0) {
            permit->failure(network);
            expected->failure(network);
        } else if (permit) {
            permit->success();
            expected->success();
        }
        ASSERT_EQ(many.state(key), reference[key]->state()) << i;
        if (many.state(key) == CircuitState::closed) {
            ASSERT_EQ(many.get_stats(key).failure_count, reference[key]->get_stats().failure_count) << i;
        }
        if (random() % 50 == 0) time.advance(Duration{random() % 5'000'000'000});
        if (random() % 500 != 0) continue;
        config.failure_threshold = 2 + random() % 4;
        config.success_threshold = 1 + random() % 3;
        config.timeout = std::chrono::seconds{1 + random() % 10};
        config.sliding_window_size = 8 + random() % 8;
        many.reconfigure(config);
        for (auto& [each, breaker] : reference) breaker->reconfigure(config);
    }
    for (auto& [key, breaker] : reference) opened += breaker->get_stats().opened_count;
    EXPECT_EQ(many.get_stats().opened_count, opened);
    EXPECT_GT(opened, 1000u);
}

// Why a circuit opened

TEST_F(KeyedBreakersReconfigureTest, WhyOpenTellsTheRuleTheNumbersAndTheLastErrorOfEachKey) {
    EXPECT_FALSE(breakers.why_open(1));
    fail(2, 9);
    EXPECT_FALSE(breakers.why_open(2));
    fail(1, 10);

    const auto reason = breakers.why_open(1);
    ASSERT_TRUE(reason);
    EXPECT_EQ(reason->cause, BreakerCause::failure_count);
    EXPECT_EQ(reason->counts, (OutcomeCounts{.calls = 10, .failures = 10, .slow = 0}));
    EXPECT_EQ(reason->at, time.now());
    EXPECT_EQ(reason->last_error, Errc::connect_failed);
    EXPECT_THAT(reason->text, HasSubstr("10 failures in the last 10 calls (threshold 10); last error: "));
    EXPECT_EQ(breakers.of(1).why_open()->text, reason->text);
    EXPECT_FALSE(breakers.why_open(2));
}

TEST_F(KeyedBreakersReconfigureTest, WhyOpenIsOfTheLastOpening) {
    fail(1, 10);
    time.advance(10s);
    breakers.try_acquire(1)->failure(network);

    EXPECT_EQ(breakers.why_open(1)->cause, BreakerCause::probe_failed);
    EXPECT_EQ(breakers.why_open(1)->at, time.now());
}

TEST_F(KeyedBreakersReconfigureTest, WhyOpenIsForgottenByResetAndWithTheEntry) {
    fail(1, 10);
    fail(2, 10);
    breakers.reset(1);
    EXPECT_FALSE(breakers.why_open(1));

    time.advance(10s);
    for (int i = 0; i < 2; ++i) breakers.try_acquire(2)->success();
    EXPECT_EQ(state(2), CircuitState::closed);
    EXPECT_FALSE(breakers.why_open(2));
}

TEST_F(KeyedBreakersReconfigureTest, WhyOpenIsForgottenByResetAlsoWhereTheEntryStaysForAWaiter) {
    asio::io_context io;
    fail(1, 10);
    breakers.async_ready(1, asio::bind_executor(io.get_executor(), [](boost::system::error_code) {}));

    breakers.reset(1);

    EXPECT_EQ(breakers.get_stats().keys, 1u);
    EXPECT_FALSE(breakers.why_open(1));
    io.poll();
}

TEST_F(KeyedBreakersReconfigureTest, WhyOpenCanBeAskedByACallback) {
    std::string why;
    breakers.on_state_change([&](const CircuitStateChanged& change) {
        if (change.to == CircuitState::open) why = breakers.why_open(1)->text;
    });

    fail(1, 10);

    EXPECT_THAT(why, HasSubstr("10 failures"));
}

} // namespace
} // namespace velostream::keyed_circuit_breakers_reconfigure_test
