// SPDX-License-Identifier: Apache-2.0
// Refused: a policy of this pipeline is const, but changes with its calls
#include "velostream/pipeline.hpp"

namespace velostream {

void policy_that_cannot_change() {
#ifdef VELOSTREAM_REFUSED
    const CircuitBreaker breaker{CircuitBreakerConfig{}};
#else
    CircuitBreaker breaker{CircuitBreakerConfig{}};
#endif
    const Pipeline guarded{breaker};
    static_cast<void>(guarded);
}

} // namespace velostream
