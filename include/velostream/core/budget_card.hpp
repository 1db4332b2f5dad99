// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "velostream/base/item_pool.hpp"
#include "velostream/core/operation_counter.hpp"

namespace velostream {

template <class Atomics>
struct BudgetNode;
template <class Atomics>
class BudgetWaiter;

/// What has become of a wait. `ended`: its owner was told, or has left.
enum class BudgetWait : std::uint64_t { ended = 0, fresh, waiting, granted, refused };

/// A word that says how a wait stands. Every operation on the card changes it, as its last step, from the word that the
/// operation was begun with; so what was decided about the card as it was does nothing to the card as it has become.
///
///     number of changes (57 bits) | steps aside (4 bits) | state (3 bits)
struct CardWord {
    static constexpr BudgetWait state_of(std::uint64_t word) noexcept { return BudgetWait{word & 7}; }
    static constexpr std::uint64_t side_steps_of(std::uint64_t word) noexcept { return word >> 3 & 15; }
    static constexpr std::uint64_t after(std::uint64_t word, BudgetWait state, std::uint64_t side_steps) noexcept {
        return ((word >> 7) + 1) << 7 | side_steps << 3 | static_cast<std::uint64_t>(state);
    }
    static constexpr bool is_waiting(std::uint64_t word) noexcept { return state_of(word) == BudgetWait::waiting; }
    /// It has ended, and nobody has told its owner yet.
    static constexpr bool is_untold(std::uint64_t word) noexcept {
        return state_of(word) == BudgetWait::granted || state_of(word) == BudgetWait::refused;
    }
};

/// `leaving`: it does not count any more, and is still linked.
enum class BudgetStand : std::uint64_t { out = 0, standing, leaving };

/// A word that says how a place stands, and how often that has changed.
struct PlaceWord {
    static constexpr BudgetStand state_of(std::uint64_t word) noexcept { return BudgetStand{word & 3}; }
    static constexpr bool is_standing(std::uint64_t word) noexcept { return state_of(word) == BudgetStand::standing; }
    static constexpr bool is_out(std::uint64_t word) noexcept { return state_of(word) == BudgetStand::out; }
    static constexpr std::uint64_t after(std::uint64_t word, BudgetStand state) noexcept {
        return ((word >> 2) + 1) << 2 | static_cast<std::uint64_t>(state);
    }
};

/// One who waits, as the tree knows him. `word` and the counters belong to operations; all else is written by his owner
/// before the first of them, and stays until he has ended and is in no line.
template <class Atomics>
struct BudgetCard {
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;
    using Index = IndexWord::Index;

    Atomic<std::uint64_t> word{0}; ///< a `CardWord`
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<BudgetWaiter<Atomics>*> waiter{
        nullptr}; ///< to be told; by who makes it `ended` from granted or refused
    std::atomic<Index> first_place{0};
    std::atomic<std::uint32_t> part_count{0};
    /// How many, and how many units, were granted before him while he was the first. They go on from one owner to the
    /// next: his are those above what is in `..._before`.
    OperationCounter<Atomics> overtaken_by, overtaken_units;
    std::atomic<std::uint64_t> overtaken_before{0}, units_before{0};
    /// An index word: his place at the level that was in his way last. A hint for texts.
    std::atomic<std::uint64_t> refused_at{0};
    Atomic<Index> next_free{0};
};

/// A place in the line of one level for one who waits, wherever he stands: he has one for each level that he needs.
/// `word` and `next` belong to operations, the rest as in `BudgetCard`.
template <class Atomics>
struct BudgetPlace {
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;
    using Index = IndexWord::Index;

    Atomic<std::uint64_t> word{0};                   ///< a `PlaceWord`
    std::atomic<BudgetNode<Atomics>*> node{nullptr}; ///< the level
    std::atomic<std::uint64_t> units{0};             ///< all that he wants there
    std::atomic<std::uint64_t> ticket{0};            ///< his
    std::atomic<Index> card{0};
    std::atomic<Index> next_of_card{0};
    /// The first places of a card also say what it wants: one for each part.
    std::atomic<BudgetNode<Atomics>*> part_node{nullptr};
    std::atomic<std::uint64_t> part_units{0};
    /// Index words: who stands behind him. The first list has all, the others ever fewer of them.
    std::array<Atomic<std::uint64_t>, Atomics::line_heights> next{};
    Atomic<Index> next_free{0};
};

} // namespace velostream
