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

Bytes handler_bytes(const Options& options) {
    constexpr Bytes of_a_send = 1'024, of_a_look_up = 2'048;
    return options.lookup ? of_a_send + of_a_look_up : of_a_send;
}

std::size_t lookup_connections(const Options& options) {
    constexpr std::uint64_t of_use = 8, megabytes_for_each = 4;
    return std::clamp<std::uint64_t>(options.memory_mb / megabytes_for_each, 1, of_use);
}

Bytes lookup_bytes(const Options& options) {
    constexpr Bytes of_a_connection = 64 * 1'024; // buffers and prepared statements of either library
    return options.lookup ? lookup_connections(options) * of_a_connection : 0;
}

// A rate, since hundreds of look-ups a moment fail or do not, and no number of failures says how it is.
velostream::CircuitBreakerConfig lookup_breaker_config() {
    constexpr std::size_t window = 100;
    return {.failure_threshold = window,
            .timeout = 500ms,
            .sliding_window_size = window,
            .minimum_throughput = window / 2,
            .failure_rate_threshold = 0.5};
}

bool are_dead_letters_charged(const Options& options) {
    constexpr std::uint64_t enough_mb = 64;
    return options.memory_mb >= enough_mb;
}

} // namespace orders
