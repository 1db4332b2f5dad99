// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "velostream/core/sharded_count.hpp"
#include "velostream/core/thread_seat.hpp"

namespace velostream {

/// What a circuit breaker keeps its state in when any number of threads call it: what is written often is kept once for
/// each thread seat, on a cache line of its own.
struct SharedMemory {
    template <class T>
    using Atomic = std::atomic<T>;
    using Mutex = std::mutex;
    using Count = ShardedCount;
    static constexpr std::size_t shards = thread_seats;
    static constexpr std::size_t alignment = 64;
    static std::size_t seat() noexcept { return thread_seat(); }
};

/// The operations of an atomic, for one thread at a time.
template <class T>
class ConfinedAtomic {
  public:
    ConfinedAtomic() noexcept = default;
    explicit(false) ConfinedAtomic(T value) noexcept : value_(value) {}
    ConfinedAtomic(const ConfinedAtomic&) = delete;
    ConfinedAtomic& operator=(const ConfinedAtomic&) = delete;

    T load(std::memory_order = std::memory_order_seq_cst) const noexcept { return value_; }
    void store(T value, std::memory_order = std::memory_order_seq_cst) noexcept { value_ = value; }
    T exchange(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
        const auto before = value_;
        value_ = value;
        return before;
    }
    T fetch_add(T by, std::memory_order = std::memory_order_seq_cst) noexcept {
        const auto before = value_;
        value_ = before + by;
        return before;
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order = std::memory_order_seq_cst,
                                 std::memory_order = std::memory_order_seq_cst) noexcept {
        if (value_ != expected) {
            expected = value_;
            return false;
        }
        value_ = desired;
        return true;
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success = std::memory_order_seq_cst,
                               std::memory_order failure = std::memory_order_seq_cst) noexcept {
        return compare_exchange_strong(expected, desired, success, failure);
    }

  private:
    T value_{};
};

/// What it keeps its state in when only one thread at a time calls it, as on a strand or under a lock of the caller's:
/// plain memory, and little of it.
struct ConfinedMemory {
    template <class T>
    using Atomic = ConfinedAtomic<T>;
    struct Mutex {
        void lock() noexcept {}
        void unlock() noexcept {}
    };
    class Count {
      public:
        void add() noexcept { ++count_; }
        std::uint64_t sum() const noexcept { return count_; }

      private:
        std::uint64_t count_ = 0;
    };
    static constexpr std::size_t shards = 1;
    static constexpr std::size_t alignment = alignof(std::uint64_t);
    static std::size_t seat() noexcept { return 0; }
};

} // namespace velostream
