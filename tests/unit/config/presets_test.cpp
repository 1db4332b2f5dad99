// SPDX-License-Identifier: Apache-2.0
#include "velostream/config/presets.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <variant>

#include "velostream/config/validate.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

TEST(Presets, ProductionHasTheGuidesLimits) {
    const auto config = presets::production();
    EXPECT_EQ(config.max_memory_mb, 16'384U);
    EXPECT_EQ(config.max_connections, 2'000U);
    ASSERT_TRUE(config.resource_limits);
    EXPECT_EQ(config.resource_limits->max_concurrent_queries, 500U);
    EXPECT_EQ(config.resource_limits->max_window_buffer_size, 10'000'000U);
    EXPECT_EQ(config.resource_limits->max_aggregation_groups, 1'000'000U);
    EXPECT_EQ(config.resource_limits->connection_pool_size, 50U);
    EXPECT_EQ(config.resource_limits->memory_pressure_threshold, 0.75);
}

TEST(Presets, ProductionHasTheGuidesBreaker) {
    const auto breaker = presets::production().circuit_breaker;
    ASSERT_TRUE(breaker);
    EXPECT_EQ(breaker->failure_threshold, 10U);
    EXPECT_EQ(breaker->success_threshold, 5U);
    EXPECT_EQ(breaker->timeout, 120s);
    EXPECT_EQ(breaker->sliding_window_size, 200U);
    EXPECT_EQ(breaker->minimum_throughput, 20U);
}

TEST(Presets, ProductionHasTheGuidesRetriesAndDeadLetters) {
    const auto config = presets::production();
    ASSERT_TRUE(config.retry_policy);
    EXPECT_EQ(config.retry_policy->max_retries, 5U);
    const auto& backoff = std::get<ExponentialBackoff>(config.retry_policy->backoff_strategy);
    EXPECT_EQ(backoff.initial_delay, 50ms);
    EXPECT_EQ(backoff.max_delay, 60s);
    EXPECT_EQ(backoff.multiplier, 2.0);
    ASSERT_TRUE(config.dead_letter_queue);
    EXPECT_EQ(config.dead_letter_queue->topic, "production-dlq");
    EXPECT_EQ(config.dead_letter_queue->max_retries, 3U);
    EXPECT_EQ(config.dead_letter_queue->retry_delay, 5min);
    EXPECT_EQ(config.dead_letter_queue->retention_period, 24h * 30);
}

TEST(Presets, DevelopmentHasTheGuidesValues) {
    const auto config = presets::development();
    EXPECT_EQ(config.max_memory_mb, 1'024U);
    EXPECT_EQ(config.max_connections, 100U);
    ASSERT_TRUE(config.circuit_breaker);
    EXPECT_EQ(config.circuit_breaker->failure_threshold, 20U);
    EXPECT_EQ(config.circuit_breaker->success_threshold, 2U);
    EXPECT_EQ(config.circuit_breaker->timeout, 30s);
    ASSERT_TRUE(config.retry_policy);
    EXPECT_EQ(config.retry_policy->max_retries, 2U);
    EXPECT_EQ(std::get<FixedInterval>(config.retry_policy->backoff_strategy).interval, 100ms);
}

TEST(Presets, DebugHasEveryFlagOfTheGuide) {
    const auto config = presets::debug();
    EXPECT_TRUE(config.debug_resource_management);
    EXPECT_TRUE(config.debug_circuit_breakers);
    EXPECT_TRUE(config.debug_retries);
    EXPECT_TRUE(config.log_resource_allocations);
    EXPECT_TRUE(config.log_circuit_breaker_state_changes);
    EXPECT_TRUE(config.log_retry_attempts);
}

TEST(Presets, LeaveOutWhatTheGuideLeavesOut) {
    const auto production = presets::production();
    EXPECT_FALSE(production.connection_pool || production.kafka_pool);
    const auto development = presets::development();
    EXPECT_FALSE(development.resource_limits || development.dead_letter_queue || development.connection_pool ||
                 development.kafka_pool);
    const auto debug = presets::debug();
    EXPECT_FALSE(debug.max_memory_mb || debug.max_connections || debug.resource_limits || debug.circuit_breaker ||
                 debug.retry_policy || debug.dead_letter_queue || debug.connection_pool || debug.kafka_pool);
    for (const auto& quiet : {production, development})
        EXPECT_FALSE(quiet.debug_resource_management || quiet.debug_circuit_breakers || quiet.debug_retries ||
                     quiet.log_resource_allocations || quiet.log_circuit_breaker_state_changes ||
                     quiet.log_retry_attempts);
}

TEST(Presets, AreAllUsable) {
    for (const auto& config : {StreamingConfig{}, presets::production(), presets::development(), presets::debug()})
        EXPECT_NO_THROW(throw_if_any(validate(config)));
}

} // namespace
} // namespace velostream
