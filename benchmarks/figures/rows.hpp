// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "figures/goals.hpp"
#include "figures/samples.hpp"

namespace velostream::bench {

/// One line of the table.
struct Row {
    std::string name;
    int threads = 1;
    double median_ns = 0;
    double min_ns = 0;
    double max_ns = 0;
    double cpu_ns = 0;
    double allocs_per_op = 0; // to a thousandth: what happens once per run is not part of an operation

    // Only where the row has a goal. Of several promises these tell about the one that is nearest to its limit, or
    // farthest beyond it; `met` is about all of them.
    std::optional<std::string> floor;
    std::optional<double> ratio;
    std::optional<double> goal;
    bool met = true;

    // For readers of the table.
    std::optional<double> floor_ns; // the floor's figure that `ratio` was made of
    std::string judged_by;          // "wall", "cpu", "rate", "allocations"
};

/// Turns samples into rows and judges them, each against the floor of its own program. A row that several programs
/// carry (a floor) is shown once, with the samples of all of them.
///
/// Throws `std::runtime_error` if a row's floor was not measured beside it.
std::vector<Row> make_rows(const std::vector<ProgramResult>& results, std::span<const Goal> goals);

/// How the cost of `growth/<what>/<n>` grows with n: cost ~ n^exponent over the rows of one `<what>`.
struct Growth {
    std::string what;
    double from = 0;
    double to = 0;
    double exponent = 0;
};

/// One entry for every `<what>` of `growth/` and `growth_long/` that was measured at two sizes or more.
std::vector<Growth> growth_of(const std::vector<Row>& rows);

} // namespace velostream::bench
