// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "velostream/base/units.hpp"

namespace velostream {

/// How many Kafka clients a program runs, and how patiently they connect.
struct KafkaPoolConfig {
    /// Producers; a key always goes to the same one. Legal: ≥ 1. Default 1: each costs one thread per broker, and one
    /// producer is rarely what limits. Checked, but nothing acts on it yet: a `kafka::Producer` is one client.
    std::size_t producer_pool_size = 1;

    /// Members of one consumer group. Legal: ≥ 1. Default 1. Checked, but nothing acts on it yet: a `kafka::Consumer`
    /// is one member.
    std::size_t consumer_pool_size = 1;

    /// Extra tries to connect. Legal: ≥ 0. Default 3. Nothing acts on it yet: the client library tries until its
    /// client is closed.
    std::size_t connection_retry_attempts = 3;

    /// Wait between them. Legal: > 0. Default 500 ms. Checked, but nothing acts on it yet: clients wait 50 to 250 ms.
    Duration connection_backoff = std::chrono::milliseconds{500};
};

} // namespace velostream
