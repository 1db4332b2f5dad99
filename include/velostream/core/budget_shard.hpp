// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace velostream {

template <class Atomics>
struct BudgetNode;

/// Units that a node of a budget tree has taken from the tree and nobody uses: credit, ready for the next take of the
/// threads that share this shard. One read-modify-write takes some, one puts some back.
///
/// Everything about the credit is in one word, so that no order between two words can go wrong:
///
///     turn (28 bits) | closed (1 bit) | credit (35 bits)
///
/// * Open: anyone may take (the turn goes up) or put, by compare-and-swap.
/// * Closed: only an operation of the tree changes it, and raises the turn when it does (see `budget_operation.hpp`).
///   A put that was under way when the shard closed fails, with its units still in hand: they keep the node in place
///   while he looks for another way, and whoever put units into an open shard touches nothing of it after that.
/// * Puts stop at `capacity` ≤ 2^21, which is far below 2^35.
/// * The turn is what a late helper compares. It would have to sleep, between two instructions, for an exact
///   multiple of 2^28 changes of this shard to be wrong.
///
/// Orders: a take acquires what the puts before it released, all on this one word; each put is a read-modify-write, so
/// it carries on the release of the puts below it. `close` is seq_cst like all that operations do.
template <class Atomics>
struct alignas(64) BudgetShard {
    static constexpr std::uint64_t credit_mask = (std::uint64_t{1} << 35) - 1;
    static constexpr std::uint64_t closed = std::uint64_t{1} << 35;
    static constexpr std::uint64_t turn_step = std::uint64_t{1} << 36;
    static constexpr std::uint64_t max_quantum = std::uint64_t{1} << 20;

    typename Atomics::template Atomic<std::uint64_t> word{closed};
    /// Above this a put goes past the shard. Twice the quantum; a hint, so relaxed.
    typename Atomics::template Atomic<std::uint64_t> capacity{0};
    /// What the next refill leaves in the shard, at most. A hint, so relaxed.
    typename Atomics::template Atomic<std::uint64_t> quantum{0};
    BudgetNode<Atomics>* node = nullptr;

    static constexpr std::uint64_t credit_of(std::uint64_t word) noexcept { return word & credit_mask; }
    static constexpr bool is_closed(std::uint64_t word) noexcept { return (word & closed) != 0; }
    static constexpr std::uint64_t turn_of(std::uint64_t word) noexcept { return word & ~(closed | credit_mask); }

    /// Takes `units` if the credit at hand suffices; false says nothing about the tree.
    bool try_take(std::uint64_t units) noexcept {
        auto seen = word.load(std::memory_order_relaxed);
        if (units > credit_of(seen) || is_closed(seen)) return false;
        // acquire: whoever gave these units back has finished with what they stood for
        return word.compare_exchange_strong(seen, seen - units + turn_step, std::memory_order_acquire,
                                            std::memory_order_relaxed);
    }

    bool holds(std::uint64_t units) const noexcept {
        const auto seen = word.load(std::memory_order_relaxed);
        return units <= credit_of(seen) && !is_closed(seen);
    }

    /// Puts `units` here; false if the shard is closed or has enough of them already, or if another thread was faster.
    bool try_put(std::uint64_t units) noexcept {
        auto seen = word.load(std::memory_order_relaxed);
        if (!has_space(seen, units)) return false;
        // release: pairs with the acquire of the next take
        return word.compare_exchange_strong(seen, seen + units, std::memory_order_release, std::memory_order_relaxed);
    }

    bool has_space(std::uint64_t units) const noexcept {
        return has_space(word.load(std::memory_order_relaxed), units);
    }

    /// No take succeeds after this until an operation opens the shard. Returns the word as it was left.
    std::uint64_t close() noexcept { return word.fetch_or(closed, std::memory_order_seq_cst) | closed; }

  private:
    bool has_space(std::uint64_t seen, std::uint64_t units) const noexcept {
        // closed is above any capacity, and units below 2^63 do not wrap
        return (seen & (closed | credit_mask)) + units <= capacity.load(std::memory_order_relaxed);
    }
};

} // namespace velostream
