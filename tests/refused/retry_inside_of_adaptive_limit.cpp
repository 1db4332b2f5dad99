// SPDX-License-Identifier: Apache-2.0
// Refused: a retry inside of an adaptive limit makes its backoff count as latency: write it outside
#include "velostream/pipeline.hpp"

namespace velostream {

void backoff_that_the_limit_would_take_for_load() {
    RetryExecutor retry{RetryConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
    AdaptiveLimit limit{AdaptiveLimitConfig{}};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{limit, breaker, retry};
#else
    const Pipeline guarded{retry, breaker, limit};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
