// SPDX-License-Identifier: Apache-2.0
#include "velostream/keyed_circuit_breakers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::keyed_circuit_breakers_test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Error network = Errc::connect_failed;
const Error bad_request = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);

class KeyedCircuitBreakersTest : public ::testing::Test {
  protected:
    using Breakers = KeyedCircuitBreakers<std::string, testing::ManualTime>;

    template <class Keyed, class Key>
    static bool fail(Keyed& which, Key key) {
        auto permit = which.try_acquire(key);
        if (permit) permit->failure(network);
        return permit.has_value();
    }
    template <class Keyed, class Key>
    static bool succeed(Keyed& which, Key key) {
        auto permit = which.try_acquire(key);
        if (permit) permit->success();
        return permit.has_value();
    }

    asio::io_context io;
    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    MemoryAccount account{"breakers"};
    Breakers breakers{
        "shops",
        {.breaker = {.failure_threshold = 2, .success_threshold = 1, .timeout = 10s, .sliding_window_size = 5},
         .max_keys = 100},
        observer,
        time,
        {},
        account};
};

TEST_F(KeyedCircuitBreakersTest, EveryKeyHasACircuitOfItsOwn) {
    fail(breakers, "a");
    fail(breakers, "b");
    fail(breakers, "a");

    EXPECT_EQ(breakers.state("a"), CircuitState::open);
    EXPECT_EQ(breakers.state("b"), CircuitState::closed);
    EXPECT_EQ(breakers.state("c"), CircuitState::closed);
    EXPECT_FALSE(succeed(breakers, "a"));
    EXPECT_TRUE(succeed(breakers, "b"));
    EXPECT_EQ(breakers.get_stats("b").failure_count, 1u);
    EXPECT_EQ(breakers.get_stats("c").window_calls, 0u);
    EXPECT_EQ(breakers.get_stats("c").success_rate, 1.0);
}

TEST_F(KeyedCircuitBreakersTest, AKeyOfWhichNothingBadIsKnownCostsNothing) {
    const auto empty = account.used();
    for (int i = 0; i < 10'000; ++i) succeed(breakers, std::to_string(i));
    breakers.try_acquire("ignored")->ignore();
    breakers.try_acquire("ignored")->failure(bad_request);
    static_cast<void>(breakers.try_acquire("abandoned"));
    EXPECT_EQ(account.used(), empty);
    EXPECT_EQ(breakers.get_stats().keys, 0u);

    fail(breakers, "a");
    EXPECT_EQ(breakers.get_stats().keys, 1u);
    EXPECT_GT(account.used(), empty);
    EXPECT_LT(account.used(), empty + 2048);
}

TEST_F(KeyedCircuitBreakersTest, NorDoManyKeysWhenNothingBadIsKnownOfThemAnyMore) {
    Breakers many{"many", {.breaker = {.failure_threshold = 2}, .max_keys = 10'000}, nullptr, time, {}, account};
    const auto empty = account.used();
    for (int i = 0; i < 10'000; ++i) fail(many, std::to_string(i));
    const auto full = account.used() - empty;
    for (int i = 0; i < 10'000; ++i) many.reset(std::to_string(i));

    EXPECT_EQ(many.get_stats().keys, 0u);
    EXPECT_LT(account.used() - empty, full / 200) << "a few buckets of each shard stay";
    fail(many, "a");
    fail(many, "a");
    EXPECT_EQ(many.state("a"), CircuitState::open);
}

TEST_F(KeyedCircuitBreakersTest, CountsCallsThatSayNothingByTheirClass) {
    breakers.try_acquire("a")->ignore();
    breakers.try_acquire("b")->failure(bad_request);
    for (int i = 0; i < 3; ++i) breakers.try_acquire("c")->failure(Errc::bulkhead_full);
    for (int i = 0; i < 4; ++i) breakers.try_acquire("d")->failure(Errc::cancelled);
    static_cast<void>(breakers.try_acquire("e"));

    const auto stats = breakers.get_stats();
    EXPECT_EQ(stats.ignored, 2u);
    EXPECT_EQ(stats.throttled, 3u);
    EXPECT_EQ(stats.cancelled, 5u);
}

TEST_F(KeyedCircuitBreakersTest, AnEntryGoesWhenNothingBadIsLeftInItsWindow) {
    fail(breakers, "a");
    for (int i = 0; i < 4; ++i) succeed(breakers, "a");
    EXPECT_EQ(breakers.get_stats().keys, 1u);
    EXPECT_EQ(breakers.get_stats("a").window_calls, 5u);

    succeed(breakers, "a"); // the failure has left

    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_EQ(breakers.get_stats("a").window_calls, 0u);
    EXPECT_EQ(breakers.get_stats().evicted, 0u) << "not for another";
}

TEST_F(KeyedCircuitBreakersTest, ASlowCallMakesAnEntryToo) {
    Breakers watched{"shops", {.breaker = {.slow_call_threshold = 1s}}, nullptr, time};
    auto slow = watched.try_acquire("slow"), fast = watched.try_acquire("fast");
    time.advance(999ms);
    fast->success();
    time.advance(1ms);
    slow->success();

    EXPECT_EQ(watched.get_stats("slow").slow_count, 1u);
    EXPECT_EQ(watched.get_stats().keys, 1u);
}

TEST_F(KeyedCircuitBreakersTest, AWindowOfTimeEmptiesWithTime) {
    Breakers timed{"shops", {.breaker = {.sliding_window_duration = 10s}}, nullptr, time};
    fail(timed, "a");
    time.advance(10s);
    EXPECT_EQ(timed.get_stats("a").failure_count, 0u);

    succeed(timed, "a");

    EXPECT_EQ(timed.get_stats().keys, 0u);
}

TEST_F(KeyedCircuitBreakersTest, ProbesCloseACircuitAndItsEntryGoes) {
    fail(breakers, "a");
    fail(breakers, "a");
    EXPECT_EQ(breakers.try_acquire("a").error().retry_after(), 10s);
    EXPECT_EQ(breakers.get_stats().not_closed, 1u);
    time.advance(10s);
    EXPECT_EQ(breakers.state("a"), CircuitState::half_open);

    auto probe = breakers.try_acquire("a");
    EXPECT_FALSE(breakers.try_acquire("a"));
    probe->success();

    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
    const auto stats = breakers.get_stats();
    EXPECT_EQ(stats.keys, 0u);
    EXPECT_EQ(stats.not_closed, 0u);
    EXPECT_EQ(stats.opened_count, 1u);
    EXPECT_EQ(stats.rejected, 2u);
}

TEST_F(KeyedCircuitBreakersTest, AnAbandonedProbeGivesItsPermitBack) {
    fail(breakers, "a");
    fail(breakers, "a");
    time.advance(10s);
    static_cast<void>(breakers.try_acquire("a"));

    EXPECT_TRUE(succeed(breakers, "a"));
    EXPECT_EQ(breakers.get_stats().cancelled, 1u);
}

TEST_F(KeyedCircuitBreakersTest, CallsThatBeganBeforeTheTripAreNotJudgedWhateverBecameOfTheEntry) {
    auto early = breakers.try_acquire("a"), earlier = breakers.try_acquire("a"), earliest = breakers.try_acquire("a");
    fail(breakers, "a");
    fail(breakers, "a");
    early->failure(network); // open
    EXPECT_EQ(breakers.get_stats().late_results, 1u);

    time.advance(10s);
    succeed(breakers, "a"); // closed, the entry has gone
    earlier->failure(network);
    EXPECT_EQ(breakers.get_stats().late_results, 2u);
    EXPECT_EQ(breakers.get_stats().keys, 0u);

    fail(breakers, "a"); // has a new entry
    earliest->failure(network);
    EXPECT_EQ(breakers.get_stats().late_results, 3u);
    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
}

TEST_F(KeyedCircuitBreakersTest, AProbeWhoseEntryHasGoneIsLateHoweverItEnds) {
    const auto probe_without_entry = [this] {
        fail(breakers, "a");
        fail(breakers, "a");
        time.advance(10s);
        auto probe = breakers.try_acquire("a");
        breakers.reset("a");
        return probe;
    };

    probe_without_entry()->success();
    EXPECT_EQ(breakers.get_stats().late_results, 1u);
    probe_without_entry()->failure(network);
    EXPECT_EQ(breakers.get_stats().late_results, 2u);
    probe_without_entry()->ignore();
    EXPECT_EQ(breakers.get_stats().late_results, 2u) << "says nothing anyhow";
    EXPECT_EQ(breakers.get_stats().keys, 0u);
}

TEST_F(KeyedCircuitBreakersTest, CallsOfAClosedCircuitAreJudgedAlsoIfItsEntryCameOrWentMeanwhile) {
    auto out = breakers.try_acquire("a");
    fail(breakers, "a");
    out->failure(network);
    EXPECT_EQ(breakers.state("a"), CircuitState::open) << "it began when the key had no entry, and was closed";

    time.advance(10s);
    succeed(breakers, "a");
    fail(breakers, "a");
    auto again = breakers.try_acquire("a"); // of an entry
    for (int i = 0; i < 5; ++i) succeed(breakers, "a");
    ASSERT_EQ(breakers.get_stats().keys, 0u);
    again->failure(network);
    EXPECT_EQ(breakers.get_stats("a").failure_count, 1u);
    EXPECT_EQ(breakers.get_stats().late_results, 0u);
}

TEST_F(KeyedCircuitBreakersTest, ResetClosesAndForgets) {
    auto out = breakers.try_acquire("a");
    fail(breakers, "a");
    fail(breakers, "a");

    breakers.reset("a");
    breakers.reset("unknown");
    out->failure(network);

    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_EQ(breakers.get_stats().late_results, 1u);
    EXPECT_EQ(observer->transitions().back().to, CircuitState::closed);
}

// Full

class FullKeyedBreakersTest : public KeyedCircuitBreakersTest {
  protected:
    Breakers few{"few",
                 {.breaker = {.failure_threshold = 2, .timeout = 10s, .sliding_window_duration = 10s}, .max_keys = 2},
                 nullptr,
                 time};
};

TEST_F(FullKeyedBreakersTest, APristineEntryMakesPlaceForAnother) {
    fail(few, "a");
    time.advance(9s);
    fail(few, "b");
    time.advance(1s); // nothing bad is left of a

    fail(few, "c");

    EXPECT_EQ(few.get_stats().keys, 2u);
    EXPECT_EQ(few.get_stats().evicted, 1u);
    EXPECT_EQ(few.get_stats("a").failure_count, 0u);
    EXPECT_EQ(few.get_stats("b").failure_count, 1u);
    EXPECT_EQ(few.get_stats("c").failure_count, 1u);
}

TEST_F(FullKeyedBreakersTest, OpenCircuitsAndFailuresInTheWindowAreNeverGivenUpAndTheLossIsCounted) {
    fail(few, "open");
    fail(few, "open");
    fail(few, "failing");
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(fail(few, "another"));

    EXPECT_EQ(few.state("open"), CircuitState::open);
    EXPECT_EQ(few.get_stats("failing").failure_count, 1u);
    EXPECT_EQ(few.state("another"), CircuitState::closed);
    EXPECT_EQ(few.get_stats().untracked, 10u);
    EXPECT_EQ(few.get_stats().evicted, 0u);

    time.advance(1000s); // the open one is waited out, which is not closed
    fail(few, "another");
    EXPECT_EQ(few.get_stats("another").failure_count, 1u) << "in place of the one that was failing";
    EXPECT_EQ(few.state("open"), CircuitState::half_open);
}

TEST_F(FullKeyedBreakersTest, WhereTheAccountRefusesAnEntryTheLossIsCountedToo) {
    const MemoryAccount small{"small", 4000};
    Breakers poor{"poor", {.breaker = {.failure_threshold = 2}, .max_keys = 64}, nullptr, time, {}, small};
    int key = 0;
    while (poor.get_stats().untracked == 0 && key < 100) fail(poor, std::to_string(key++));

    EXPECT_EQ(poor.get_stats().untracked, 1u);
    EXPECT_EQ(poor.get_stats().keys + 1, static_cast<std::size_t>(key));
    EXPECT_LE(small.used(), 4000u);
    fail(poor, "0");
    EXPECT_EQ(poor.state("0"), CircuitState::open) << "those that have one go on";
}

TEST_F(KeyedCircuitBreakersTest, GivesAllMemoryBack) {
    const MemoryAccount own{"own"};
    {
        Breakers many{"many", {.max_keys = 1000}, nullptr, time, {}, own};
        for (int i = 0; i < 1000; ++i) fail(many, std::to_string(i));
        EXPECT_GT(own.used(), 500'000u);
    }
    EXPECT_EQ(own.used(), 0u);
}

// Around a call

TEST_F(KeyedCircuitBreakersTest, ExecuteRunsAndJudgesAndRefuses) {
    testing::ScriptedOperation<int> operation{time};
    operation.returns(7).fails(network).fails(network);

    EXPECT_EQ(run(io, time, breakers.execute("a", operation)).value(), 7);
    EXPECT_EQ(run(io, time, breakers.execute("a", operation)).error(), Errc::connect_failed);
    EXPECT_EQ(run(io, time, breakers.execute("a", operation)).error(), Errc::connect_failed);
    const auto refused = run(io, time, breakers.execute("a", operation));

    EXPECT_EQ(operation.calls(), 3u);
    EXPECT_EQ(refused.error(), CircuitBreakerError::open);
    EXPECT_EQ(refused.error().retry_after(), 10s);
    EXPECT_THAT(refused.error().message(), HasSubstr("shops"));
    EXPECT_EQ(observer->count("call_rejected"), 1u);
}

TEST_F(KeyedCircuitBreakersTest, TheBreakerOfAKeyIsAPolicyOfAPipeline) {
    RetryExecutor retry{RetryConfig{.max_retries = 1, .backoff_strategy = FixedInterval{1ms}}, nullptr, time};
    auto breaker = breakers.of("a");
    Pipeline guarded{retry, breaker};
    testing::ScriptedOperation<int> operation{time};
    operation.fails(network).fails(network);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).error(), Errc::retries_exhausted);

    EXPECT_EQ(breaker.state(), CircuitState::open);
    EXPECT_EQ(breaker.get_stats().failure_count, 2u);
}

TEST_F(KeyedCircuitBreakersTest, ACancelledProbeGivesItsPermitBack) {
    fail(breakers, "a");
    fail(breakers, "a");
    time.advance(10s);
    testing::ScriptedOperation<int> operation{time};
    operation.takes(1h).returns(1).returns(2);
    auto probe = testing::start(io, breakers.execute("a", operation));
    ASSERT_FALSE(breakers.try_acquire("a"));

    probe.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();

    EXPECT_EQ(probe.value().error(), ErrorType::cancelled);
    EXPECT_EQ(run(io, time, breakers.execute("a", operation)).value(), 2);
    EXPECT_EQ(breakers.state("a"), CircuitState::closed);
}

TEST_F(KeyedCircuitBreakersTest, AProbeWhoseFrameIsDestroyedGivesItsPermitBack) {
    fail(breakers, "a");
    fail(breakers, "a");
    time.advance(10s);
    testing::ScriptedOperation<int> operation{time};
    operation.takes(1h).returns(1);
    {
        asio::io_context other;
        auto abandoned = testing::start(other, breakers.execute("a", operation));
        ASSERT_FALSE(breakers.try_acquire("a"));
    }

    EXPECT_TRUE(succeed(breakers, "a"));
}

TEST_F(KeyedCircuitBreakersTest, TellsOfEveryChangeWithItsKeyAndUnderNoLock) {
    std::vector<std::string> told;
    breakers.on_state_change([&](const CircuitStateChanged& change) {
        told.push_back(std::string{change.breaker} + " " + std::string{to_string(change.to)});
        EXPECT_EQ(breakers.state("other"), CircuitState::closed);
        fail(breakers, "a"); // the same shard
    });
    fail(breakers, "a");
    fail(breakers, "a");
    time.advance(10s);
    succeed(breakers, "a");

    EXPECT_THAT(told, ElementsAre("shops/a open", "shops/a half_open", "shops/a closed"));
    EXPECT_EQ(observer->transitions().size(), 3u);
}

TEST_F(KeyedCircuitBreakersTest, KeysMayBeNumbersAndConfigsAreChecked) {
    KeyedCircuitBreakers<int> numbers{"numbers", {.breaker = {.failure_threshold = 1}}};
    std::string told;
    numbers.on_state_change([&](const CircuitStateChanged& change) { told = change.breaker; });
    fail(numbers, 4711);
    EXPECT_EQ(told, "numbers/4711");
    EXPECT_EQ(numbers.state(4711), CircuitState::open);
    EXPECT_EQ(numbers.config().max_keys, 100'000u);

    try {
        KeyedCircuitBreakers<int> unusable{"unusable", {.breaker = {.failure_threshold = 0}, .max_keys = 0}};
        FAIL() << "no exception";
    } catch (const std::invalid_argument& problems) {
        EXPECT_THAT(problems.what(), HasSubstr("breaker.failure_threshold = 0"));
        EXPECT_THAT(problems.what(), HasSubstr("max_keys = 0: must be 1 to 10000000"));
    }
}

// A breaker for each key in plain containers, from the first call on: what entries that come and go must not show.
TEST_F(KeyedCircuitBreakersTest, JudgesAsABreakerForEachKeyWouldThatForgetsAWindowWithNothingBad) {
    constexpr int keys = 40;
    const CircuitBreakerConfig config{
        .failure_threshold = 3, .success_threshold = 2, .timeout = 10s, .sliding_window_size = 8};
    KeyedCircuitBreakers<int, testing::ManualTime> many{"many", {.breaker = config, .max_keys = keys}, nullptr, time};
    std::map<int, std::unique_ptr<CircuitBreaker<testing::ManualTime>>> reference;
    for (int key = 0; key < keys; ++key)
        reference[key] = std::make_unique<CircuitBreaker<testing::ManualTime>>(config, nullptr, time);
    std::mt19937_64 random{11};
    for (int i = 0; i < 100'000; ++i) {
        const int key = static_cast<int>(random() % keys);
        auto permit = many.try_acquire(key);
        auto expected = reference[key]->try_acquire();
        ASSERT_EQ(permit.has_value(), expected.has_value()) << i;
        if (permit) {
            if (random() % 4 == 0) {
                permit->failure(network);
                expected->failure(network);
            } else {
                permit->success();
                expected->success();
            }
        }
        ASSERT_EQ(many.state(key), reference[key]->state()) << i;
        if (many.state(key) == CircuitState::closed) {
            ASSERT_EQ(many.get_stats(key).failure_count, reference[key]->get_stats().failure_count);
        }
        if (random() % 50 == 0) time.advance(Duration{random() % 5'000'000'000});
    }
    EXPECT_EQ(many.get_stats().untracked, 0u);
    EXPECT_GT(many.get_stats().opened_count, 1000u);
}

} // namespace
} // namespace velostream::keyed_circuit_breakers_test
