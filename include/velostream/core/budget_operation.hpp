// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "velostream/core/budget_demand.hpp"
#include "velostream/core/budget_marks.hpp"
#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_verdict.hpp"
#include "velostream/core/budget_wait_steps.hpp"

namespace velostream {

/// What an operation does, once and at all levels or not at all: takes what is demanded from every level, or returns
/// credit from a shard of its node to them; and changes that shard with it. Or it lets one who waits make a step, and
/// takes nothing unless that grants him what he demands.
template <class Atomics>
struct BudgetOperation {
    BudgetDemand<Atomics> demand;
    bool takes = true;
    /// The shard that changes too; null for none. It must be closed at `turn`, and gets the next turn.
    BudgetShard<Atomics>* shard = nullptr;
    std::uint64_t turn = 0;
    std::uint64_t credit_change = 0; ///< added to the credit, modulo 2^64
    bool opens = false;
    BudgetWaitStep step{};

    bool has_demand() const noexcept { return moves_units() || step.kind == BudgetStep::refuse; }
    bool moves_units() const noexcept { return step.kind == BudgetStep::none || step.kind == BudgetStep::grant; }
};

/// Carries out the operations of one tree one after another, without a lock: a thread that finds one under way
/// completes it, whoever began it, then begins its own. So each operation sees the whole tree standing still, takes
/// from all levels at once, and a thread that stops in the middle holds nobody up and hides nothing.
///
/// `current` names the operation under way. Its inputs lie in a slot that its owner keeps until it has ended; the
/// verdict goes into the slot by compare-and-swap, once. Every helper does all steps, each of which happens once:
///
///     judge   read all levels, write down each counter's base (what was read holds while undecided)
///     decide  compare-and-swap the verdict
///     apply   if committed: each counter from base to base + units (once, also where a demand names a level twice);
///             then the shard to its next turn, or the card of who waits (see `BudgetWaitSteps`)
///     end     compare-and-swap `current` to idle
///
/// A slot is reused; what a helper reads from it counts only if `current` has not moved since.
///
/// Orders: seq_cst wherever nothing is said. `current` and the deciders' announcements need it (see `BudgetTree`); the
/// rest could do with less, but is not where time is spent, and one total order keeps the argument short.
template <class Atomics>
class BudgetOperations {
  public:
    using Node = BudgetNode<Atomics>;
    using Operation = BudgetOperation<Atomics>;
    using Verdict = BudgetVerdict;

    explicit BudgetOperations(BudgetLines<Atomics>& lines) noexcept : steps_(lines) {}
    BudgetOperations(const BudgetOperations&) = delete;
    BudgetOperations& operator=(const BudgetOperations&) = delete;
    ~BudgetOperations();

    BudgetMarks<Atomics> marks; ///< on what the operations grant

    /// Carries out `operation`. Its nodes must stay in use until this returns.
    Verdict run(const Operation& operation) noexcept;

    /// Completes the operation under way, if there is one: what was decided before this call has all its effects after.
    void complete_current() noexcept {
        const typename Atomics::Scope scope;
        const auto seen = current_.load();
        if (is_busy(seen)) help(seen);
    }

    /// Changes with every operation; the same value twice means that none ran between.
    std::uint64_t current() const noexcept { return current_.load(); }

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    // current: sequence (50 bits) | slot (13 bits) | busy.  result: sequence (50 bits) | verdict (14 bits).
    static constexpr unsigned sequence_shift = 14;
    static constexpr std::size_t max_slots = std::size_t{1} << 13;
    static constexpr std::uint64_t verdict_mask = (std::uint64_t{1} << sequence_shift) - 1;

    struct alignas(64) Slot {
        Atomic<bool> claimed{false};
        Atomic<std::uint64_t> result{0};
        Atomic<std::uint64_t> kind{0}; // says which of those below count
        Atomic<Node*> node{nullptr};
        Atomic<std::uint64_t> units{0};
        Atomic<Node*> below{nullptr};
        Atomic<BudgetShard<Atomics>*> shard{nullptr};
        Atomic<std::uint64_t> turn{0};
        Atomic<std::uint64_t> credit_change{0};
        Atomic<std::uint64_t> card_and_place{0};
        Atomic<std::uint64_t> card_word{0};
        Atomic<std::uint64_t> place_word{0};
        struct Extra {
            Atomic<Node*> node{nullptr};
            Atomic<std::uint64_t> units{0};
        };
        Extra extra[BudgetDemand<Atomics>::most_parts - 1];
    };
    // kind: how many extra parts there are, and
    static constexpr std::uint64_t takes = std::uint64_t{1} << 8;
    static constexpr std::uint64_t opens = std::uint64_t{1} << 9;
    static constexpr std::uint64_t has_shard = std::uint64_t{1} << 10;
    static constexpr std::uint64_t is_bounded = std::uint64_t{1} << 11;
    static constexpr unsigned step_shift = 12;
    struct SlotBlock {
        static constexpr std::size_t size = 8;
        Slot slots[size];
        Atomic<SlotBlock*> next{nullptr};
    };

    static bool is_busy(std::uint64_t current) noexcept { return (current & 1) != 0; }
    static std::uint64_t sequence_of(std::uint64_t word) noexcept { return word >> sequence_shift; }
    static std::size_t slot_index_of(std::uint64_t current) noexcept { return (current & verdict_mask) >> 1; }
    static std::uint64_t idle_at(std::uint64_t sequence) noexcept { return sequence << sequence_shift; }
    static std::uint64_t busy_with(std::uint64_t sequence, std::size_t slot) noexcept {
        return sequence << sequence_shift | slot << 1 | 1;
    }
    static std::uint64_t result_of(std::uint64_t sequence, Verdict verdict) noexcept {
        return sequence << sequence_shift | static_cast<std::uint64_t>(verdict);
    }

    std::size_t claim_slot() noexcept;
    Slot& slot(std::size_t index) noexcept;

    void help(std::uint64_t busy) noexcept;
    void carry_out(const Operation& operation, Slot& slot, std::uint64_t busy) noexcept;
    static void write(Slot& slot, const Operation& operation) noexcept;
    bool read(const Slot& slot, std::uint64_t busy, Operation& operation) const noexcept;
    Verdict judge(const Operation& operation, const Slot& slot, std::uint64_t undecided) noexcept;
    Verdict judge_step(const Operation& operation, const Slot& slot, std::uint64_t undecided) noexcept;
    void apply(const Operation& operation, std::uint64_t busy) noexcept;
    void apply_step(const Operation& operation, Verdict verdict, std::uint64_t busy) noexcept;

    BudgetWaitSteps<Atomics> steps_;
    Atomic<std::uint64_t> current_{0};
    SlotBlock slots_;
};

template <class Atomics>
BudgetOperations<Atomics>::~BudgetOperations() {
    for (auto* block = slots_.next.load(); block != nullptr;) {
        auto* next = block->next.load();
        delete block;
        block = next;
    }
}

template <class Atomics>
auto BudgetOperations<Atomics>::run(const Operation& operation) noexcept -> Verdict {
    typename Atomics::Scope scope;
    const auto mine = claim_slot();
    auto& place = slot(mine);
    write(place, operation);

    auto seen = current_.load();
    for (;;) {
        scope.returns(mine, seen);
        if (is_busy(seen)) {
            help(seen);
            seen = current_.load();
            continue;
        }
        const auto sequence = sequence_of(seen) + 1;
        place.result.store(result_of(sequence, Verdict::undecided), std::memory_order_release);
        const auto busy = busy_with(sequence, mine);
        if (!current_.compare_exchange_strong(seen, busy)) continue;
        carry_out(operation, place, busy);
        const auto verdict = static_cast<Verdict>(place.result.load() & verdict_mask);
        place.claimed.store(false, std::memory_order_release);
        scope.returns(verdict);
        if (verdict == Verdict::committed && operation.moves_units()) marks.heed();
        return verdict;
    }
}

template <class Atomics>
void BudgetOperations<Atomics>::help(std::uint64_t busy) noexcept {
    typename Atomics::Scope scope;
    auto& place = slot(slot_index_of(busy));
    Operation operation;
    if (!read(place, busy, operation)) return; // it has ended
    scope.returns(operation);
    carry_out(operation, place, busy);
}

template <class Atomics>
void BudgetOperations<Atomics>::carry_out(const Operation& operation, Slot& place, std::uint64_t busy) noexcept {
    typename Atomics::Scope scope;
    const auto sequence = sequence_of(busy);
    const auto undecided = result_of(sequence, Verdict::undecided);
    auto result = place.result.load();
    if (result == undecided) {
        const auto verdict = judge(operation, place, undecided);
        if (verdict != Verdict::undecided) place.result.compare_exchange_strong(result, result_of(sequence, verdict));
        result = place.result.load();
    }
    scope.returns(result);
    const auto verdict = static_cast<Verdict>(result & verdict_mask);
    if (result == result_of(sequence, verdict) && budget_verdict::is_effective(verdict)) {
        if (operation.moves_units()) apply(operation, busy);
        if (operation.step.kind != BudgetStep::none) apply_step(operation, verdict, busy);
    }
    current_.compare_exchange_strong(busy, idle_at(sequence));
}

// release: a late helper that reads one of these also sees that `current` has moved on since its own operation
template <class Atomics>
void BudgetOperations<Atomics>::write(Slot& place, const Operation& operation) noexcept {
    const auto& demand = operation.demand;
    auto kind = std::uint64_t{demand.extra_count};
    if (operation.takes) kind |= takes;
    if (operation.opens) kind |= opens;
    if (operation.shard != nullptr) kind |= has_shard;
    if (demand.below != nullptr) kind |= is_bounded;
    const auto& step = operation.step;
    kind |= static_cast<std::uint64_t>(step.kind) << step_shift;
    place.kind.store(kind, std::memory_order_release);
    if (operation.has_demand()) {
        place.node.store(demand.node, std::memory_order_release);
        place.units.store(demand.units, std::memory_order_release);
    }
    for (std::size_t index = 0; index < demand.extra_count; ++index) {
        place.extra[index].node.store(demand.extra[index].node, std::memory_order_release);
        place.extra[index].units.store(demand.extra[index].units, std::memory_order_release);
    }
    if (demand.below != nullptr) place.below.store(demand.below, std::memory_order_release);
    if (step.kind != BudgetStep::none) {
        place.card_and_place.store(std::uint64_t{step.card} << 32 | step.place, std::memory_order_release);
        place.card_word.store(step.card_word, std::memory_order_release);
        if (step.kind == BudgetStep::unlink) place.place_word.store(step.place_word, std::memory_order_release);
    }
    if (operation.shard == nullptr) return;
    place.shard.store(operation.shard, std::memory_order_release);
    place.turn.store(operation.turn, std::memory_order_release);
    place.credit_change.store(operation.credit_change, std::memory_order_release);
}

/// False if the operation has ended, and what was read is of another.
template <class Atomics>
bool BudgetOperations<Atomics>::read(const Slot& place, std::uint64_t busy, Operation& operation) const noexcept {
    auto& demand = operation.demand;
    const auto kind = place.kind.load();
    operation.takes = (kind & takes) != 0;
    operation.opens = (kind & opens) != 0;
    operation.step.kind = BudgetStep{kind >> step_shift};
    if (operation.has_demand()) {
        demand.node = place.node.load();
        demand.units = place.units.load();
    }
    demand.extra_count = kind % takes;
    for (std::size_t index = 0; index < demand.extra_count; ++index)
        demand.extra[index] = {place.extra[index].node.load(), place.extra[index].units.load()};
    if ((kind & is_bounded) != 0) demand.below = place.below.load();
    if ((kind & has_shard) != 0) {
        operation.shard = place.shard.load();
        operation.turn = place.turn.load();
        operation.credit_change = place.credit_change.load();
    }
    auto& step = operation.step;
    if (step.kind != BudgetStep::none) {
        const auto card_and_place = place.card_and_place.load();
        step.card = static_cast<IndexWord::Index>(card_and_place >> 32);
        step.place = static_cast<IndexWord::Index>(card_and_place);
        step.card_word = place.card_word.load();
        if (step.kind == BudgetStep::unlink) step.place_word = place.place_word.load();
    }
    return current_.load() == busy;
}

/// `undecided` if another helper was faster.
template <class Atomics>
auto BudgetOperations<Atomics>::judge(const Operation& operation, const Slot& place, std::uint64_t undecided) noexcept
    -> Verdict {
    using Shard = BudgetShard<Atomics>;
    typename Atomics::Scope scope;
    if (operation.shard != nullptr) {
        const auto word = operation.shard->word.load();
        if (!Shard::is_closed(word) || Shard::turn_of(word) != operation.turn) return Verdict::shard_moved;
    }
    if (operation.step.kind != BudgetStep::none) {
        const auto verdict = judge_step(operation, place, undecided);
        if (verdict != Verdict::committed || !operation.moves_units()) return verdict;
    }
    auto refused = static_cast<std::uint64_t>(Verdict::refused_at);
    auto verdict = Verdict::committed;
    operation.demand.for_each_level([&](Node& level, std::uint64_t units) {
        scope.returns(refused);
        if (operation.opens && (level.deciders.load() != 0 || level.waiting_now() != 0))
            return verdict = Verdict::not_now, false;

        auto& counter = operation.takes ? level.taken : level.drained;
        const auto value = counter.value.load();
        auto base = counter.base.load();
        if (operation.takes) {
            const auto limit = level.limit.load();
            // Nobody takes or drains meanwhile, and `given` only grows: this was exact when `given` was read, and there
            // is at least as much room from then on.
            const auto granted = value - level.drained.value.load() - level.given.load();
            if (units > limit || granted > limit - units) return verdict = Verdict{refused}, false;
        }
        if (place.result.load() != undecided) return verdict = Verdict::undecided, false;
        if (base != value) counter.base.compare_exchange_strong(base, value);
        ++refused;
        return true;
    });
    if (verdict != Verdict::committed) return verdict;
    // After the deciders: one who has come and gone meanwhile has cleared the mark.
    if (operation.opens && !operation.demand.node->is_marked_open()) return Verdict::not_now;
    return Verdict::committed;
}

template <class Atomics>
auto BudgetOperations<Atomics>::judge_step(const Operation& operation, const Slot& place,
                                           std::uint64_t undecided) noexcept -> Verdict {
    const auto goes_on = [&] { return place.result.load() == undecided; };
    const auto prepare = [&](OperationCounter<Atomics>& counter) {
        const auto value = counter.value.load();
        auto base = counter.base.load();
        if (!goes_on()) return false;
        if (base != value) counter.base.compare_exchange_strong(base, value);
        return true;
    };
    typename Atomics::Scope scope;
    const auto verdict = steps_.judge(operation.step, operation.demand, prepare, goes_on);
    scope.returns(verdict);
    return verdict;
}

template <class Atomics>
void BudgetOperations<Atomics>::apply_step(const Operation& operation, Verdict verdict, std::uint64_t busy) noexcept {
    const auto goes_on = [&] { return current_.load() == busy; };
    const auto add = [&](OperationCounter<Atomics>& counter, std::uint64_t units) {
        auto base = counter.base.load();
        if (!goes_on()) return false; // the base may be another operation's
        counter.value.compare_exchange_strong(base, base + units);
        return true;
    };
    const typename Atomics::Scope scope;
    steps_.apply(operation.step, operation.demand, verdict, add, goes_on);
}

template <class Atomics>
void BudgetOperations<Atomics>::apply(const Operation& operation, std::uint64_t busy) noexcept {
    using Shard = BudgetShard<Atomics>;
    typename Atomics::Scope scope;
    std::size_t number = 0;
    bool has_ended = false;
    operation.demand.for_each_level([&](Node& level, std::uint64_t units) {
        scope.returns(number++);
        auto& counter = operation.takes ? level.taken : level.drained;
        const auto returned = level.given.load();
        const auto collected = level.drained.value.load();
        auto base = counter.base.load();
        has_ended = current_.load() != busy;
        if (has_ended) return false; // the base may be another operation's
        const auto value = base + units;
        if (operation.takes) { // before anyone can use the units
            const auto granted = value - collected - returned;
            auto peak = level.peak.load();
            while (peak < granted && !level.peak.compare_exchange_strong(peak, granted)) continue;
        }
        counter.value.compare_exchange_strong(base, value);
        return true;
    });
    if (has_ended) return;
    if (operation.shard == nullptr) return;
    auto& word = operation.shard->word;
    auto seen = word.load();
    if (!Shard::is_closed(seen) || Shard::turn_of(seen) != operation.turn) return;
    if (current_.load() != busy) return;
    const auto credit = Shard::credit_of(Shard::credit_of(seen) + operation.credit_change);
    const auto state = operation.opens ? 0 : Shard::closed;
    word.compare_exchange_strong(seen, (operation.turn + Shard::turn_step) | state | credit);
}

template <class Atomics>
std::size_t BudgetOperations<Atomics>::claim_slot() noexcept {
    for (;;) {
        std::size_t index = 0;
        for (auto* block = &slots_;;) {
            for (auto& candidate : block->slots) {
                if (!candidate.claimed.load() && !candidate.claimed.exchange(true)) return index;
                ++index;
            }
            auto* next = block->next.load();
            if (next == nullptr) {
                if (index >= max_slots) break; // 8192 threads in the middle of an operation: try again
                auto* fresh = new (std::nothrow) SlotBlock;
                if (fresh == nullptr) break;
                if (block->next.compare_exchange_strong(next, fresh)) {
                    next = fresh;
                } else {
                    delete fresh;
                }
            }
            block = next;
        }
    }
}

template <class Atomics>
auto BudgetOperations<Atomics>::slot(std::size_t index) noexcept -> Slot& {
    auto* block = &slots_;
    for (; index >= SlotBlock::size; index -= SlotBlock::size) block = block->next.load();
    return block->slots[index];
}

} // namespace velostream
