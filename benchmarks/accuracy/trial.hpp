// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "accuracy/trace.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream::bench {

/// A way to guard calls: retry around a breaker, or retry alone.
struct Contender {
    std::string name;
    std::string rules; ///< for the reader of the table
    std::optional<CircuitBreakerConfig> breaker;
};
std::vector<Contender> contenders();

/// What came of a trace under a contender.
struct Trial {
    struct Change {
        Duration at{}; ///< after the start
        CircuitState to = CircuitState::closed;
    };

    std::uint64_t calls = 0, failed_calls = 0;
    std::uint64_t attempts = 0;           ///< that reached the service
    std::uint64_t attempts_in_bad = 0;    ///< of these, while a breaker should have been open
    std::uint64_t probes = 0;             ///< of these, while the circuit was half-open
    std::uint64_t refused_in_good = 0;    ///< attempts that were refused while it should not have been open
    std::uint64_t false_openings = 0;     ///< of a closed circuit, while it should not have opened
    std::optional<Duration> opened_after; ///< the first time, counted from the beginning of the first bad span
    std::optional<Duration> closed_after; ///< for the last time, counted from the end of the last bad span
    std::vector<Change> changes;

    double amplification() const noexcept {
        return calls == 0 ? 1.0 : static_cast<double>(attempts) / static_cast<double>(calls);
    }
};

/// Runs `trace`, shortened to `part` of its length, with 50 calls a second, in virtual time.
///
/// Errors: throws `std::runtime_error` if calls did not end.
Trial run_trial(const Trace& trace, const Contender& contender, double part = 1.0);

} // namespace velostream::bench
