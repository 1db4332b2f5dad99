// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "figures/samples.hpp"

namespace velostream::bench {

/// The executables `*_bench` in `folder`, in alphabetical order.
std::vector<std::filesystem::path> programs_in(const std::filesystem::path& folder);

/// Runs one with `options` and returns what it measured. Throws `std::runtime_error` that names the program if it
/// fails, crashes or hands over nothing readable.
ProgramResult run_program(const std::filesystem::path& program, const std::vector<std::string>& options);

} // namespace velostream::bench
