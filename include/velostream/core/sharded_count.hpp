// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "velostream/core/thread_seat.hpp"

namespace velostream {

/// A count of what every call does, in a cache line that few other threads write: up to eight of them count without an
/// atomic read-modify-write.
///
/// Threads: safe, lock-free. No increment is lost; what is being counted while somebody asks may be missing.
class ShardedCount {
  public:
    void add() noexcept {
        // relaxed: counts only, publishes nothing.
        const auto seat = thread_seat();
        auto& shard = shards_[seat % shard_count];
        if (seat < shard_count && sits_alone()) [[likely]]
            shard.alone.store(shard.alone.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        else
            shard.others.fetch_add(1, std::memory_order_relaxed);
    }

    std::uint64_t sum() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& shard : shards_)
            sum += shard.alone.load(std::memory_order_relaxed) + shard.others.load(std::memory_order_relaxed);
        return sum;
    }

  private:
    static constexpr std::size_t shard_count = 8;
    struct alignas(64) Shard {
        std::atomic<std::uint64_t> alone{0};  // written by the thread that sits alone at the seat of this number
        std::atomic<std::uint64_t> others{0}; // by all others
    };
    std::array<Shard, shard_count> shards_;
};

} // namespace velostream
