// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "figures/samples.hpp"
#include "figures/selection.hpp"
#include "support/suite.hpp"

namespace velostream::bench {

struct RunOptions {
    Filter filter;
    int repetitions = 7;
    /// How long a sample of a row that names no number of iterations lasts.
    std::chrono::duration<double> sample_time{0.1};
};

/// Measures what the filter selects, with its floors. Contenders take turns: every row once, then every row again,
/// so that whatever else the machine does meets them all.
///
/// Throws `std::runtime_error` if a benchmark reports an error or counts no allocations.
ProgramResult run(const Suite& suite, std::string program, const RunOptions& options);

} // namespace velostream::bench
