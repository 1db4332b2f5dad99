// SPDX-License-Identifier: Apache-2.0
// Refused: two hedges in one pipeline multiply their attempts: raise max_hedges of one of them
#include "velostream/pipeline.hpp"

namespace velostream {

void hedge_inside_of_another() {
    Hedge hedge{HedgeConfig{}}, other{HedgeConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{hedge, breaker, other};
#else
    const Pipeline guarded{hedge, breaker};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
