// SPDX-License-Identifier: Apache-2.0
#include "velostream/config/validate.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>

namespace velostream {
namespace {

using namespace std::chrono_literals;

template <class Config>
std::string problems_of(const Config& config) {
    std::string text;
    for (const auto& problem : validate(config)) text += problem.message() + "\n";
    return text;
}

TEST(Validate, EachBreakerFieldHasItsRange) {
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.failure_threshold = 0}),
              "failure_threshold = 0: must be 1 to sliding_window_size (100)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.failure_threshold = 101}),
              "failure_threshold = 101: must be 1 to sliding_window_size (100)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.success_threshold = 0}), "success_threshold = 0: must be 1 to 65535\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_size = 1'000'000}), "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_size = 1'000'001}),
              "sliding_window_size = 1000001: must be 1 to 1000000\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout = 0s}), "timeout = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout = -1500ms}), "timeout = -1500 ms: must be > 0\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.minimum_throughput = 101}),
              "minimum_throughput = 101: must be 1 to sliding_window_size (100)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_threshold = 0ms}),
              "slow_call_threshold = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_rate_threshold = 1.5}),
              "slow_call_rate_threshold = 1.5: must be > 0 and <= 1\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.failure_rate_threshold = 0.0}),
              "failure_rate_threshold = 0: must be > 0 and <= 1\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.max_half_open_duration = -1s}),
              "max_half_open_duration = -1 s: must be > 0\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_rate_threshold = 1.0, .failure_rate_threshold = 1.0}), "");
}

TEST(Validate, TheEndsOfEachRangeAreLegal) {
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.success_threshold = 65'535}), "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.success_threshold = 65'536}),
              "success_threshold = 65536: must be 1 to 65535\n");
    EXPECT_EQ(problems_of(RetryConfig{.backoff_strategy = ExponentialBackoff{.multiplier = 1.0}}), "");
    EXPECT_EQ(problems_of(RetryConfig{.backoff_strategy = LinearBackoff{.increment = Duration::zero()}}), "");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.topic = std::string(249, 'a')}), "");
    EXPECT_EQ(
        problems_of(StreamingConfig{.max_connections = 10, .connection_pool = ConnectionPoolConfig{.max_size = 10}}),
        "");
}

TEST(Validate, NotANumberIsNoFraction) {
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_NE(problems_of(CircuitBreakerConfig{.slow_call_rate_threshold = nan}), "");
    EXPECT_NE(problems_of(ResourceLimitsConfig{.memory_pressure_threshold = nan}), "");
    EXPECT_NE(problems_of(RetryConfig{.backoff_strategy = ExponentialBackoff{.multiplier = nan}}), "");
}

TEST(Validate, PressureThresholdStaysBelowCritical) {
    EXPECT_EQ(problems_of(ResourceLimitsConfig{.memory_pressure_threshold = 0.95}),
              "memory_pressure_threshold = 0.95: must be > 0 and < 0.95\n");
    EXPECT_EQ(problems_of(ResourceLimitsConfig{.memory_pressure_threshold = 0}),
              "memory_pressure_threshold = 0: must be > 0 and < 0.95\n");
    EXPECT_EQ(problems_of(ResourceLimitsConfig{.memory_pressure_threshold = 0.94}), "");
}

TEST(Validate, LimitsAreAtLeastOne) {
    EXPECT_EQ(problems_of(ResourceLimitsConfig{.max_concurrent_queries = 0,
                                               .max_window_buffer_size = 0,
                                               .max_aggregation_groups = 0,
                                               .connection_pool_size = 0}),
              "max_concurrent_queries = 0: must be >= 1\nmax_window_buffer_size = 0: must be >= 1\n"
              "max_aggregation_groups = 0: must be >= 1\nconnection_pool_size = 0: must be >= 1\n");
}

TEST(Validate, IdleConnectionsFitIntoThePool) {
    EXPECT_EQ(problems_of(ConnectionPoolConfig{.max_size = 3, .min_idle = 4}),
              "min_idle = 4: must be 0 to max_size (3)\n");
    EXPECT_EQ(problems_of(ConnectionPoolConfig{.max_size = 0}), "max_size = 0: must be >= 1\n");
    EXPECT_EQ(
        problems_of(ConnectionPoolConfig{.connection_timeout = 0s, .idle_timeout = 0s, .max_lifetime = 0s}),
        "connection_timeout = 0 ns: must be > 0\nidle_timeout = 0 ns: must be > 0\nmax_lifetime = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(ConnectionPoolConfig{.idle_timeout = std::nullopt, .max_lifetime = std::nullopt}), "");
}

TEST(Validate, KafkaPoolNeedsAProducerAConsumerAndAWait) {
    EXPECT_EQ(problems_of(KafkaPoolConfig{.producer_pool_size = 0, .consumer_pool_size = 0, .connection_backoff = 0ms}),
              "producer_pool_size = 0: must be >= 1\nconsumer_pool_size = 0: must be >= 1\n"
              "connection_backoff = 0 ns: must be > 0\n");
}

TEST(Validate, EveryBackoffStrategyIsChecked) {
    EXPECT_EQ(problems_of(RetryConfig{
                  .backoff_strategy = ExponentialBackoff{.initial_delay = 0ms, .max_delay = 0s, .multiplier = 0.5}}),
              "backoff_strategy.initial_delay = 0 ns: must be > 0\nbackoff_strategy.max_delay = 0 ns: must be > 0\n"
              "backoff_strategy.multiplier = 0.5: must be >= 1 and finite\n");
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    EXPECT_EQ(problems_of(RetryConfig{.backoff_strategy = ExponentialBackoff{.multiplier = infinity}}),
              "backoff_strategy.multiplier = inf: must be >= 1 and finite\n");
    EXPECT_EQ(problems_of(RetryConfig{.backoff_strategy = FixedInterval{.interval = 0s}}),
              "backoff_strategy.interval = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(RetryConfig{.backoff_strategy =
                                          LinearBackoff{.initial_delay = 0s, .increment = -1ms, .max_delay = 0s}}),
              "backoff_strategy.initial_delay = 0 ns: must be > 0\nbackoff_strategy.increment = -1 ms: must be >= "
              "0\nbackoff_strategy.max_delay = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(RetryConfig{.attempt_timeout = 0s}), "attempt_timeout = 0 ns: must be > 0\n");
}

TEST(Validate, DeadLettersNeedALegalTopicName) {
    for (const auto* name : {"", ".", "..", "with space", "slash/ed", "ümlaut"})
        EXPECT_NE(problems_of(DeadLetterQueueConfig{.topic = name}), "") << name;
    EXPECT_NE(problems_of(DeadLetterQueueConfig{.topic = std::string(250, 'a')}), "");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.topic = "dlq.orders_v1-A"}), "");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.retry_delay = 0s, .retention_period = 0h, .delivery_timeout = 0s}),
              "retry_delay = 0 ns: must be > 0\nretention_period = 0 ns: must be > 0\ndelivery_timeout = 0 ns: must be "
              "> 0\n");
}

TEST(Validate, MemoryThatDoesNotFitIntoBytesIsAProblemAndNotAWrap) {
    EXPECT_EQ(problems_of(StreamingConfig{.max_memory_mb = 0}), "max_memory_mb = 0: must be 1 to 8796093022207\n");
    EXPECT_EQ(problems_of(StreamingConfig{.max_memory_mb = 8'796'093'022'208}),
              "max_memory_mb = 8796093022208: must be 1 to 8796093022207\n");
    EXPECT_EQ(problems_of(StreamingConfig{.max_memory_mb = 8'796'093'022'207}), "");
}

TEST(Validate, PartsOfAStreamingConfigAreNamedByTheirPath) {
    const StreamingConfig config{.max_connections = 0,
                                 .circuit_breaker = CircuitBreakerConfig{.timeout = 0s},
                                 .retry_policy = RetryConfig{.backoff_strategy = FixedInterval{.interval = 0s}},
                                 .dead_letter_queue = DeadLetterQueueConfig{.retry_delay = 0s},
                                 .kafka_pool = KafkaPoolConfig{.producer_pool_size = 0}};
    EXPECT_EQ(problems_of(config),
              "max_connections = 0: must be >= 1\ncircuit_breaker.timeout = 0 ns: must be > 0\n"
              "retry_policy.backoff_strategy.interval = 0 ns: must be > 0\n"
              "dead_letter_queue.retry_delay = 0 ns: must be > 0\nkafka_pool.producer_pool_size = 0: must be >= 1\n");
}

TEST(Validate, APoolDoesNotExceedTheConnectionsOfAllPools) {
    EXPECT_EQ(
        problems_of(StreamingConfig{.max_connections = 10, .connection_pool = ConnectionPoolConfig{.max_size = 11}}),
        "connection_pool.max_size = 11: must be <= max_connections (10)\n");
}

TEST(Validate, APoolWhoseSizeNobodyChoseIsHeldToTheConnectionsOfAllPoolsWithoutAComplaint) {
    EXPECT_EQ(problems_of(StreamingConfig{.max_connections = 10,
                                          .connection_pool = ConnectionPoolConfig{.connection_timeout = 1s}}),
              "");
}

TEST(Validate, APoolThatNobodyAskedForIsNotChecked) {
    EXPECT_EQ(problems_of(StreamingConfig{.resource_limits = ResourceLimitsConfig{.connection_pool_size = 0}}),
              "resource_limits.connection_pool_size = 0: must be >= 1\n");
}

TEST(Validate, ConstructorsThrowOneExceptionThatListsEveryProblem) {
    const CircuitBreakerConfig config{.success_threshold = 0, .timeout = 0s};
    try {
        static_cast<void>(validated(config));
        FAIL() << "an invalid config was accepted";
    } catch (const std::invalid_argument& exception) {
        EXPECT_EQ(std::string{exception.what()},
                  "invalid configuration:\n  success_threshold = 0: must be 1 to 65535\n  timeout = 0 ns: must be > 0");
    }
    EXPECT_NO_THROW(throw_if_any({}));
}

} // namespace
} // namespace velostream
