// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "velostream/base/error.hpp"

namespace velostream::dlq {

enum ExitCode { success = 0, failed_command = 1, wrong_usage = 2, unreadable_input = 3 };

/// How a command has ended, and what is wrong where it did not end well.
struct Ended {
    ExitCode code = success;
    std::string problem;
};

inline Ended ended_with(ExitCode code, const Error& error) {
    return {code, error.message()};
}

} // namespace velostream::dlq
