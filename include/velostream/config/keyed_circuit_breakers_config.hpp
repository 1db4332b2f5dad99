// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream {

/// A circuit breaker for each of many keys.
struct KeyedCircuitBreakersConfig {
    /// That of every key.
    CircuitBreakerConfig breaker = {};

    /// Keys of which something is known at a time: those with a failure or slow call in their window, or a circuit that
    /// is not closed. All other keys take no place. Each takes about 1.3 KiB. Legal: 1 to 10 000 000. Default 100 000.
    std::size_t max_keys = 100'000;
};

} // namespace velostream
