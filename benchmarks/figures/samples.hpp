// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace velostream::bench {

/// What one row measured: one entry per repetition, all of them per operation. At two threads `wall_ns` is what each
/// thread waits for an operation of its own and `cpu_ns` is what an operation costs, whoever pays.
struct Samples {
    std::string name;
    int threads = 1;
    std::vector<double> wall_ns;
    std::vector<double> cpu_ns;
    std::vector<double> allocations;
    /// What the last repetition had to say besides, such as a count; empty for most rows.
    std::string remark = {};
};

/// A row that could not run here, and why.
struct LeftOut {
    std::string name;
    std::string reason;
};

/// One run of one benchmark program. Rows of the same run may be compared with each other.
struct ProgramResult {
    std::string program;
    double load_before = 0;
    double load_after = 0;
    std::vector<Samples> samples;
    std::vector<LeftOut> left_out;
};

/// The form in which a benchmark program hands its result over.
std::string to_json(const ProgramResult& result);

/// Throws `std::runtime_error` if `text` is not what `to_json` writes, or a row has no samples.
ProgramResult program_result_from_json(std::string_view text);

/// The middle one, or the mean of the middle two. `values` must not be empty.
double median(std::vector<double> values);

} // namespace velostream::bench
