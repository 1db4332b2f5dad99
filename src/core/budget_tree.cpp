// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_tree.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

#include "velostream/base/core_count.hpp"
#include "velostream/core/budget_atomics.hpp"

namespace velostream {

template class BudgetTree<MachineAtomics>;

std::size_t MachineAtomics::shard_count() noexcept {
    static const auto count = std::min<std::size_t>(std::bit_ceil(core_count()), 8);
    return count;
}

void MachineAtomics::choose_shard() noexcept {
    static std::atomic<std::size_t> threads{0};
    thread_local const auto number = threads.fetch_add(1, std::memory_order_relaxed);
    thread_shard_offset = number % shard_count() * sizeof(BudgetShard<MachineAtomics>);
}

} // namespace velostream
