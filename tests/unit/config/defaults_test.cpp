// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "velostream/config/hedge_config.hpp"
#include "velostream/config/keyed_circuit_breakers_config.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/config/validate.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

TEST(Defaults, LimitsAreThoseOfTheGuide) {
    const ResourceLimitsConfig limits;
    EXPECT_EQ(limits.max_concurrent_queries, 100U);
    EXPECT_EQ(limits.max_window_buffer_size, 1'000'000U);
    EXPECT_EQ(limits.max_aggregation_groups, 50'000U);
    EXPECT_EQ(limits.connection_pool_size, 20U);
    EXPECT_EQ(limits.memory_pressure_threshold, 0.8);
}

TEST(Defaults, BreakerHasNoSlowRuleAndNoMinimumUntilAsked) {
    const CircuitBreakerConfig breaker;
    EXPECT_EQ(breaker.failure_threshold, 5U);
    EXPECT_EQ(breaker.success_threshold, 3U);
    EXPECT_EQ(breaker.timeout, 60s);
    EXPECT_EQ(breaker.sliding_window_size, 100U);
    EXPECT_EQ(breaker.minimum_throughput, std::nullopt);
    EXPECT_EQ(breaker.slow_call_threshold, std::nullopt);
    EXPECT_EQ(breaker.slow_call_rate_threshold, 0.5);
    EXPECT_EQ(breaker.slow_call_minimum_throughput, std::nullopt);
    EXPECT_EQ(breaker.failure_rate_threshold, std::nullopt);
}

TEST(Defaults, ABreakerJudgesANumberOfCallsUntilATimeIsSet) {
    const CircuitBreakerConfig breaker;
    EXPECT_EQ(breaker.sliding_window_duration, std::nullopt);
    EXPECT_EQ(breaker.sliding_window_buckets, 10U);
}

TEST(Defaults, EveryOpenWaitOfABreakerIsItsTimeout) {
    const CircuitBreakerConfig breaker;
    EXPECT_EQ(breaker.timeout_multiplier, 1.0);
    EXPECT_EQ(breaker.max_timeout, std::nullopt);
    EXPECT_EQ(breaker.timeout_jitter, 0.0);
}

TEST(Defaults, RetryIsThreeExtraTriesWithDoublingDelays) {
    const RetryConfig retry;
    EXPECT_EQ(retry.max_retries, 3U);
    const auto& backoff = std::get<ExponentialBackoff>(retry.backoff_strategy);
    EXPECT_EQ(backoff.initial_delay, 100ms);
    EXPECT_EQ(backoff.max_delay, 30s);
    EXPECT_EQ(backoff.multiplier, 2.0);
    EXPECT_EQ(retry.jitter, Jitter::none);
    EXPECT_EQ(retry.attempt_timeout, std::nullopt);
    EXPECT_FALSE(retry.budget);
}

TEST(Defaults, ARetryBudgetIsATenthOfTheCallsAndOneASecond) {
    const RetryBudgetConfig budget;
    EXPECT_EQ(budget.ratio, 0.1);
    EXPECT_EQ(budget.reserve_per_second, 1.0);
    EXPECT_EQ(budget.window, 10s);
}

TEST(Defaults, PoolKeepsFiveIdleOrFewerWhereItIsSmaller) {
    const ConnectionPoolConfig pool;
    EXPECT_EQ(pool.max_size, 20U);
    EXPECT_EQ(pool.effective_min_idle(), 5U);
    EXPECT_EQ(pool.connection_timeout, 30s);
    EXPECT_EQ(pool.idle_timeout, 600s);
    EXPECT_EQ(pool.max_lifetime, 3600s);

    const ConnectionPoolConfig small{.max_size = 2};
    EXPECT_EQ(small.effective_min_idle(), 2U);
    EXPECT_TRUE(validate(small).empty());
}

TEST(Defaults, AnAdaptiveLimitBeginsSmallAndIsUsable) {
    const AdaptiveLimitConfig limit;
    EXPECT_EQ(limit.initial_limit, 20U);
    EXPECT_EQ(limit.min_limit, 1U);
    EXPECT_EQ(limit.max_limit, 200U);
    EXPECT_EQ(limit.window, 100U);
    EXPECT_EQ(limit.tolerance, 1.5);
    EXPECT_EQ(limit.smoothing, 0.2);
    EXPECT_EQ(limit.drop_backoff, 0.9);
    EXPECT_EQ(limit.tolerated_drop_rate, 0.01);
    EXPECT_EQ(limit.remeasure_every, 100U);
    EXPECT_EQ(limit.max_waiting, 0U);
    EXPECT_EQ(limit.max_wait, std::nullopt);
    EXPECT_TRUE(validate(limit).empty());
}

TEST(Defaults, BulkheadAndRateLimiterRefuseAtOnceUntilALineIsAskedFor) {
    const BulkheadConfig bulkhead;
    EXPECT_EQ(bulkhead.max_concurrent, 25U);
    EXPECT_EQ(bulkhead.max_waiting, 0U);
    EXPECT_EQ(bulkhead.max_wait, std::nullopt);
    EXPECT_TRUE(validate(bulkhead).empty());

    const RateLimiterConfig limiter;
    EXPECT_EQ(limiter.permits, 100U);
    EXPECT_EQ(limiter.period, 1s);
    EXPECT_EQ(limiter.rate().effective_burst(), 100U);
    EXPECT_EQ(limiter.max_waiting, 0U);
    EXPECT_EQ(limiter.max_wait, std::nullopt);
    EXPECT_TRUE(validate(limiter).empty());
}

TEST(Defaults, AHedgeIsOneMoreAttemptAfterATenthOfASecond) {
    const HedgeConfig hedge;
    EXPECT_EQ(hedge.delay, 100ms);
    EXPECT_EQ(hedge.max_hedges, 1U);
    EXPECT_TRUE(validate(hedge).empty());
}

TEST(Defaults, KeyedBreakersKnowAHundredThousandKeys) {
    const KeyedCircuitBreakersConfig breakers;
    EXPECT_EQ(breakers.max_keys, 100'000U);
    EXPECT_EQ(breakers.breaker.failure_threshold, CircuitBreakerConfig{}.failure_threshold);
    EXPECT_TRUE(validate(breakers).empty());
}

TEST(Defaults, KafkaPoolHasOneProducerAndDeadLettersStaySevenDays) {
    const KafkaPoolConfig pool;
    EXPECT_EQ(pool.producer_pool_size, 1U);
    EXPECT_EQ(pool.connection_retry_attempts, 3U);
    EXPECT_EQ(pool.connection_backoff, 500ms);

    const DeadLetterQueueConfig dead_letters;
    EXPECT_EQ(dead_letters.topic, "failed-records");
    EXPECT_EQ(dead_letters.max_retries, 3U);
    EXPECT_EQ(dead_letters.retry_delay, 60s);
    EXPECT_EQ(dead_letters.retention_period, 168h);
    EXPECT_TRUE(dead_letters.include_original_record && dead_letters.include_error_details &&
                dead_letters.include_stack_trace);
    EXPECT_TRUE(dead_letters.header_families.connect);
    EXPECT_FALSE(dead_letters.header_families.spring || dead_letters.header_families.streams);
    EXPECT_EQ(dead_letters.max_record_size, 1'000'000U);
}

TEST(StreamingConfig, TheLimitsInForceAreThoseGivenOrElseTheDefaults) {
    const StreamingConfig plain;
    const StreamingConfig given{.resource_limits = ResourceLimitsConfig{.max_concurrent_queries = 7}};

    EXPECT_EQ(plain.effective_limits().max_concurrent_queries, 100U);
    EXPECT_EQ(given.effective_limits().max_concurrent_queries, 7U);
    EXPECT_EQ(given.effective_limits().connection_pool_size, 20U);
}

TEST(StreamingConfig, PoolSizeFallsBackToTheResourceLimit) {
    const StreamingConfig config{.resource_limits = ResourceLimitsConfig{.connection_pool_size = 7},
                                 .connection_pool = ConnectionPoolConfig{.connection_timeout = 1s}};
    EXPECT_EQ(config.effective_connection_pool().max_size, 7U);
    EXPECT_EQ(config.effective_connection_pool().connection_timeout, 1s);

    const StreamingConfig chosen{.resource_limits = ResourceLimitsConfig{.connection_pool_size = 7},
                                 .connection_pool = ConnectionPoolConfig{.max_size = 20}};
    EXPECT_EQ(chosen.effective_connection_pool().max_size, 20U);
}

TEST(BackoffStrategy, IsWrittenWithOrWithoutItsScope) {
    const RetryConfig scoped{.backoff_strategy = BackoffStrategy::FixedInterval{.interval = 2s}};
    const RetryConfig plain{.backoff_strategy = LinearBackoff{.increment = 3ms}};
    EXPECT_EQ(std::get<FixedInterval>(scoped.backoff_strategy).interval, 2s);
    EXPECT_EQ(std::get<LinearBackoff>(plain.backoff_strategy).increment, 3ms);
}

} // namespace
} // namespace velostream
