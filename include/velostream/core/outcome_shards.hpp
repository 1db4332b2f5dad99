// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace velostream {

/// How many outcomes an era has had, counted by many threads that hardly ever touch the same cache line.
///
/// Invariants, whatever threads do:
/// * A shard holds one word: the era it counts (its lower 16 bits) and how many outcomes it has counted of that era.
///   Both change in one compare-and-swap, so no outcome is counted for an era in which it was not recorded.
/// * Of two threads that each count an outcome and then ask for `outcomes`, at least one is told of both: the two
///   counts and the loads after them are seq_cst, and have one order that all threads agree on.
/// * Of one that says `watch` and then asks for `outcomes`, and one that counts and then asks `is_watched`, either the
///   first is told of the outcome or the second of the watch: for the same reason.
///
/// A shard counts 2^48 outcomes of an era: ten months of ten million a second by one thread, without a change of state.
/// Only a recorder that was suspended in mid-step for 65 536 eras could take one for another.
///
/// Threads: safe, lock-free. `begin_era` by one thread at a time; who counts in the era learns of it by an acquire of
///          something that was released after `begin_era`.
template <template <class> class Atomic = std::atomic, std::size_t Shards = 16, std::size_t Alignment = 64>
class OutcomeShards {
  public:
    static constexpr std::size_t size = Shards;

    /// One more outcome of `era`. False, and nothing changed, if the era is over.
    bool count(std::size_t shard, std::uint32_t era) noexcept {
        auto& word = shards_[shard].word;
        auto seen = word.load(std::memory_order_relaxed); // the compare-and-swap decides whether it was right
        while (seen >> count_bits == (era & 0xFFFF))
            if (word.compare_exchange_weak(seen, seen + 1, std::memory_order_seq_cst, std::memory_order_relaxed))
                return true;
        return false;
    }

    /// Whether outcomes are to be looked at one by one: at the beginning of an era, and from `watch` to `unwatch`.
    bool is_watched(std::uint32_t era) const noexcept { return unwatched_.load(std::memory_order_seq_cst) != era; }
    void watch() noexcept { unwatched_.store(no_era, std::memory_order_seq_cst); }
    void unwatch(std::uint32_t era) noexcept {
        // relaxed: who sees it too late looks at an outcome for nothing.
        unwatched_.store(era, std::memory_order_relaxed);
    }

    /// Of the era. Those that are being counted meanwhile may be in it or not.
    std::uint64_t outcomes() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& shard : shards_) sum += shard.word.load(std::memory_order_seq_cst) & count_mask;
        return sum;
    }

    /// Ends the era before and starts at 0, watched.
    void begin_era(std::uint32_t era) noexcept {
        watch();
        // relaxed: what announces the era publishes them.
        for (auto& shard : shards_)
            shard.word.store(std::uint64_t{era & 0xFFFF} << count_bits, std::memory_order_relaxed);
    }

  private:
    static constexpr std::uint32_t no_era = ~std::uint32_t{0};
    static constexpr unsigned count_bits = 48;
    static constexpr std::uint64_t count_mask = (std::uint64_t{1} << count_bits) - 1;

    struct alignas(Alignment) Shard {
        Atomic<std::uint64_t> word{0};
    };
    Atomic<std::uint32_t> unwatched_{no_era}; // the era, if its outcomes need not be looked at
    std::array<Shard, Shards> shards_;
};

} // namespace velostream
