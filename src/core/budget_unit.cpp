// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_unit.hpp"

#include <array>
#include <cstddef>

namespace velostream {

namespace {

struct Facts {
    const char* one;
    const char* several;
    Errc refusal;
};

// In the order of `BudgetUnit`.
constexpr std::array facts{
    Facts{"byte", "bytes", Errc::memory_limit_exceeded},
    Facts{"disk byte", "disk bytes", Errc::disk_quota_exceeded},
    Facts{"record", "records", Errc::window_buffer_full},
    Facts{"group", "groups", Errc::group_refused},
    Facts{"connection", "connections", Errc::pool_exhausted},
    Facts{"query", "queries", Errc::admission_refused},
};

} // namespace

Errc refusal_code(BudgetUnit unit) noexcept {
    return facts[static_cast<std::size_t>(unit)].refusal;
}

std::string counted(std::uint64_t count, BudgetUnit unit) {
    const auto& names = facts[static_cast<std::size_t>(unit)];
    return std::to_string(count) + ' ' + (count == 1 ? names.one : names.several);
}

} // namespace velostream
