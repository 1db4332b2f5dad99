// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "velostream/core/breaker_rules.hpp"

namespace velostream {

/// The last `size` outcomes of calls, and how many of them failed or were slow.
///
/// Each outcome takes the next place of a ring; whoever changes a bit of the ring corrects the counter. A fast success
/// in the place of a fast success changes no bit: it costs one compare-and-swap of the position, and touches nothing
/// that other threads write.
///
/// The window belongs to one *era* (the epoch of the closed state it judges). Every word carries its era, so a new era
/// starts with an empty window without anything being cleared, and an outcome of an earlier era cannot get in.
///
/// Exactness:    one recorder at a time: exactly the last `size` outcomes. With `t` recorders inside `record` at once
///               the counts are those of the last `size` outcomes, give or take the at most `t` outcomes on their way
///               and the `t` that they replace; when they have left, the counters equal the ring. A recorder that is
///               suspended inside `record` while `size` others pass puts its outcome in the place of a newer one.
/// Threads:      safe, lock-free.
template <template <class> class Atomic = std::atomic>
class OutcomeWindow {
  public:
    /// Legal size: 1 to 1 000 000. Remembers slowness only if `tracks_slow`.
    OutcomeWindow(std::size_t size, bool tracks_slow)
        : size_(static_cast<std::uint32_t>(size)),
          places_shift_(tracks_slow ? 4 : 5),
          words_(std::make_unique<Atomic<std::uint64_t>[]>(((size - 1) >> places_shift_) + 1)) {}

    /// Adds an outcome to `era`'s window. `era_goes_on()` says whether that era is still the current one.
    ///
    /// Returns the outcome's position since the era began, from 1; it stays above `size` once the window is full. 0 if
    /// the era is over: then nothing was added.
    template <std::predicate EraGoesOn>
    std::uint32_t record(std::uint32_t era, bool failed, bool slow, EraGoesOn era_goes_on) noexcept {
        std::uint32_t position = 0;
        if (!update(position_, era, era_goes_on, [&](std::uint32_t passed) {
                position = passed + 1;
                return position == 2 * size_ ? size_ : position;
            }))
            return 0;
        const auto place = position <= size_ ? position - 1 : position - 1 - size_;
        mark(era, place, failed, slow, era_goes_on);
        return position;
    }

    /// What the window of `era` holds; nothing if it has not begun.
    OutcomeCounts counts(std::uint32_t era) const noexcept {
        const auto calls = std::min(value_in(position_, era), size_);
        return {calls, count_in(failures_, era, calls), count_in(slow_, era, calls)};
    }

    std::uint32_t size() const noexcept { return size_; }
    bool tracks_slow() const noexcept { return places_shift_ == 4; }

  private:
    // A word is the era in its upper half and a value in its lower half. The value of another era counts as 0.
    static constexpr std::uint64_t tagged(std::uint32_t era, std::uint32_t value) noexcept {
        return std::uint64_t{era} << 32 | value;
    }

    // relaxed throughout: the words are independent counts and publish nothing else; the state change that they lead to
    // is ordered by the control word.
    static std::uint32_t value_in(const Atomic<std::uint64_t>& word, std::uint32_t era) noexcept {
        const auto seen = word.load(std::memory_order_relaxed);
        return static_cast<std::uint32_t>(seen >> 32) == era ? static_cast<std::uint32_t>(seen) : 0;
    }

    // A correction downwards may overtake the one upwards that it follows; never show it.
    static std::uint32_t count_in(const Atomic<std::uint64_t>& word, std::uint32_t era, std::uint32_t calls) noexcept {
        const auto value = static_cast<std::int32_t>(value_in(word, era));
        return std::min(static_cast<std::uint32_t>(std::max(value, 0)), calls);
    }

    // Applies `step` to the era's value. False, and nothing changed, if the era is over. If it ends between the
    // question and the swap, either the word changed in the new era and the swap fails, or it did not, and then a value
    // of the old era counts as 0 in the new one.
    template <class EraGoesOn, class Step>
    static bool update(Atomic<std::uint64_t>& word, std::uint32_t era, EraGoesOn& era_goes_on, Step step) noexcept {
        auto seen = word.load(std::memory_order_relaxed);
        for (;;) {
            const bool of_this_era = static_cast<std::uint32_t>(seen >> 32) == era;
            if (!of_this_era && !era_goes_on()) return false;
            const auto next = tagged(era, step(of_this_era ? static_cast<std::uint32_t>(seen) : 0));
            if (next == seen) return true;
            if (word.compare_exchange_weak(seen, next, std::memory_order_relaxed, std::memory_order_relaxed))
                return true;
        }
    }

    template <class EraGoesOn>
    void mark(std::uint32_t era, std::uint32_t place, bool failed, bool slow, EraGoesOn& era_goes_on) noexcept {
        auto& word = words_[place >> places_shift_];
        const auto failed_bit = std::uint32_t{1} << (place & ((1U << places_shift_) - 1));
        const auto slow_bit = tracks_slow() ? failed_bit << 16 : std::uint32_t{0};
        const auto bits = (failed ? failed_bit : 0) | (slow ? slow_bit : 0);

        auto before = value_in(word, era);
        if ((before & (failed_bit | slow_bit)) == bits) return; // of another era: all fast successes, as it counts
        const bool marked = update(word, era, era_goes_on, [&](std::uint32_t value) {
            before = value;
            return (value & ~(failed_bit | slow_bit)) | bits;
        });
        if (!marked) return;
        correct(failures_, era, before & failed_bit, bits & failed_bit, era_goes_on);
        correct(slow_, era, before & slow_bit, bits & slow_bit, era_goes_on);
    }

    template <class EraGoesOn>
    static void correct(Atomic<std::uint64_t>& count, std::uint32_t era, std::uint32_t before, std::uint32_t after,
                        EraGoesOn& era_goes_on) noexcept {
        if (before == after) return;
        update(count, era, era_goes_on, [&](std::uint32_t value) { return after ? value + 1 : value - 1; });
    }

    // No word begins in era 0 by accident: a fresh word is era 0 with value 0, which is what an empty window holds.
    const std::uint32_t size_;
    const std::uint32_t places_shift_;                     // 32 places a word, or 16 with room for slow bits
    const std::unique_ptr<Atomic<std::uint64_t>[]> words_; // failed bits from bit 0, slow bits from bit 16
    alignas(64) Atomic<std::uint64_t> position_{0};        // written by every record: a cache line of its own
    alignas(64) Atomic<std::uint64_t> failures_{0};        // written when a bit changes
    Atomic<std::uint64_t> slow_{0};
};

} // namespace velostream
