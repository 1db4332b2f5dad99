// SPDX-License-Identifier: Apache-2.0
// Every sample of the Resource Management & Circuit Breakers guide that is not SQL, in the guide's order and words, as
// a program that runs: against a scripted database and an embedded Kafka cluster.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>

#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/testing/scripted_connections.hpp"
#include "velostream/velostream.hpp"

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace velostream;

// --- Resource Management: Core Components
// -----------------------------------------------------------------------------

StreamingConfig resource_config() {
    const StreamingConfig config{.max_memory_mb = 4096,   // 4GB memory limit
                                 .max_connections = 1000, // 1K concurrent connections

                                 .resource_limits = ResourceLimitsConfig{
                                     .max_concurrent_queries = 100,
                                     .max_window_buffer_size = 1'000'000, // 1M records
                                     .max_aggregation_groups = 50'000,
                                     .connection_pool_size = 20,
                                     .memory_pressure_threshold = 0.8, // 80% memory usage
                                 }};
    return config;
}

// --- Memory Management: Allocation Tracking
// ---------------------------------------------------------------------------

template <class Resources>
Result<void> allocation_tracking(Resources& resource_manager) {
    // Allocate memory for operation
    auto allocation = resource_manager.allocate_memory("window_buffer", 1024 * 1024); // 1MB
    if (!allocation) return allocation.error();

    // Track memory usage
    const auto current_usage = resource_manager.get_memory_usage();
    std::printf("Memory usage: %.1f%% (%ju bytes)\n", current_usage.percentage,
                std::uintmax_t{current_usage.bytes_used});
    return {};
}

// --- Connection Pool Management
// ---------------------------------------------------------------------------------------

ConnectionPoolConfig database_connections() {
    const ConnectionPoolConfig pool_config{
        .max_size = 20,
        .min_idle = 5,
        .connection_timeout = 30s,
        .idle_timeout = 600s,  // 10 min idle timeout
        .max_lifetime = 3600s, // 1 hour max lifetime
    };
    return pool_config;
}

template <class Resources>
asio::awaitable<Result<void>> use_connection(Resources& resource_manager) {
    // Get connection from pool
    auto conn = co_await resource_manager.get_connection();
    if (!conn) co_return conn.error();
    co_return Result<void>{};
}

KafkaPoolConfig kafka_connections() {
    // Kafka producer/consumer pool
    const KafkaPoolConfig kafka_config{
        .producer_pool_size = 10,
        .consumer_pool_size = 5,
        .connection_retry_attempts = 3,
        .connection_backoff = 500ms,
    };
    return kafka_config;
}

// --- Circuit Breakers
// -------------------------------------------------------------------------------------------------

StreamingConfig circuit_breaker_config() {
    const StreamingConfig config{.circuit_breaker = CircuitBreakerConfig{
                                     .failure_threshold = 5, // Open after 5 failures
                                     .success_threshold = 3, // Close after 3 successes
                                     .timeout = 60s,         // 60s timeout in open state

                                     // Advanced configuration
                                     .sliding_window_size = 100,      // Track last 100 calls
                                     .minimum_throughput = 10,        // Min calls before opening
                                     .slow_call_threshold = 5s,       // 5s = slow call
                                     .slow_call_rate_threshold = 0.5, // 50% slow calls = unhealthy
                                 }};
    return config;
}

asio::awaitable<std::string> database_query() {
    co_return "42 rows";
}

asio::awaitable<void> protect_operation(const CircuitBreakerConfig& circuit_config) {
    // Create circuit breaker
    CircuitBreaker circuit_breaker{circuit_config};

    // Protect operation with circuit breaker
    auto risky_operation = []() -> asio::awaitable<std::string> {
        // Your risky operation here
        co_return co_await database_query();
    };
    const auto result = co_await circuit_breaker.execute(risky_operation);

    if (result) {
        std::cout << "Operation succeeded: " << *result << '\n';
    } else if (result.error() == CircuitBreakerError::open) {
        std::cout << "Circuit breaker is open - failing fast\n";
    } else if (result.error() == CircuitBreakerError::operation_failed) {
        std::cout << "Operation failed: " << result.error() << '\n';
    }

    // --- Monitoring: Circuit Breaker Metrics
    // Circuit breaker status
    const auto cb_stats = circuit_breaker.get_stats();
    std::cout << "Circuit Breaker - State: " << to_string(cb_stats.state) << ", Failures: " << cb_stats.failure_count
              << ", Success Rate: " << cb_stats.success_rate * 100.0 << "%\n";
}

// --- Retry Logic
// ------------------------------------------------------------------------------------------------------

RetryConfig exponential_backoff() {
    const RetryConfig retry_config{
        .max_retries = 3,
        .backoff_strategy =
            BackoffStrategy::ExponentialBackoff{
                .initial_delay = 100ms,
                .max_delay = 30s,
                .multiplier = 2.0,
            },

        // Retry conditions
        .retry_on =
            {
                ErrorType::network,
                ErrorType::timeout,
                ErrorType::service_unavailable,
            },

        // Don't retry these
        .no_retry_on =
            {
                ErrorType::authentication,
                ErrorType::authorization,
                ErrorType::bad_request,
            },
    };
    return retry_config;
}

RetryConfig fixed_interval() {
    const RetryConfig retry_config{
        .max_retries = 5,
        .backoff_strategy = BackoffStrategy::FixedInterval{.interval = 1s},
    };
    return retry_config;
}

RetryConfig linear_backoff() {
    const RetryConfig retry_config{
        .max_retries = 4,
        .backoff_strategy =
            BackoffStrategy::LinearBackoff{
                .initial_delay = 100ms,
                .increment = 100ms,
            },
    };
    return retry_config;
}

asio::awaitable<Result<kafka::Delivery>> send_with_retry(const RetryConfig& retry_config,
                                                         kafka::Producer& kafka_producer, const kafka::Record& record) {
    // Create retry executor
    RetryExecutor retry_executor{retry_config};

    // Execute with retry logic
    auto operation = [&](CallContext& call) {
        // Your operation that might fail
        return kafka_producer.send(record, call);
    };
    const auto result = co_await retry_executor.execute_with_retry(operation);
    co_return result;
}

// --- Dead Letter Queue
// ------------------------------------------------------------------------------------------------

DeadLetterQueueConfig dead_letter_queue_config() {
    const DeadLetterQueueConfig dlq_config{
        .topic = "failed-records",
        .max_retries = 3,
        .retry_delay = 60s,
        .retention_period = 24h * 7,

        // Serialization for failed records
        .include_original_record = true,
        .include_error_details = true,
        .include_stack_trace = true,
    };
    return dlq_config;
}

Result<std::size_t> process_record(const kafka::Record& record) {
    if (!record.value) return Error::from_exception(std::make_exception_ptr(std::invalid_argument{"no value"}));
    return record.value->size();
}

void handle_success(std::size_t result) {
    std::cout << "processed " << result << " bytes\n";
}

template <class Queue>
asio::awaitable<Result<void>> route_failed_records(Queue& dead_letter_queue, const kafka::Record& record) {
    // Route failed records to DLQ
    const auto result = process_record(record);
    if (result) {
        handle_success(*result);
    } else {
        const auto stored = co_await dead_letter_queue.send_to_dlq(record, result.error());
        if (!stored) co_return stored.error();
    }
    co_return Result<void>{};
}

// --- Monitoring & Alerts: Resource Metrics
// ----------------------------------------------------------------------------

template <class Resources>
void resource_metrics(Resources& resource_manager) {
    // Memory usage monitoring
    const auto memory_stats = resource_manager.get_memory_stats();
    std::printf("Memory - Used: %juMB, Available: %juMB, Pressure: %.1f%%\n", std::uintmax_t{memory_stats.used_mb},
                std::uintmax_t{memory_stats.available_mb}, memory_stats.pressure_percentage);

    // Connection pool monitoring
    const auto pool_stats = resource_manager.get_connection_pool_stats();
    std::printf("Connections - Active: %zu, Idle: %zu, Total: %zu\n", pool_stats.active, pool_stats.idle,
                pool_stats.total);
}

// --- Production Configuration
// -----------------------------------------------------------------------------------------

StreamingConfig high_availability_setup() {
    const StreamingConfig production_config{
        // Generous resource limits
        .max_memory_mb = 16'384, // 16GB
        .max_connections = 2'000,

        // Resource management
        .resource_limits =
            ResourceLimitsConfig{
                .max_concurrent_queries = 500,
                .max_window_buffer_size = 10'000'000,
                .max_aggregation_groups = 1'000'000,
                .connection_pool_size = 50,
                .memory_pressure_threshold = 0.75,
            },

        // Circuit breakers for external services
        .circuit_breaker =
            CircuitBreakerConfig{
                .failure_threshold = 10,
                .success_threshold = 5,
                .timeout = 120s,
                .sliding_window_size = 200,
                .minimum_throughput = 20,
            },

        // Aggressive retry logic
        .retry_policy =
            RetryConfig{
                .max_retries = 5,
                .backoff_strategy =
                    BackoffStrategy::ExponentialBackoff{
                        .initial_delay = 50ms,
                        .max_delay = 60s,
                        .multiplier = 2.0,
                    },
            },

        // Dead letter queue
        .dead_letter_queue =
            DeadLetterQueueConfig{
                .topic = "production-dlq",
                .max_retries = 3,
                .retry_delay = 5min,
                .retention_period = 24h * 30,
            },
    };
    return production_config;
}

StreamingConfig development_setup() {
    const StreamingConfig dev_config{
        // Conservative limits for development
        .max_memory_mb = 1'024, // 1GB
        .max_connections = 100,

        // Relaxed circuit breaker for testing
        .circuit_breaker =
            CircuitBreakerConfig{
                .failure_threshold = 20, // More tolerant
                .success_threshold = 2,
                .timeout = 30s,
            },

        // Immediate retry for faster feedback
        .retry_policy =
            RetryConfig{
                .max_retries = 2,
                .backoff_strategy = BackoffStrategy::FixedInterval{.interval = 100ms},
            },
    };
    return dev_config;
}

StreamingConfig debug_setup() {
    const StreamingConfig debug_config{
        .debug_resource_management = true,
        .debug_circuit_breakers = true,
        .debug_retries = true,

        // Detailed logging
        .log_resource_allocations = true,
        .log_circuit_breaker_state_changes = true,
        .log_retry_attempts = true,
    };
    return debug_config;
}

// --- All of it, one after another
// -------------------------------------------------------------------------------------

asio::awaitable<void> run_samples(asio::any_io_executor executor) {
    auto config = resource_config();
    config.connection_pool = database_connections();
    testing::ScriptedConnections database;
    ResourceManager resource_manager{executor, config, database};

    allocation_tracking(resource_manager).value();
    const auto connected = co_await use_connection(resource_manager);
    connected.value();
    resource_metrics(resource_manager);

    const auto circuit_config = *circuit_breaker_config().circuit_breaker;
    co_await protect_operation(circuit_config);

    kafka::MockCluster cluster{1};
    const kafka::ProducerConfig producer_config{.bootstrap_servers = cluster.bootstrap_servers()};
    kafka::Producer kafka_producer{executor, producer_config};
    const kafka::Record record{"orders", "customer-1", "1 lantern"};
    for (const auto& retry_config : {exponential_backoff(), fixed_interval(), linear_backoff()}) {
        const auto sent = co_await send_with_retry(retry_config, kafka_producer, record);
        sent.value();
    }

    DeadLetterQueue dead_letter_queue{dead_letter_queue_config(), kafka::DeadLetterTopic{kafka_producer}};
    const kafka::Record poison{"orders", "customer-2", kafka::ByteString{}};
    for (const auto& each : {record, poison}) {
        const auto routed = co_await route_failed_records(dead_letter_queue, each);
        routed.value();
    }
    std::cout << "dead letters: " << dead_letter_queue.get_stats().sent << '\n';

    for (const auto& each : {kafka_connections()}) throw_if_any(validate(each));
    for (const auto& each : {high_availability_setup(), development_setup(), debug_setup()})
        throw_if_any(validate(each));
}

} // namespace

int main() {
    asio::io_context io;
    std::exception_ptr failure;
    asio::co_spawn(io, run_samples(io.get_executor()), [&](std::exception_ptr thrown) { failure = thrown; });
    io.run();
    if (!failure) return 0;
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& exception) {
        std::cerr << "guide_samples: " << exception.what() << '\n';
    }
    return 1;
}
