// SPDX-License-Identifier: Apache-2.0
// Refused: a pipeline needs a policy
#include "velostream/pipeline.hpp"

namespace velostream {

void pipeline_of_nothing() {
    RetryExecutor retry{RetryConfig{}};
#ifdef VELOSTREAM_REFUSED
    const Pipeline<> guarded;
#else
    const Pipeline guarded{retry};
#endif
    static_cast<void>(guarded);
}

} // namespace velostream
