// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "velostream/core/thread_seat.hpp"

namespace velostream {

/// A count of what every call does, in a cache line that few other threads write.
///
/// Threads: safe, lock-free. No increment is lost; what is being counted while somebody asks may be missing.
class ShardedCount {
  public:
    void add() noexcept {
        // relaxed: counts only, publishes nothing.
        shards_[thread_seat() % shard_count].count.fetch_add(1, std::memory_order_relaxed);
    }

    std::uint64_t sum() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& shard : shards_) sum += shard.count.load(std::memory_order_relaxed);
        return sum;
    }

  private:
    static constexpr std::size_t shard_count = 8;
    struct alignas(64) Shard {
        std::atomic<std::uint64_t> count{0};
    };
    std::array<Shard, shard_count> shards_;
};

} // namespace velostream
