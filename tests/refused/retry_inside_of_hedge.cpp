// SPDX-License-Identifier: Apache-2.0
// Refused: a retry inside of a hedge tries again what another attempt has in hand: write it outside
#include "velostream/pipeline.hpp"

namespace velostream {

void tries_of_every_attempt() {
    RetryExecutor retry{RetryConfig{}};
    Hedge hedge{HedgeConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{hedge, breaker, retry};
#else
    const Pipeline guarded{retry, hedge, breaker};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
