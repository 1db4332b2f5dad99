// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace velostream::bench {

/// What a child process took, from its start to its end.
struct ChildUsage {
    double wall_seconds = 0;
    double cpu_seconds = 0; // user and system, of all its threads
};

/// Runs `program` with `arguments` to its end. A child that outlives `longest` is killed.
///
/// Throws `std::runtime_error` that names the program and says how it ended, unless that was exit code 0.
ChildUsage run_child(const std::filesystem::path& program, std::vector<std::string> arguments,
                     std::optional<std::chrono::seconds> longest = std::nullopt);

} // namespace velostream::bench
