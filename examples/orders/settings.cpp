// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace orders {

using namespace std::chrono_literals;
using velostream::Bytes;
using velostream::mebibyte;

velostream::StreamingConfig job_config(const Options& options, const std::string& dead_letter_topic) {
    return {.max_memory_mb = options.memory_mb,
            .resource_limits = velostream::ResourceLimitsConfig{.max_aggregation_groups = 10'000'000},
            .circuit_breaker = velostream::CircuitBreakerConfig{.timeout = 500ms},
            .retry_policy = velostream::RetryConfig{.attempt_timeout = 1s},
            .dead_letter_queue = velostream::DeadLetterQueueConfig{
                .topic = dead_letter_topic, .retry_delay = 500ms, .delivery_timeout = 30s}};
}

// With a small limit few records are in progress at once, and waiting for company is all they would do.
velostream::kafka::ProducerConfig producer_config(const Options& options, const Cluster& cluster,
                                                  velostream::Duration timeout) {
    constexpr std::uint64_t small_mb = 16;
    return {.bootstrap_servers = cluster.bootstrap_servers(),
            .delivery_timeout = timeout,
            .linger = options.memory_mb < small_mb ? 2ms : 20ms};
}

Bytes reader_bytes(const Options& options) {
    return std::min<Bytes>(mebibyte / 2, options.memory_mb * mebibyte / 32);
}

Bytes source_bytes(const Options& options) {
    return std::min<Bytes>(4 * mebibyte, options.memory_mb * mebibyte / 16);
}

bool are_dead_letters_charged(const Options& options) {
    constexpr std::uint64_t enough_mb = 64;
    return options.memory_mb >= enough_mb;
}

} // namespace orders
