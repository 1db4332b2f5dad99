// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace velostream {

/// The permits of a bulkhead: how many are out, how many there may be, and whether somebody may stand in line for one.
///
/// Who finds room takes and gives back with one atomic each, and no lock. The line itself belongs to the owner, who
/// keeps it under a lock: members whose name says `locked` need that lock.
///
/// Threads: safe, lock-free. Who takes a permit sees what those did who gave permits back.
template <template <class> class Atomic = std::atomic>
class BulkheadControl {
  public:
    explicit BulkheadControl(std::uint32_t limit) noexcept : word_(std::uint64_t{limit} << limit_shift) {}

    /// Takes a permit. False if all are out, or somebody stands in line: then the line decides.
    bool try_take() noexcept {
        auto seen = word_.load(std::memory_order_relaxed);
        while (has_room(seen) && !has_line(seen))
            // acquire: of what was done under the permit before.
            if (word_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed))
                return true;
        return false;
    }

    /// Gives a permit back. True if somebody stands in line: then the caller takes the lock and serves it.
    bool give_back() noexcept {
        // release: of what was done under the permit.
        return has_line(word_.fetch_sub(1, std::memory_order_release));
    }

    /// Takes a permit for a newcomer, or announces that he joins the line before the lock is released.
    bool locked_take_or_join() noexcept {
        auto seen = word_.load(std::memory_order_relaxed);
        for (;;) {
            const bool takes = has_room(seen) && !has_line(seen);
            const auto next = takes ? seen + 1 : seen | line_bit;
            if (word_.compare_exchange_weak(seen, next, std::memory_order_acquire, std::memory_order_relaxed))
                return takes;
        }
    }

    /// Takes a permit for the first in the line, which is not empty.
    bool locked_take_for_first() noexcept {
        auto seen = word_.load(std::memory_order_relaxed);
        while (has_room(seen))
            if (word_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed))
                return true;
        return false;
    }

    /// The last has left the line.
    void locked_end_line() noexcept { word_.fetch_and(~line_bit, std::memory_order_relaxed); }

    /// From now on so many permits. Those that are out beyond it stay out until they are given back. If it was raised
    /// the caller serves the line.
    void locked_set_limit(std::uint32_t limit) noexcept {
        auto seen = word_.load(std::memory_order_relaxed);
        const auto with_limit = [&] { return (seen & (line_bit | in_use_mask)) | std::uint64_t{limit} << limit_shift; };
        while (!word_.compare_exchange_weak(seen, with_limit(), std::memory_order_relaxed, std::memory_order_relaxed)) {
        }
    }

    /// Permits that are out, and how many there may be, at one moment.
    struct Load {
        std::uint32_t in_use, limit;
    };
    // relaxed: figures.
    Load load() const noexcept {
        const auto word = word_.load(std::memory_order_relaxed);
        return {in_use(word), limit(word)};
    }
    std::uint32_t in_use() const noexcept { return in_use(word_.load(std::memory_order_relaxed)); }
    std::uint32_t limit() const noexcept { return limit(word_.load(std::memory_order_relaxed)); }

  private:
    static constexpr unsigned limit_shift = 32;
    static constexpr std::uint64_t in_use_mask = 0xffff'ffff;
    static constexpr std::uint64_t line_bit = std::uint64_t{1} << 63;

    static std::uint32_t in_use(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word & in_use_mask); }
    static std::uint32_t limit(std::uint64_t word) noexcept {
        return static_cast<std::uint32_t>((word & ~line_bit) >> limit_shift);
    }
    static bool has_room(std::uint64_t word) noexcept { return in_use(word) < limit(word); }
    static bool has_line(std::uint64_t word) noexcept { return (word & line_bit) != 0; }

    // One bit for the line, 31 for the limit, 32 for the permits that are out. Invariants, whatever threads do:
    // * A permit is only taken where in_use < limit, by the same compare-and-swap; so in_use exceeds the limit only
    //   after that was lowered, and then goes down.
    // * The bit is set and cleared under the lock, and is set as long as the line is not empty. While it is set nobody
    //   takes a permit but for the first in the line, under the lock.
    // * No wake-up is lost: the bit is set by a swap of a word without room. Whoever gives back before it makes the
    // swap
    //   fail, and there is room; whoever gives back after it sees the bit and serves the line. So does who raises the
    //   limit.
    // Who serves hands permits over one by one, under the lock, as long as there is room: no permit has two takers.
    // tests/interleaving/core goes through every order of a few callers.
    Atomic<std::uint64_t> word_;
};

} // namespace velostream
