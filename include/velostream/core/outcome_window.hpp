// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "velostream/core/breaker_rules.hpp"
#include "velostream/core/outcome_shards.hpp"
#include "velostream/core/thread_seat.hpp"

namespace velostream {

/// What recording an outcome asks for.
enum class WindowEntry : std::uint8_t {
    late,     ///< its era is over: nothing was recorded
    counted,  ///< recorded; it cannot have made the circuit worth opening
    to_judge, ///< recorded; look at `counts`
};

/// The last `size` outcomes of calls: how many there were, how many failed, how many were slow.
///
/// A fast success only adds one to a counter that hardly any other thread writes. A failure or slow call asks all these
/// counters how many outcomes there have been, and notes that as its position: it is in the window while its position
/// is above (all outcomes − `size`). So the many successes of a healthy service cost next to nothing, on any number of
/// cores, and the few failures pay for the exact picture.
///
/// The window belongs to one *era*, the epoch of the closed state that it judges. A recorder of an earlier era finds
/// that its counter is of another one and records nothing.
///
/// Exactness:    one recorder at a time, whatever its thread: exactly the last `size` outcomes. With `t` recorders at
///               once, give or take the `t` outcomes that are being recorded; none of them is lost, and the last of
///               several failures sees them all.
/// Threads:      safe; successes are lock-free, failures and slow calls take a mutex.
class OutcomeWindow {
  public:
    /// Legal size: 1 to 1 000 000. Until more than `minimum` outcomes have been recorded, every outcome asks to be
    /// judged: any of them may be the one that completes a minimum.
    OutcomeWindow(std::size_t size, std::uint32_t minimum);

    /// Records a fast success in `era`.
    WindowEntry record_success(std::uint32_t era) noexcept {
        if (!count(era)) [[unlikely]]
            return WindowEntry::late;
        // relaxed: it only saves work; whoever sees an old value looks closer.
        return beyond_minimum_.load(std::memory_order_relaxed) == era ? WindowEntry::counted : look_at_minimum(era);
    }

    /// Records a failure, a slow call or both in `era`.
    WindowEntry record(std::uint32_t era, bool failed, bool slow);

    /// Ends the era before: an empty window. Not to be called by several threads at once.
    void begin_era(std::uint32_t era);

    OutcomeCounts counts() const;
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(size_); }

  private:
    static constexpr std::uint32_t no_era = ~std::uint32_t{0};

    // Positions, ascending. Grows with need, up to the window's size.
    class Positions {
      public:
        void push(std::uint64_t position) noexcept;
        void forget_until(std::uint64_t position) noexcept;
        void clear() noexcept { first_ = count_ = 0; }
        std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(count_); }

      private:
        void grow() noexcept;

        std::vector<std::uint64_t> ring_ = std::vector<std::uint64_t>(128); // a power of two
        std::size_t first_ = 0;
        std::size_t count_ = 0;
    };

    bool count(std::uint32_t era) noexcept { return shards_.count(thread_seat() % OutcomeShards<>::size, era); }

    WindowEntry look_at_minimum(std::uint32_t era) noexcept;
    void forget_until(std::uint64_t outcomes) const noexcept; // with the mutex: what that many have pushed out

    const std::uint64_t size_;
    const std::uint64_t minimum_;
    std::atomic<std::uint32_t> beyond_minimum_{no_era}; // the era, once it has more outcomes than the minimum

    alignas(64) mutable std::mutex mutex_;
    std::uint32_t era_ = 0; // guarded by the mutex, as the next two
    mutable Positions failed_, slow_;

    OutcomeShards<> shards_;
};

} // namespace velostream
