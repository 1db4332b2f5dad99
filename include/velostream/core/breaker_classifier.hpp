// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "velostream/base/error.hpp"
#include "velostream/core/breaker_types.hpp"

namespace velostream {

/// Which failed calls count against the service behind a circuit breaker. The first rule that applies decides:
/// cancelled (by type, always), ignored, throttled, failure, and what is none of them counts as success.
///
/// Errors:  a predicate that throws makes the call a failure.
/// Threads: called from any thread that ends a call.
struct CallClassifier {
    using Predicate = std::function<bool(const Error&)>;

    /// Not the service's fault; counted apart. Unset: `bad_request`, the errors of poison records.
    Predicate ignored = nullptr;
    /// The service asks for less, or a limit of this process refused; counted apart, never opens the circuit. Unset:
    /// `resource_exhausted`.
    Predicate throttled = nullptr;
    /// Counts against the service. Unset: every other error.
    Predicate failure = nullptr;

    CallOutcomeKind classify(const Error& error) const noexcept;
};

} // namespace velostream
