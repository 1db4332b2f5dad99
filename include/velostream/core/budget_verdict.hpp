// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace velostream {

/// How an operation was decided. `not_now`: it came too late, or too early, and changes nothing. `refused_at + n`: the
/// nth level, as its demand counts them, lacked room. `behind_at + n`: somebody waits there who came before.
enum class BudgetVerdict : std::uint64_t {
    undecided = 0,
    committed,
    shard_moved,
    not_now,
    // of one who goes to another line:
    comes,       ///< and is on his way up or down
    comes_alone, ///< and leaves the lines beside it
    comes_too,   ///< and stays in those beside it
    stays,       ///< he stood there
    refused_at,
    behind_at = 8192 // more than eight parts of 1000 levels have
};

namespace budget_verdict {

inline bool is_effective(BudgetVerdict verdict) noexcept {
    return verdict == BudgetVerdict::committed || (verdict >= BudgetVerdict::comes && verdict <= BudgetVerdict::stays);
}
inline bool is_behind(BudgetVerdict verdict) noexcept {
    return verdict >= BudgetVerdict::behind_at;
}
/// Of one that was refused, or is behind somebody.
inline std::size_t level_of(BudgetVerdict verdict) noexcept {
    const auto first = is_behind(verdict) ? BudgetVerdict::behind_at : BudgetVerdict::refused_at;
    return static_cast<std::size_t>(verdict) - static_cast<std::size_t>(first);
}

} // namespace budget_verdict

} // namespace velostream
