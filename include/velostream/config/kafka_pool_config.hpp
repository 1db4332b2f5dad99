// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "velostream/base/units.hpp"

namespace velostream {

/// How many Kafka clients a program runs, and how patiently they connect. For `kafka::ProducerPool` and
/// `kafka::ConsumerPool`.
struct KafkaPoolConfig {
    /// Producers; a key always goes to the same one. Legal: 1 to 1000. Default 1: each costs one thread per broker, and
    /// one producer is rarely what limits.
    std::size_t producer_pool_size = 1;

    /// Members of one consumer group. Legal: 1 to 1000. Default 1.
    std::size_t consumer_pool_size = 1;

    /// Extra tries of `connect()`. Legal: ≥ 0. Default 3. Clients themselves try to connect until they are closed.
    std::size_t connection_retry_attempts = 3;

    /// Wait between them, and between a client's own attempts at first. Legal: > 0. Default 500 ms.
    Duration connection_backoff = std::chrono::milliseconds{500};
};

} // namespace velostream
