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
/// * Open: anyone may take (compare-and-swap, the turn goes up) or put (fetch_add).
/// * Closed: nobody takes; only an operation of the tree changes it, and raises the turn when it does (see
///   `budget_operation.hpp`). A put that was under way when the shard closed lands in the closed word; who put it sees
///   that and has the tree collect it before his call returns.
/// * Puts stop at `capacity` ≤ 2^21. The check and the add are two steps, so threads that race may pass it,
///   each once by at most 2^21: it takes 16 000 of them at the same instant to leave the 35 bits.
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

    enum class Put { stored, past_capacity, stored_in_closed };

    /// Puts `units` here if the shard is open and has not enough of them already.
    Put try_put(std::uint64_t units) noexcept {
        const auto most = capacity.load(std::memory_order_relaxed);
        const auto seen = word.load(std::memory_order_relaxed) & (closed | credit_mask); // closed is above any capacity
        if (units > most || seen + units > most) return Put::past_capacity;
        // release: pairs with the acquire of the next take
        const auto before = word.fetch_add(units, std::memory_order_release);
        return is_closed(before) ? Put::stored_in_closed : Put::stored;
    }

    /// No take succeeds after this until an operation opens the shard. Returns the word as it was left.
    std::uint64_t close() noexcept { return word.fetch_or(closed, std::memory_order_seq_cst) | closed; }
};

} // namespace velostream
