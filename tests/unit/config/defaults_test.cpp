// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "velostream/config/presets.hpp"
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

TEST(Presets, ProductionHasTheGuidesValues) {
    const auto config = presets::production();
    EXPECT_EQ(config.max_memory_mb, 16'384U);
    EXPECT_EQ(config.max_connections, 2'000U);
    EXPECT_EQ(config.resource_limits->max_concurrent_queries, 500U);
    EXPECT_EQ(config.resource_limits->max_window_buffer_size, 10'000'000U);
    EXPECT_EQ(config.resource_limits->max_aggregation_groups, 1'000'000U);
    EXPECT_EQ(config.resource_limits->connection_pool_size, 50U);
    EXPECT_EQ(config.resource_limits->memory_pressure_threshold, 0.75);
    EXPECT_EQ(config.circuit_breaker->failure_threshold, 10U);
    EXPECT_EQ(config.circuit_breaker->success_threshold, 5U);
    EXPECT_EQ(config.circuit_breaker->timeout, 120s);
    EXPECT_EQ(config.circuit_breaker->sliding_window_size, 200U);
    EXPECT_EQ(config.circuit_breaker->minimum_throughput, 20U);
    EXPECT_EQ(config.retry_policy->max_retries, 5U);
    EXPECT_EQ(std::get<ExponentialBackoff>(config.retry_policy->backoff_strategy).max_delay, 60s);
    EXPECT_EQ(config.dead_letter_queue->topic, "production-dlq");
    EXPECT_EQ(config.dead_letter_queue->retry_delay, 5min);
    EXPECT_EQ(config.dead_letter_queue->retention_period, 24h * 30);
}

TEST(Presets, DevelopmentAndDebugHaveTheGuidesValues) {
    const auto development = presets::development();
    EXPECT_EQ(development.max_memory_mb, 1'024U);
    EXPECT_EQ(development.circuit_breaker->failure_threshold, 20U);
    EXPECT_EQ(std::get<FixedInterval>(development.retry_policy->backoff_strategy).interval, 100ms);

    const auto debug = presets::debug();
    EXPECT_TRUE(debug.debug_resource_management && debug.debug_circuit_breakers && debug.debug_retries);
    EXPECT_TRUE(debug.log_resource_allocations && debug.log_circuit_breaker_state_changes && debug.log_retry_attempts);
}

TEST(Presets, AreAllUsable) {
    for (const auto& config : {StreamingConfig{}, presets::production(), presets::development(), presets::debug()})
        EXPECT_NO_THROW(throw_if_any(validate(config)));
}

} // namespace
} // namespace velostream
