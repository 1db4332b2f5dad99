// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "velostream/base/units.hpp"
#include "velostream/config/defaulted.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream::kafka {

/// Of the memory budget, for each queue of a client whose size nobody chose.
inline constexpr Bytes queues_in_budget = 16;
/// What such a queue has however small the budget is: a client asks the brokers for as much at a time.
inline constexpr Bytes least_queue_bytes = 1 * mebibyte;

/// How large a queue of a client may become: as it was chosen, else by the lowest limit of `budget` and all above it.
inline Bytes queue_bytes(const Defaulted<Bytes>& setting, const MemoryAccount& budget) {
    const auto limit = budget.lowest_limit();
    if (setting.is_chosen() || !limit) return setting;
    return std::clamp<Bytes>(*limit / queues_in_budget, least_queue_bytes, setting);
}

} // namespace velostream::kafka
