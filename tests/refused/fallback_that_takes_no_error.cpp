// SPDX-License-Identifier: Apache-2.0
// Refused: the function of a fallback takes a const Error&
#include "velostream/fallback.hpp"

namespace velostream {

void fallback_without_a_cause() {
#ifdef VELOSTREAM_REFUSED
    const Fallback fallback{{ErrorType::network}, [] { return 7; }};
#else
    const Fallback fallback{{ErrorType::network}, [](const Error&) { return 7; }};
#endif
    static_cast<void>(fallback);
}

} // namespace velostream
