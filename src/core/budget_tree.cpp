// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_tree.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>

#include "velostream/base/core_count.hpp"
#include "velostream/core/budget_atomics.hpp"

namespace velostream {

template class BudgetTree<MachineAtomics>;

std::size_t MachineAtomics::shard_count() noexcept {
    static const auto count = std::min<std::size_t>(std::bit_ceil(core_count()), 8);
    return count;
}

namespace {

/// A thread's place at the shards of all trees, from its first take until it ends. Which one changes only how often
/// threads meet, so that relaxed counts and a choice that races with another's are good enough.
class ShardSeat {
  public:
    ShardSeat() noexcept {
        std::size_t fewest = 0;
        for (std::size_t index = 1; index < MachineAtomics::shard_count(); ++index) {
            if (threads[index].load(std::memory_order_relaxed) < threads[fewest].load(std::memory_order_relaxed))
                fewest = index;
        }
        index_ = fewest;
        threads[index_].fetch_add(1, std::memory_order_relaxed);
        thread_shard_offset = static_cast<std::ptrdiff_t>(sizeof(Node) + index_ * sizeof(Shard));
    }
    ShardSeat(const ShardSeat&) = delete;
    ShardSeat& operator=(const ShardSeat&) = delete;
    /// What the thread still takes while it ends, it takes from the same shard.
    ~ShardSeat() { threads[index_].fetch_sub(1, std::memory_order_relaxed); }

  private:
    using Node = BudgetNode<MachineAtomics>;
    using Shard = BudgetShard<MachineAtomics>;

    static inline constinit std::array<std::atomic<std::size_t>, 8> threads{};
    std::size_t index_;
};

} // namespace

void MachineAtomics::choose_shard() noexcept {
    if (thread_shard_offset == 0) {
        thread_local const ShardSeat seat;
    }
}

} // namespace velostream
