// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "velostream/base/errc.hpp"

namespace velostream {

/// What an account counts. All accounts of a tree count the same.
enum class BudgetUnit {
    bytes,       ///< of memory
    disk_bytes,  ///< of files
    records,     ///< in windows
    groups,      ///< of aggregations
    connections, ///< to servers
    queries,     ///< that are open
};

/// The error of an account that lacks room for some more of them.
Errc refusal_code(BudgetUnit unit) noexcept;

/// For people: `1 group`, `20 groups`.
std::string counted(std::uint64_t count, BudgetUnit unit);

} // namespace velostream
