// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <cstdio>

#include "samples.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/resource_manager.hpp"

namespace guide {

using namespace velostream;
using namespace std::chrono_literals;

// Core Components

StreamingConfig core_components() {
    // Configure resource limits
    const StreamingConfig config{
        .max_memory_mb = 4096,   // 4GB memory limit
        .max_connections = 1000, // 1K concurrent connections

        .resource_limits =
            ResourceLimitsConfig{
                .max_concurrent_queries = 100,
                .max_window_buffer_size = 1'000'000, // 1M records
                .max_aggregation_groups = 50'000,
                .connection_pool_size = 20,
                .memory_pressure_threshold = 0.8, // 80% memory usage
            },
    };
    return config;
}

// Memory Management: Allocation Tracking

Result<void> allocation_tracking(asio::any_io_executor executor, const StreamingConfig& resource_config) {
    // Create resource manager
    ResourceManager resource_manager{executor, resource_config};

    // Allocate memory for operation
    auto allocation = resource_manager.allocate_memory("window_buffer", 1024 * 1024); // 1MB
    if (!allocation) return allocation.error();

    // Track memory usage
    const auto current_usage = resource_manager.get_memory_usage();
    std::printf("Memory usage: %.1f%% (%ju bytes)\n", current_usage.percentage,
                std::uintmax_t{current_usage.bytes_used});
    return {};
}

// Connection Pool Management: Database Connections

asio::awaitable<Result<void>> database_connections(asio::any_io_executor executor, Database database) {
    // Configure connection pooling
    const ConnectionPoolConfig pool_config{
        .max_size = 20,
        .min_idle = 5,
        .connection_timeout = 30s,
        .idle_timeout = 600s,  // 10 min idle timeout
        .max_lifetime = 3600s, // 1 hour max lifetime
    };

    const StreamingConfig config{.connection_pool = pool_config};
    ResourceManager resource_manager{executor, config, database};

    // Get connection from pool
    auto conn = co_await resource_manager.get_connection();
    if (!conn) co_return conn.error();
    co_return Result<void>{};
}

// Connection Pool Management: Kafka Connection Management

KafkaPoolConfig kafka_connection_management() {
    // Kafka producer/consumer pool
    const KafkaPoolConfig kafka_config{
        .producer_pool_size = 10,
        .consumer_pool_size = 5,
        .connection_retry_attempts = 3,
        .connection_backoff = 500ms,
    };
    return kafka_config;
}

} // namespace guide
