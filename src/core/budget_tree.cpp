// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_tree.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>

#include "velostream/base/core_count.hpp"
#include "velostream/core/budget_atomics.hpp"
#include "velostream/core/thread_seat.hpp"

namespace velostream {

template class BudgetTree<MachineAtomics>;

std::size_t MachineAtomics::shard_count() noexcept {
    // Not one that is set under the guard of the compiler, where others would wait; whoever was first is right for all.
    static constinit std::atomic<std::size_t> known{0};
    auto count = known.load(std::memory_order_relaxed);
    if (count != 0) return count;
    const auto found = std::min<std::size_t>(std::bit_ceil(core_count()), 8);
    return known.compare_exchange_strong(count, found, std::memory_order_relaxed) ? found : count;
}

void MachineAtomics::choose_shard() noexcept {
    using Node = BudgetNode<MachineAtomics>;
    using Shard = BudgetShard<MachineAtomics>;
    const auto shard = thread_seat() % shard_count();
    thread_shard_offset = static_cast<std::ptrdiff_t>(sizeof(Node) + shard * sizeof(Shard));
}

} // namespace velostream
