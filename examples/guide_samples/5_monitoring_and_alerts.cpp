// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdio>
#include <string>

#include "samples.hpp"

namespace guide {

using namespace velostream;

// Resource Metrics

void resource_metrics(ResourceManager<Database>& resource_manager) {
    // Memory usage monitoring
    const auto memory_stats = resource_manager.get_memory_stats();
    std::printf("Memory - Used: %juMB, Available: %juMB, Pressure: %.1f%%\n", std::uintmax_t{memory_stats.used_mb},
                std::uintmax_t{memory_stats.available_mb}, memory_stats.pressure_percentage);

    // Connection pool monitoring
    const auto pool_stats = resource_manager.get_connection_pool_stats();
    std::printf("Connections - Active: %zu, Idle: %zu, Total: %zu\n", pool_stats.active, pool_stats.idle,
                pool_stats.total);
}

// Circuit Breaker Metrics

void circuit_breaker_metrics(const CircuitBreaker<>& circuit_breaker) {
    // Circuit breaker status
    const auto cb_stats = circuit_breaker.get_stats();
    std::printf("Circuit Breaker - State: %s, Failures: %zu, Success Rate: %.1f%%\n",
                std::string{to_string(cb_stats.state)}.c_str(), cb_stats.failure_count, cb_stats.success_rate * 100.0);
}

} // namespace guide
