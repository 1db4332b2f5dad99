// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream::bench {

/// By how many outcomes a window is off, looked at while so many threads record into it: beside what an exact window
/// would hold that takes all outcomes in the order in which their calls ended.
///
/// Every thread takes the number of its outcome, records it, and looks at the window now and then. Which outcomes fail
/// is known for each number beforehand, so the exact window is known for each moment. A look takes a while, so it is
/// compared with every moment from its beginning to its end, and the nearest counts. What is left is the error.
struct WindowErrors {
    int recorders = 0;
    std::uint64_t looks = 0;
    std::uint64_t wrong = 0; ///< looks that showed another number of failures than the exact window
    double mean = 0;
    std::uint64_t most = 0;
    std::vector<std::uint64_t> by_error; ///< how many looks were off by 0, 1, 2, …
};

/// Records `outcomes`, of which a third fails, in `recorders` threads. In a window of time every outcome is 10 µs later
/// than the one before.
WindowErrors measure_window(const CircuitBreakerConfig& config, int recorders, std::size_t outcomes);

/// How much later a circuit opens than a breaker would that judges an exact window after each outcome, while so many
/// threads record: in outcomes.
struct OpeningErrors {
    int recorders = 0;
    std::uint64_t trials = 0;
    std::uint64_t missed = 0; ///< circuits that should have opened and did not
    std::uint64_t exact = 0;  ///< that opened with the very outcome
    double mean = 0;          ///< of all that opened
    std::int64_t earliest = 0, latest = 0;
};

/// `trials` circuits, each of a service whose calls fail in 5 % of all cases, and after 500 of them in 70 %.
OpeningErrors measure_openings(const CircuitBreakerConfig& config, int recorders, int trials);

/// The exact window: failures among the outcomes `first + 1` to `last`, numbered from 1.
class ExactWindow {
  public:
    /// `fails(n)` says whether outcome `n` is a failure.
    template <class Fails>
    ExactWindow(std::size_t outcomes, Fails fails) : failures_(outcomes + 1) {
        for (std::size_t i = 1; i <= outcomes; ++i) failures_[i] = failures_[i - 1] + (fails(i) ? 1U : 0U);
    }

    bool fails(std::size_t outcome) const noexcept { return failures_[outcome] != failures_[outcome - 1]; }
    std::uint64_t failures(std::size_t first, std::size_t last) const noexcept {
        return failures_[last] - failures_[first];
    }

  private:
    std::vector<std::uint32_t> failures_; // among the first n
};

/// Before which outcome a window begins after `last` outcomes.
std::size_t beginning(const CircuitBreakerConfig& config, std::size_t last) noexcept;

} // namespace velostream::bench
