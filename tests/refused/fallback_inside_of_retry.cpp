// SPDX-License-Identifier: Apache-2.0
// Refused: a fallback inside of a retry hides the failures that should be tried again: write it outside
#include "velostream/pipeline.hpp"

namespace velostream {

void failures_that_the_retry_would_not_see() {
    RetryExecutor retry{RetryConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
    Fallback fallback{{ErrorType::network}, [](const Error&) { return 7; }};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{retry, breaker, fallback};
#else
    const Pipeline guarded{fallback, retry, breaker};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
