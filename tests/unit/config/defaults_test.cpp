// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

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
    EXPECT_EQ(breaker.failure_rate_threshold, std::nullopt);
}

TEST(Defaults, RetryIsThreeExtraTriesWithDoublingDelays) {
    const RetryConfig retry;
    EXPECT_EQ(retry.max_retries, 3U);
    const auto& backoff = std::get<ExponentialBackoff>(retry.backoff_strategy);
    EXPECT_EQ(backoff.initial_delay, 100ms);
    EXPECT_EQ(backoff.max_delay, 30s);
    EXPECT_EQ(backoff.multiplier, 2.0);
    EXPECT_EQ(retry.jitter, Jitter::none);
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
