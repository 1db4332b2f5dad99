// SPDX-License-Identifier: Apache-2.0
#include "velostream/timeout.hpp"

#include <string>

#include "velostream/config/validate.hpp"

namespace velostream::detail {

Duration checked_timeout(Duration timeout) {
    if (timeout <= Duration::zero())
        throw_if_any({{"timeout", std::to_string(timeout.count()) + " ns", "must be > 0"}});
    return timeout;
}

} // namespace velostream::detail
