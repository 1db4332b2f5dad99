// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"

namespace velostream::bench {

/// How a service behaves from some moment on.
struct ServicePhase {
    Duration from{};                ///< after the start
    double failures = 0;            ///< the fraction of attempts that fail
    double slow = 0;                ///< the fraction that takes two seconds instead of a few milliseconds
    bool is_bad = false;            ///< whether a breaker should be open
    Duration period = Duration{0};  ///< if it is not 0, only the first half of each period is like this...
    double failures_in_between = 0; ///< ...and the other one fails so often and is not bad
};

/// What happens to a service in the course of a day, cut short. The same attempt of the same call comes to the same
/// thing whoever makes it, so that all that differs between two runs of a trace is what guards the calls.
struct Trace {
    std::string name;
    std::string story; ///< for the reader of the table
    Duration duration{};
    std::vector<ServicePhase> phases; ///< in their order, the first from 0

    struct Moment {
        double failures = 0, slow = 0;
        bool is_bad = false;
    };
    Moment at(Duration after_start) const noexcept;

    struct Attempt {
        bool fails = false;
        Duration takes{};
    };
    Attempt attempt(std::uint64_t call, std::uint32_t attempt, Duration after_start) const noexcept;

    /// The spans in which a breaker should be open.
    struct Span {
        Duration from{}, until{};
    };
    std::vector<Span> bad_spans() const;
};

/// Steady errors, a burst, a brown-out, flapping, and an outage with its recovery.
std::vector<Trace> traces();

/// Uniform in [0, 1), of nothing but its arguments.
double drawn(std::uint64_t call, std::uint32_t attempt, std::uint32_t of_what) noexcept;

} // namespace velostream::bench
