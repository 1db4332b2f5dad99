// SPDX-License-Identifier: Apache-2.0
#include "velostream/adaptive_limit_line.hpp"

#include <string>

namespace velostream::detail {

Error::SharedText why_adaptive_limit_full(const AdaptiveLimitConfig& config) {
    return Error::SharedText{"limit between " + std::to_string(config.min_limit) + " and " +
                             std::to_string(config.max_limit) + ", max_waiting " + std::to_string(config.max_waiting)};
}

bool is_overload(const OverloadPredicate& predicate, const Error& error) noexcept {
    if (error.type() == ErrorType::cancelled) return false;
    try {
        return predicate ? predicate(error) : velostream::is_overload(error);
    } catch (...) {
        return true;
    }
}

} // namespace velostream::detail
