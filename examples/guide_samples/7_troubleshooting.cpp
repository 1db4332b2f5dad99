// SPDX-License-Identifier: Apache-2.0
#include "samples.hpp"

namespace guide {

using namespace velostream;

// Debug Configuration

StreamingConfig debug_configuration() {
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

} // namespace guide
