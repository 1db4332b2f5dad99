// SPDX-License-Identifier: Apache-2.0
// Refused: two retry executors in one pipeline multiply their tries: configure one of them for both
#include "velostream/pipeline.hpp"

namespace velostream {

void retry_inside_of_another() {
    RetryExecutor retry{RetryConfig{}}, other{RetryConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{retry, breaker, other};
#else
    const Pipeline guarded{retry, breaker};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
