// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_classifier.hpp"

namespace velostream {

CallOutcomeKind CallClassifier::classify(const Error& error) const noexcept {
    try {
        const auto type = error.type();
        if (type == ErrorType::cancelled) return CallOutcomeKind::cancelled;
        if (ignored ? ignored(error) : type == ErrorType::bad_request) return CallOutcomeKind::ignored;
        if (throttled ? throttled(error) : type == ErrorType::resource_exhausted) return CallOutcomeKind::throttled;
        return !failure || failure(error) ? CallOutcomeKind::failure : CallOutcomeKind::success;
    } catch (...) {
        return CallOutcomeKind::failure;
    }
}

} // namespace velostream
