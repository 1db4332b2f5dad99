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

TEST(Validate, SlowCallsHaveAMinimumWithinTheWindow) {
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_minimum_throughput = 0}),
              "slow_call_minimum_throughput = 0: must be 1 to sliding_window_size (100)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_minimum_throughput = 101}),
              "slow_call_minimum_throughput = 101: must be 1 to sliding_window_size (100)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.slow_call_minimum_throughput = 100}), "");
}

TEST(Validate, AWindowOfTimeHasBucketsAndItsOwnBounds) {
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_duration = 0s}),
              "sliding_window_duration = 0 ns: must be >= 1 ms for each of the sliding_window_buckets (10)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_duration = 10ms - 1ns}),
              "sliding_window_duration = 9999999 ns: must be >= 1 ms for each of the sliding_window_buckets (10)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_duration = 10ms}), "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_buckets = 0}),
              "sliding_window_buckets = 0: must be 1 to 1000\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_duration = -1s, .sliding_window_buckets = 0}),
              "sliding_window_buckets = 0: must be 1 to 1000\n"
              "sliding_window_duration = -1 s: must be >= 1 ms for each of the sliding_window_buckets (0)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.sliding_window_duration = 1h, .sliding_window_buckets = 1001}),
              "sliding_window_buckets = 1001: must be 1 to 1000\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.failure_threshold = 1'000'000'000,
                                               .minimum_throughput = 101,
                                               .slow_call_minimum_throughput = 101,
                                               .sliding_window_duration = 10s}),
              "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.failure_threshold = 1'000'000'001, .sliding_window_duration = 10s}),
              "failure_threshold = 1000000001: must be 1 to 1000000000\n");
}

TEST(Validate, KeyedBreakersHaveABreakerAndABound) {
    EXPECT_EQ(problems_of(KeyedCircuitBreakersConfig{}), "");
    EXPECT_EQ(problems_of(KeyedCircuitBreakersConfig{.breaker = {.timeout = 0s}, .max_keys = 0}),
              "breaker.timeout = 0 ns: must be > 0\nmax_keys = 0: must be 1 to 10000000\n");
    EXPECT_EQ(problems_of(KeyedCircuitBreakersConfig{.max_keys = 10'000'001}),
              "max_keys = 10000001: must be 1 to 10000000\n");
}

TEST(Validate, AnOpenWaitGrowsWithinItsBounds) {
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout_multiplier = 0.5}),
              "timeout_multiplier = 0.5: must be >= 1 and finite\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout_multiplier = infinity}),
              "timeout_multiplier = inf: must be >= 1 and finite\n");
    EXPECT_NE(problems_of(CircuitBreakerConfig{.timeout_multiplier = nan}), "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout = 10s, .max_timeout = 9s}),
              "max_timeout = 9 s: must be >= timeout (10 s)\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout_jitter = -0.1}),
              "timeout_jitter = -0.1: must be >= 0 and <= 1\n");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{.timeout_jitter = 1.1}),
              "timeout_jitter = 1.1: must be >= 0 and <= 1\n");
    EXPECT_NE(problems_of(CircuitBreakerConfig{.timeout_jitter = nan}), "");
    EXPECT_EQ(problems_of(CircuitBreakerConfig{
                  .timeout = 10s, .timeout_multiplier = 1.5, .max_timeout = 10s, .timeout_jitter = 1.0}),
              "");
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

TEST(Validate, EachAdaptiveLimitFieldHasItsRange) {
    EXPECT_EQ(problems_of(AdaptiveLimitConfig{.initial_limit = 201,
                                              .window = 9,
                                              .tolerance = 0.99,
                                              .smoothing = 0,
                                              .drop_backoff = 1,
                                              .tolerated_drop_rate = 1,
                                              .remeasure_every = 4,
                                              .max_waiting = 1'000'000'001,
                                              .max_wait = 0s}),
              "initial_limit = 201: must be min_limit (1) to max_limit (200)\n"
              "window = 9: must be 10 to 4000\n"
              "tolerance = 0.99: must be 1 to 3\n"
              "smoothing = 0: must be > 0 and <= 1\n"
              "drop_backoff = 1: must be > 0 and < 1\n"
              "tolerated_drop_rate = 1: must be >= 0 and < 1\n"
              "remeasure_every = 4: must be 5 to 1000000\n"
              "max_waiting = 1000000001: must be 0 to 1000000000\n"
              "max_wait = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(AdaptiveLimitConfig{.min_limit = 0}), "min_limit = 0: must be 1 to max_limit (200)\n");
    EXPECT_EQ(problems_of(AdaptiveLimitConfig{.min_limit = 201}), "min_limit = 201: must be 1 to max_limit (200)\n");
    EXPECT_EQ(problems_of(AdaptiveLimitConfig{.max_limit = 1'000'000'001}),
              "max_limit = 1000000001: must be 1 to 1000000000\n");
    EXPECT_EQ(problems_of(AdaptiveLimitConfig{.initial_limit = 7,
                                              .min_limit = 7,
                                              .max_limit = 7,
                                              .window = 4000,
                                              .tolerance = 3,
                                              .smoothing = 1,
                                              .drop_backoff = 0.001,
                                              .tolerated_drop_rate = 0,
                                              .remeasure_every = 5}),
              "");
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(validate(AdaptiveLimitConfig{
                           .tolerance = nan, .smoothing = nan, .drop_backoff = nan, .tolerated_drop_rate = nan})
                  .size(),
              4u);
}

TEST(Validate, EachBulkheadFieldHasItsRange) {
    EXPECT_EQ(problems_of(BulkheadConfig{.max_concurrent = 0, .max_wait = 0s}),
              "max_concurrent = 0: must be 1 to 1000000000\nmax_wait = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(BulkheadConfig{.max_concurrent = 1'000'000'000, .max_waiting = 1'000'000}), "");
    EXPECT_EQ(problems_of(BulkheadConfig{.max_concurrent = 1'000'000'001}),
              "max_concurrent = 1000000001: must be 1 to 1000000000\n");
}

TEST(Validate, EachRateLimiterFieldHasItsRange) {
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 0, .period = 0s, .burst = 0, .max_wait = 0s}),
              "permits = 0: must be 1 to 1000000000\nperiod = 0 ns: must be > 0 and <= 24 h\n"
              "burst = 0: must be 1 to 1000000000\nmax_wait = 0 ns: must be > 0\n");
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 1, .period = 24h, .burst = 365}), "");
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 1, .period = 24h, .burst = 366}),
              "burst = 366: must come back within 365 days\n");
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 1, .period = 24h + 1ns}),
              "period = 86400000000001 ns: must be > 0 and <= 24 h\n");
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 1'000'000'000, .burst = 1'000'000'000}), "");
    EXPECT_EQ(problems_of(RateLimiterConfig{.permits = 1000, .period = 999ns}),
              "period = 999 ns: must be >= 1 ns for each of 1000 permits\n");
    EXPECT_EQ(problems_of(RateLimiterConfig{.max_waiting = 1'000'000'001}),
              "max_waiting = 1000000001: must be 0 to 1000000000\n");
}

TEST(Validate, KafkaPoolNeedsAProducerAConsumerAndAWait) {
    EXPECT_EQ(problems_of(KafkaPoolConfig{.producer_pool_size = 0, .consumer_pool_size = 0, .connection_backoff = 0ms}),
              "producer_pool_size = 0: must be 1 to 1000\nconsumer_pool_size = 0: must be 1 to 1000\n"
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

TEST(Validate, ARetryBudgetIsAFractionAReserveAndAWindowThatCanBeKept) {
    EXPECT_EQ(problems_of(RetryBudgetConfig{}), "");
    EXPECT_EQ(problems_of(RetryBudgetConfig{.ratio = 0, .reserve_per_second = 0, .window = 1s}), "");
    EXPECT_EQ(problems_of(RetryBudgetConfig{.ratio = 1, .reserve_per_second = 1e6, .window = 1h}), "");
    EXPECT_EQ(problems_of(RetryBudgetConfig{.ratio = -0.5, .reserve_per_second = -1, .window = 999ms}),
              "ratio = -0.5: must be 0 to 1\nreserve_per_second = -1: must be 0 to 1000000\n"
              "window = 999 ms: must be 1 s to 3600 s\n");
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(problems_of(RetryBudgetConfig{.ratio = nan, .reserve_per_second = nan, .window = Duration::max()}),
              "ratio = nan: must be 0 to 1\nreserve_per_second = nan: must be 0 to 1000000\n"
              "window = 9223372036854775807 ns: must be 1 s to 3600 s\n");
    EXPECT_EQ(problems_of(RetryConfig{.budget = RetryBudgetConfig{.ratio = 10}}),
              "budget.ratio = 10: must be 0 to 1\n");
}

TEST(Validate, ASpoolHasRoomAndLeavesSome) {
    EXPECT_EQ(problems_of(SpoolConfig{}), "directory = \"\": must not be empty\n");
    EXPECT_EQ(problems_of(SpoolConfig{.directory = "d", .max_size = 1 << 20, .min_free_disk = 0, .segment_size = 4096}),
              "");
    EXPECT_EQ(
        problems_of(SpoolConfig{.directory = "d", .max_size = (1 << 20) - 1, .min_free_disk = 1, .segment_size = 4095}),
        "max_size = 1048575: must be >= 1048576\n"
        "min_free_disk = 1: must be >= 0 and < 1\n"
        "segment_size = 4095: must be >= 4096\n");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.spool_max_size = 0, .spool_min_free_disk = -0.1}),
              "spool_max_size = 0: must be >= 1048576\n"
              "spool_min_free_disk = -0.1: must be >= 0 and < 1\n");
    EXPECT_NE(problems_of(SpoolConfig{.directory = "d", .min_free_disk = std::numeric_limits<double>::quiet_NaN()}),
              "");
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

TEST(Validate, DeadLettersNeedAFamilyOfHeadersAndASizeThatRecordsCanHave) {
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.header_families = {.connect = false}, .max_record_size = 999}),
              "header_families = none: must be at least one of connect, spring, streams\n"
              "max_record_size = 999: must be 1000 to 1000000000\n");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.max_record_size = 1'000'000'001}),
              "max_record_size = 1000000001: must be 1000 to 1000000000\n");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.header_families = {.connect = false, .spring = true},
                                                .max_record_size = 1'000}),
              "");
    EXPECT_EQ(problems_of(DeadLetterQueueConfig{.header_families = {.connect = false, .streams = true},
                                                .max_record_size = 1'000'000'000}),
              "");
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
    EXPECT_EQ(
        problems_of(config),
        "max_connections = 0: must be >= 1\ncircuit_breaker.timeout = 0 ns: must be > 0\n"
        "retry_policy.backoff_strategy.interval = 0 ns: must be > 0\n"
        "dead_letter_queue.retry_delay = 0 ns: must be > 0\nkafka_pool.producer_pool_size = 0: must be 1 to 1000\n");
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
