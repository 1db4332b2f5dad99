// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "velostream/base/error.hpp"
#include "velostream/testing/run_seed.hpp"

namespace velostream::testing {

/// What the calls of a `VirtualTraffic` came to. Printed, it says how to repeat the run:
///
/// ```cpp
/// EXPECT_TRUE(report.passed()) << report;
/// EXPECT_LT(report.count(ErrorType::timeout), 10u) << report;
/// ```
struct TrafficReport {
    /// Calls that ended in the same error: with one code and, `retries_exhausted` has several, of one type.
    struct Failures {
        Error first; ///< of the first of these calls
        std::uint64_t calls = 0;
    };

    RunSeed seed{0};
    std::uint64_t calls = 0;      ///< that began: the sum of the next three
    std::uint64_t succeeded = 0;  ///< that came to a value
    std::uint64_t failed = 0;     ///< that came to an error, or threw
    std::uint64_t unfinished = 0; ///< that had come to nothing when the grace period was over; they were cancelled then
    std::uint64_t ignored_cancellation = 0; ///< of these, that went on nevertheless

    std::vector<Failures> errors; ///< of the failed ones, in the order in which they came first
    Duration longest{};           ///< how long the slowest call took that ended
    std::size_t most_at_once = 0; ///< calls that were under way together
    Duration elapsed{};           ///< how much virtual time went by

    /// The same for two runs in which all calls ended at the same moments, in the same order, with the same outcome.
    /// Two runs of one seed that differ here depend on something else: a real clock, an address, another thread.
    std::uint64_t fingerprint = 0;

    /// What was expected of the run and did not come true; empty if it passed.
    std::vector<std::string> problems;

    bool passed() const noexcept { return problems.empty(); }

    /// Calls that failed with this code, or with an error of this type.
    std::uint64_t count(const boost::system::error_code& code) const noexcept;
    std::uint64_t count(ErrorType type) const noexcept;
    std::uint64_t count(Errc code) const noexcept { return count(make_error_code(code)); }

    /// Of the calls that ended, those that succeeded: 0 to 1. 1 if none ended.
    double success_rate() const noexcept;
};

std::ostream& operator<<(std::ostream& out, const TrafficReport& report);

} // namespace velostream::testing
