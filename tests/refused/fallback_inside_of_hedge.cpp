// SPDX-License-Identifier: Apache-2.0
// Refused: a fallback inside of a hedge answers before another attempt can: write it outside
#include "velostream/pipeline.hpp"

namespace velostream {

void answer_that_another_attempt_could_have_bettered() {
    Hedge hedge{HedgeConfig{}};
    CircuitBreaker breaker{CircuitBreakerConfig{}};
    Fallback fallback{{ErrorType::network}, [](const Error&) { return 7; }};
#ifdef VELOSTREAM_REFUSED
    const Pipeline guarded{hedge, breaker, fallback};
#else
    const Pipeline guarded{fallback, hedge, breaker};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
