// SPDX-License-Identifier: Apache-2.0
#include "velostream/circuit_breaker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <stdexcept>

#include "support/run_coroutine.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::circuit_breaker_test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const Error network = Errc::connect_failed;
const Error bad_request = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);

class CircuitBreakerTest : public ::testing::Test {
  protected:
    using Breaker = CircuitBreaker<testing::ManualTime>;

    void open(Breaker& which) {
        while (which.state() == CircuitState::closed) which.try_acquire()->failure(network);
    }

    asio::io_context io;
    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    Breaker breaker{"orders", {.failure_threshold = 2, .success_threshold = 2, .timeout = 10s}, observer, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(CircuitBreakerTest, IsMadeFromAConfigWithOrWithoutAName) {
    const CircuitBreakerConfig config;
    CircuitBreaker unnamed{config};
    CircuitBreaker named{"orders-db", config};
    CircuitBreaker inline_config{"orders-db", {.failure_threshold = 7}};
    CircuitBreaker observed{config, observer};

    EXPECT_EQ(unnamed.name(), "circuit-breaker");
    EXPECT_EQ(named.name(), "orders-db");
    EXPECT_EQ(inline_config.config().failure_threshold, 7u);
    EXPECT_EQ(observed.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerTest, RefusesAnUnusableConfigAndNamesEveryProblem) {
    try {
        CircuitBreaker unusable{CircuitBreakerConfig{.failure_threshold = 0, .timeout = 0s}};
        FAIL() << "no exception";
    } catch (const std::invalid_argument& problems) {
        EXPECT_THAT(problems.what(), HasSubstr("failure_threshold"));
        EXPECT_THAT(problems.what(), HasSubstr("timeout"));
    }
}

// execute

TEST_F(CircuitBreakerTest, ReturnsWhatTheOperationReturns) {
    const auto plain = []() -> asio::awaitable<int> { co_return 1; };
    const auto with_result = []() -> asio::awaitable<Result<int>> { co_return 2; };
    const auto with_context = [](CallContext& call) -> asio::awaitable<int> {
        co_return static_cast<int>(call.attempt());
    };
    bool called = false;
    const auto returns_nothing = [&called]() -> asio::awaitable<void> {
        called = true;
        co_return;
    };

    EXPECT_EQ(run(io, time, breaker.execute(plain)).value(), 1);
    EXPECT_EQ(run(io, time, breaker.execute(with_result)).value(), 2);
    EXPECT_EQ(run(io, time, breaker.execute(with_context)).value(), 1);
    EXPECT_TRUE(run(io, time, breaker.execute(returns_nothing)).has_value());
    EXPECT_TRUE(called);
    EXPECT_EQ(breaker.get_stats().window_calls, 4u);
}

TEST_F(CircuitBreakerTest, MakesAnErrorOfAnExceptionAndKeepsItsType) {
    operation.throws(std::out_of_range{"row 7"});

    const auto result = run(io, time, breaker.execute(operation));

    EXPECT_EQ(result.error(), Errc::operation_failed);
    EXPECT_EQ(result.error(), CircuitBreakerError::operation_failed);
    EXPECT_EQ(result.error().detail(), "row 7");
    EXPECT_THROW(result.value(), std::out_of_range);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

TEST_F(CircuitBreakerTest, RefusesWithoutCallingWhileItIsOpen) {
    open(breaker);
    time.advance(4s);
    operation.returns(1);

    const auto result = run(io, time, breaker.execute(operation));

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(result.error(), Errc::circuit_open);
    EXPECT_EQ(result.error(), CircuitBreakerError::open);
    EXPECT_EQ(result.error(), ErrorType::resource_exhausted);
    EXPECT_FALSE(result.error().blames_record());
    EXPECT_EQ(result.error().retry_after(), 6s);
    EXPECT_THAT(result.error().message(), HasSubstr("orders"));
    EXPECT_EQ(observer->count("call_rejected"), 1u);
    EXPECT_EQ(breaker.get_stats().rejected, 1u);
}

TEST_F(CircuitBreakerTest, SaysHowLongItStaysOpenToTheEnd) {
    open(breaker);
    time.advance(10s - 1ns);

    EXPECT_EQ(breaker.try_acquire().error().retry_after(), 1ns);
    EXPECT_EQ(testing::run(io, time, breaker.execute(operation)).error().retry_after(), 1ns);
}

TEST_F(CircuitBreakerTest, ClosesAfterSuccessfulProbes) {
    open(breaker);
    time.advance(10s);
    operation.returns(1);

    EXPECT_TRUE(run(io, time, breaker.execute(operation)));
    EXPECT_EQ(breaker.state(), CircuitState::half_open);
    EXPECT_TRUE(run(io, time, breaker.execute(operation)));

    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerTest, MeasuresHowLongCallsTake) {
    CircuitBreaker watched{"slow", {.slow_call_threshold = 2s}, nullptr, time};
    operation.takes(2s).returns(1).takes(2s - 1ns).returns(1);

    run(io, time, watched.execute(operation));
    run(io, time, watched.execute(operation));

    EXPECT_EQ(watched.get_stats().slow_count, 1u);
}

// Outcomes

TEST_F(CircuitBreakerTest, CountsOutcomesByTheirClass) {
    operation.fails(asio::error::operation_aborted).fails(bad_request).fails(Errc::bulkhead_full).fails(network);
    operation.returns(1);
    for (int i = 0; i < 5; ++i) run(io, time, breaker.execute(operation));

    const auto stats = breaker.get_stats();
    EXPECT_EQ(stats.cancelled, 1u);
    EXPECT_EQ(stats.ignored, 1u);
    EXPECT_EQ(stats.throttled, 1u);
    EXPECT_EQ(stats.failure_count, 1u);
    EXPECT_EQ(stats.window_calls, 2u) << "a failure and a success";
    EXPECT_EQ(stats.success_rate, 0.5);
}

TEST_F(CircuitBreakerTest, AsksPredicatesInTheirOrder) {
    const auto yes = [](const Error&) { return true; };
    const auto no = [](const Error&) { return false; };
    const auto counted_as = [&](CallClassifier classifier, const Error& error) { return classifier.classify(error); };

    EXPECT_EQ(counted_as({.ignored = yes, .throttled = yes, .failure = yes}, network), CallOutcomeKind::ignored);
    EXPECT_EQ(counted_as({.ignored = no, .throttled = yes, .failure = yes}, network), CallOutcomeKind::throttled);
    EXPECT_EQ(counted_as({.ignored = no, .throttled = no, .failure = yes}, network), CallOutcomeKind::failure);
    EXPECT_EQ(counted_as({.ignored = no, .throttled = no, .failure = no}, network), CallOutcomeKind::success);
    EXPECT_EQ(counted_as({.ignored = yes}, Errc::cancelled), CallOutcomeKind::cancelled) << "before all predicates";
    EXPECT_EQ(counted_as({.ignored = no}, bad_request), CallOutcomeKind::failure) << "instead of the default";
}

TEST_F(CircuitBreakerTest, APredicateThatThrowsMakesTheCallAFailure) {
    const auto throws = [](const Error&) -> bool { throw std::runtime_error{"broken predicate"}; };
    CircuitBreaker picky{"picky", {}, nullptr, time, {.ignored = throws}};

    picky.try_acquire()->failure(bad_request);

    EXPECT_EQ(picky.get_stats().failure_count, 1u);
}

TEST_F(CircuitBreakerTest, StaysOpenForAsLongAsTheServiceAskedFor) {
    breaker.try_acquire()->failure(network);
    breaker.try_acquire()->failure(Error{Errc::connect_failed}.with_retry_after(30s));

    EXPECT_EQ(breaker.try_acquire().error().retry_after(), 30s);
    time.advance(30s);
    ASSERT_TRUE(breaker.try_acquire());
    EXPECT_EQ(observer->transitions().back().why, "waited 30 s, probing");
}

TEST_F(CircuitBreakerTest, AFirstProbeThatComesLateSaysHowLongTheCircuitHasBeenOpen) {
    open(breaker);
    time.advance(1h);

    ASSERT_TRUE(breaker.try_acquire());

    EXPECT_EQ(observer->transitions().back().why, "waited 3600 s, probing");
}

TEST_F(CircuitBreakerTest, JitterIsThatOfItsSeed) {
    const CircuitBreakerConfig config{.failure_threshold = 1, .timeout = 10s, .timeout_jitter = 1.0};
    const auto waits = [&](std::uint64_t seed) {
        Breaker jittered{"jittered", config, nullptr, time, {}, {}, seed};
        jittered.try_acquire()->failure(network);
        return *jittered.try_acquire().error().retry_after();
    };

    EXPECT_EQ(waits(1), waits(1));
    EXPECT_NE(waits(1), waits(2));
    EXPECT_GE(waits(1), 10s);
    EXPECT_LE(waits(1), 20s);
}

TEST_F(CircuitBreakerTest, BreakersWithoutASeedHaveAJitterOfTheirOwn) {
    const CircuitBreakerConfig config{.failure_threshold = 1, .timeout = 1h, .timeout_jitter = 1.0};
    Breaker first{"first", config, nullptr, time}, second{"second", config, nullptr, time};
    first.try_acquire()->failure(network);
    second.try_acquire()->failure(network);

    EXPECT_NE(first.try_acquire().error().retry_after(), second.try_acquire().error().retry_after());
}

// Permits

TEST_F(CircuitBreakerTest, APermitSaysHowItsCallWent) {
    breaker.try_acquire()->success();
    breaker.try_acquire()->failure(network);
    breaker.try_acquire()->ignore();

    const auto stats = breaker.get_stats();
    EXPECT_EQ(stats.window_calls, 2u);
    EXPECT_EQ(stats.failure_count, 1u);
    EXPECT_EQ(stats.ignored, 1u);
}

TEST_F(CircuitBreakerTest, OnlyTheFirstWordOfAPermitCounts) {
    auto permit = breaker.try_acquire();
    permit->success();
    permit->failure(network);
    permit->ignore();

    EXPECT_EQ(breaker.get_stats().window_calls, 1u);
    EXPECT_EQ(breaker.get_stats().failure_count, 0u);
    EXPECT_EQ(breaker.get_stats().ignored, 0u);
}

TEST_F(CircuitBreakerTest, AnAbandonedProbeReturnsItsPermit) {
    open(breaker);
    time.advance(10s);
    {
        const auto first = breaker.try_acquire(), second = breaker.try_acquire();
        ASSERT_TRUE(first && second);
        ASSERT_FALSE(breaker.try_acquire());
    }

    EXPECT_TRUE(breaker.try_acquire());
    EXPECT_EQ(breaker.state(), CircuitState::half_open);
}

TEST_F(CircuitBreakerTest, AMovedPermitCountsOnce) {
    open(breaker);
    time.advance(10s);
    auto first = *breaker.try_acquire();
    auto second = std::move(first);
    first = *breaker.try_acquire();
    ASSERT_FALSE(breaker.try_acquire());

    first = std::move(second); // returns the permit that it held

    EXPECT_TRUE(breaker.try_acquire());
    first.success();
    EXPECT_EQ(breaker.get_stats().cancelled, 2u) << "the one that was overwritten and the one just tried";
}

TEST_F(CircuitBreakerTest, APermitThatIsAssignedIsThatOfItsCall) {
    auto permit = breaker.try_acquire();
    open(breaker);
    time.advance(10s);
    *permit = *breaker.try_acquire(); // of a probe
    permit->success();

    EXPECT_EQ(breaker.get_stats().late_results, 0u);
    EXPECT_EQ(breaker.get_stats().cancelled, 1u) << "the first call";
    breaker.try_acquire()->success();
    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerTest, ARefusalBesideProbesThatAreOutDoesNotKnowForHowLong) {
    open(breaker);
    time.advance(10s);
    const auto first = breaker.try_acquire(), second = breaker.try_acquire();

    const auto refused = breaker.try_acquire();

    EXPECT_EQ(refused.error(), Errc::circuit_open);
    EXPECT_EQ(refused.error().retry_after(), std::nullopt);
    EXPECT_EQ(observer->count("call_rejected"), 1u);
}

TEST_F(CircuitBreakerTest, ACallThatBeganBeforeTheTripIsNotJudgedAfterIt) {
    auto before_the_trip = breaker.try_acquire();
    open(breaker);
    time.advance(10s);
    breaker.try_acquire()->success();

    before_the_trip->success();

    EXPECT_EQ(breaker.state(), CircuitState::half_open) << "one of two probes has succeeded";
    EXPECT_EQ(breaker.get_stats().late_results, 1u);
}

// What it tells

TEST_F(CircuitBreakerTest, StartsWithASuccessRateOfOne) {
    const auto stats = breaker.get_stats();

    EXPECT_EQ(stats.state, CircuitState::closed);
    EXPECT_EQ(stats.success_rate, 1.0);
    EXPECT_EQ(stats.window_calls, 0u);
    EXPECT_EQ(stats.window_size, 100u);
    EXPECT_EQ(stats.next_probe_at, std::nullopt);
    EXPECT_EQ(stats.last_transition_at, std::nullopt);
    EXPECT_EQ(breaker.why_open(), std::nullopt);
}

TEST_F(CircuitBreakerTest, StatsGoOnShowingWhatOpenedIt) {
    breaker.try_acquire()->success();
    breaker.try_acquire()->success();
    open(breaker);

    const auto stats = breaker.get_stats();
    EXPECT_EQ(stats.state, CircuitState::open);
    EXPECT_EQ(stats.failure_count, 2u);
    EXPECT_EQ(stats.success_rate, 0.5);
    EXPECT_EQ(stats.opened_count, 1u);
    EXPECT_EQ(stats.next_probe_at, time.now() + 10s);
    EXPECT_EQ(stats.last_opened_at, time.now());
    EXPECT_EQ(stats.last_closed_at, std::nullopt);
}

TEST_F(CircuitBreakerTest, SaysWhyItOpened) {
    breaker.try_acquire()->success();
    open(breaker);

    const auto reason = breaker.why_open();
    ASSERT_TRUE(reason);
    EXPECT_EQ(reason->cause, BreakerCause::failure_count);
    EXPECT_EQ(reason->counts, (OutcomeCounts{3, 2, 0}));
    EXPECT_EQ(reason->at, time.now());
    EXPECT_EQ(reason->last_error, Errc::connect_failed);
    EXPECT_EQ(reason->text, "2 failures in the last 3 calls (threshold 2); last error: connect failed");

    breaker.reset();
    EXPECT_EQ(breaker.why_open(), std::nullopt);
    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerTest, AResetForgetsAnOpeningThatIsToldLaterAndNoneThatComesAfterIt) {
    for (const bool opens_again : {false, true}) {
        CircuitBreaker late{"told late", {.failure_threshold = 1}, nullptr, time};
        late.on_state_change([&](const CircuitStateChanged& change) {
            if (change.to != CircuitState::disabled) return;
            late.force_close(); // told, as the next, when this returns
            late.try_acquire()->failure(network);
            late.reset();
            if (opens_again) late.try_acquire()->failure(Errc::operation_failed);
        });

        late.disable();

        const auto reason = late.why_open();
        ASSERT_EQ(reason.has_value(), opens_again);
        if (opens_again) {
            EXPECT_EQ(reason->last_error, Errc::operation_failed);
        }
    }
}

TEST_F(CircuitBreakerTest, NamesTheRuleThatOpenedIt) {
    CircuitBreaker by_rate{"rate", {.failure_threshold = 100, .failure_rate_threshold = 0.5}, nullptr, time};
    for (int i = 0; i < 10; ++i) by_rate.try_acquire()->failure(network);
    EXPECT_EQ(by_rate.why_open()->text,
              "10 failures in the last 10 calls (threshold rate 0.5); last error: connect failed");

    CircuitBreaker by_slowness{"slow", {.slow_call_threshold = 1s}, nullptr, time};
    for (int i = 0; i < 10; ++i) {
        auto permit = by_slowness.try_acquire();
        time.advance(1s);
        permit->success();
    }
    EXPECT_EQ(by_slowness.why_open()->text, "10 slow calls in the last 10 calls (threshold rate 0.5)");
}

TEST_F(CircuitBreakerTest, PublishesEveryTransitionOnceAndAfterItTookEffect) {
    std::vector<CircuitState> seen_inside;
    breaker.on_state_change([&](const CircuitStateChanged& change) {
        EXPECT_EQ(change.breaker, "orders");
        seen_inside.push_back(breaker.get_stats().state); // also shows that no lock is held
    });
    open(breaker);
    time.advance(10s);
    breaker.try_acquire()->success();
    breaker.try_acquire()->success();

    EXPECT_EQ(seen_inside, (std::vector{CircuitState::open, CircuitState::half_open, CircuitState::closed}));
    const auto transitions = observer->transitions();
    ASSERT_EQ(transitions.size(), 3u);
    EXPECT_EQ(transitions[0].breaker, "orders");
    EXPECT_EQ(transitions[0].from, CircuitState::closed);
    EXPECT_THAT(transitions[0].why, HasSubstr("2 failures"));
    EXPECT_EQ(transitions[1].why, "waited 10 s, probing");
    EXPECT_EQ(transitions[1].at, time.now());
    EXPECT_EQ(transitions[2].why, "2 probes succeeded");
}

TEST_F(CircuitBreakerTest, AnObserverMaySetTheStateItself) {
    breaker.on_state_change([&](const CircuitStateChanged& change) {
        if (change.to == CircuitState::open) breaker.force_open();
    });

    open(breaker);

    EXPECT_EQ(breaker.state(), CircuitState::forced_open);
    ASSERT_EQ(observer->transitions().size(), 2u);
    EXPECT_EQ(observer->transitions()[1].to, CircuitState::forced_open);
}

TEST_F(CircuitBreakerTest, TellsTheObserverThatWasSetLast) {
    auto other = std::make_shared<testing::RecordingObserver>();
    breaker.set_observer(other);
    open(breaker);
    EXPECT_EQ(other->transitions().size(), 1u);
    EXPECT_EQ(observer->transitions().size(), 0u);

    breaker.set_observer(nullptr);
    EXPECT_FALSE(breaker.try_acquire());
    EXPECT_EQ(other->count("call_rejected"), 0u);
}

TEST_F(CircuitBreakerTest, ObeysTheHand) {
    breaker.force_open();
    time.advance(24h);
    EXPECT_EQ(breaker.try_acquire().error(), Errc::circuit_open);
    EXPECT_EQ(breaker.try_acquire().error().retry_after(), std::nullopt);
    EXPECT_EQ(breaker.why_open()->cause, BreakerCause::manual);

    breaker.disable();
    for (int i = 0; i < 5; ++i) breaker.try_acquire()->failure(network);
    EXPECT_EQ(breaker.state(), CircuitState::disabled);

    breaker.metrics_only();
    for (int i = 0; i < 5; ++i) breaker.try_acquire()->failure(network);
    EXPECT_EQ(breaker.state(), CircuitState::metrics_only);
    EXPECT_EQ(breaker.get_stats().failure_count, 5u);

    breaker.force_close();
    EXPECT_EQ(breaker.state(), CircuitState::closed);
    EXPECT_EQ(breaker.get_stats().failure_count, 0u);
}

TEST_F(CircuitBreakerTest, ForceCloseChangesNothingIfItIsClosed) {
    auto out = breaker.try_acquire();
    breaker.try_acquire()->failure(network);

    breaker.force_close();
    out->success();

    EXPECT_EQ(breaker.get_stats().window_calls, 2u);
    EXPECT_TRUE(observer->transitions().empty());
}

TEST_F(CircuitBreakerTest, ForceCloseForgetsTheWindowAndTheCallsThatAreOut) {
    auto out = breaker.try_acquire();
    open(breaker);

    breaker.force_close();
    out->failure(network);

    EXPECT_EQ(breaker.get_stats().window_calls, 0u);
    EXPECT_EQ(breaker.get_stats().late_results, 1u);
    EXPECT_TRUE(breaker.why_open()) << "what opened it last is still worth knowing";
}

TEST_F(CircuitBreakerTest, ResetEmptiesTheWindowOfAClosedCircuitAndKeepsTheTotals) {
    breaker.try_acquire()->failure(bad_request);
    breaker.try_acquire()->failure(network);
    auto out = breaker.try_acquire();

    breaker.reset();
    out->failure(network);

    const auto stats = breaker.get_stats();
    EXPECT_EQ(stats.window_calls, 0u);
    EXPECT_EQ(stats.ignored, 1u);
    EXPECT_EQ(stats.late_results, 1u);
    EXPECT_TRUE(observer->transitions().empty()) << "closed before and after";
}

} // namespace
} // namespace velostream::circuit_breaker_test
