// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace velostream {

template <class Atomics>
struct BudgetNode;

/// How a take ended: granted, or the level that refused it and the figures there at that moment.
template <class Atomics>
struct BudgetOutcome {
    const BudgetNode<Atomics>* refused_by = nullptr;
    std::uint64_t used = 0;
    std::uint64_t limit = 0;
    std::uint64_t asked = 0;   ///< of that level
    std::uint64_t waiting = 0; ///< who waited there, and may not be overtaken

    bool granted() const noexcept { return refused_by == nullptr; }
    bool can_never_be() const noexcept { return asked > limit; }
};

} // namespace velostream
