// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream::testing {

inline constexpr auto not_complete = "not complete";

/// What a test compares with "": why a check failed, or that not every schedule was covered.
inline std::string failure_of(const ExplorationReport& report) {
    return !report.complete && report.failure.empty() ? not_complete : report.failure;
}

/// That the exploration gave up does not show that it found the fault of a mutant.
inline bool is_noticed(const std::string& failure) {
    return !failure.empty() && failure != not_complete;
}

} // namespace velostream::testing
