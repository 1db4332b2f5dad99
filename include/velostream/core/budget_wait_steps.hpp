// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "velostream/core/budget_card.hpp"
#include "velostream/core/budget_demand.hpp"
#include "velostream/core/budget_lines.hpp"
#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_verdict.hpp"
#include "velostream/core/operation_counter.hpp"

namespace velostream {

/// What an operation does with one who waits:
///
/// * grant: he has all that he demands, if nobody whom he may not overtake waits at any of its levels;
/// * leave, refuse: he waits no longer; `refuse` only while he wants more than a limit;
/// * go: he comes to stand at a place of his, and leaves others (see `BudgetWaiters` for which);
/// * stand: he comes to stand there besides;
/// * unlink: a place that does not count any more is taken out of its line.
enum class BudgetStep : std::uint64_t { none = 0, grant, leave, refuse, go, stand, unlink };

/// A step, and the words as they were when it was decided on: they have changed if it came too late.
struct BudgetWaitStep {
    BudgetStep kind = BudgetStep::none;
    IndexWord::Index card = 0;
    IndexWord::Index place = 0;   ///< only where one is concerned
    std::uint64_t card_word = 0;  ///< a `CardWord`
    std::uint64_t place_word = 0; ///< a `PlaceWord`, only to unlink it
};

/// The steps of those who wait in a budget tree, as operations judge and carry them out: one at a time, each by all
/// threads that help with it (see `BudgetOperations`). That everything happens once:
///
/// * What is judged stands still until the operation is decided.
/// * A counter goes from its base by compare-and-swap. So does each word, and has its own count of changes.
/// * A place is linked, or taken out, where it is not, or is, at that list: who finds that done goes on. Its ticket is
///   where it belongs, so nothing else of the line matters, and no other place moves meanwhile.
/// * The card's word is changed last. Until then a card is as it was, to all who help.
///
/// A late helper finds out by `goes_on`, or when his compare-and-swap fails.
///
/// Orders: seq_cst throughout, as all that operations do.
template <class Atomics>
class BudgetWaitSteps {
  public:
    using Node = BudgetNode<Atomics>;
    using Card = BudgetCard<Atomics>;
    using Place = BudgetPlace<Atomics>;
    using Demand = BudgetDemand<Atomics>;
    using Lines = BudgetLines<Atomics>;
    using Verdict = BudgetVerdict;
    using Index = IndexWord::Index;

    explicit BudgetWaitSteps(Lines& lines) noexcept : lines_(lines) {}

    /// `prepare(counter)` writes down its base; false, as `goes_on()`, if the operation is decided.
    template <class Prepare, class Condition>
    Verdict judge(const BudgetWaitStep& step, const Demand& demand, Prepare prepare, Condition goes_on) const noexcept;
    /// `add(counter, units)` raises it from its base; `goes_on()` is false when the operation has ended.
    template <class Add, class Condition>
    void apply(const BudgetWaitStep& step, const Demand& demand, Verdict verdict, Add add, Condition goes_on) noexcept;

  private:
    template <class Prepare, class Condition>
    Verdict judge_grant(const Card& card, const Demand& demand, Prepare prepare, Condition goes_on) const noexcept;
    template <class Prepare>
    Verdict judge_move(const BudgetWaitStep& step, Prepare prepare) const noexcept;
    template <class Add, class Condition>
    void note_overtaken(const Card& card, const Demand& demand, Add add, Condition goes_on) noexcept;
    template <class Add, class Condition>
    void move(const BudgetWaitStep& step, Verdict verdict, Add add, Condition goes_on) noexcept;
    template <class Visit>
    void for_each_standing(const Card& card, Visit visit) const {
        lines_.for_each_place(card, [&](Index, Place& place) {
            return !PlaceWord::is_standing(place.word.load()) || visit(*place.node.load());
        });
    }
    static bool leaves(const Node& place, const Node& refusing, const BudgetWaitStep& step, Verdict verdict) noexcept {
        if (step.kind == BudgetStep::stand || place.is_within(refusing)) return false;
        return refusing.is_within(place) || verdict == Verdict::comes_alone;
    }

    Lines& lines_;
};

template <class Atomics>
template <class Prepare, class Condition>
auto BudgetWaitSteps<Atomics>::judge(const BudgetWaitStep& step, const Demand& demand, Prepare prepare,
                                     Condition goes_on) const noexcept -> Verdict {
    typename Atomics::Scope scope;
    const auto& card = lines_.card(step.card);
    if (card.word.load() != step.card_word) return scope.returns(0), Verdict::not_now;
    scope.returns(1);
    switch (step.kind) {
        case BudgetStep::go:
        case BudgetStep::stand:
            return judge_move(step, prepare);
        case BudgetStep::unlink:
            return lines_.place(step.place).word.load() == step.place_word ? Verdict::committed : Verdict::not_now;
        case BudgetStep::grant: {
            const auto verdict = judge_grant(card, demand, prepare, goes_on);
            if (verdict != Verdict::committed) return verdict;
            break;
        }
        case BudgetStep::refuse: {
            bool is_impossible = false;
            demand.for_each_level([&](Node& level, std::uint64_t units) {
                is_impossible = units > level.limit.load();
                return !is_impossible;
            });
            if (!is_impossible) return Verdict::not_now;
            break;
        }
        default:
            break;
    }
    bool is_prepared = true;
    scope.returns(2);
    for_each_standing(card, [&](Node& level) { return is_prepared = prepare(level.gone); });
    return is_prepared ? Verdict::committed : Verdict::undecided;
}

/// Behind whom he must stay; whom he overtakes.
template <class Atomics>
template <class Prepare, class Condition>
auto BudgetWaitSteps<Atomics>::judge_grant(const Card& card, const Demand& demand, Prepare prepare,
                                           Condition goes_on) const noexcept -> Verdict {
    typename Atomics::Scope scope;
    const auto ticket = card.ticket.load();
    auto verdict = Verdict::committed;
    auto behind = static_cast<std::uint64_t>(Verdict::behind_at);
    demand.for_each_level([&](Node& level, std::uint64_t units) {
        scope.returns(behind);
        const auto first = lines_.first_waiting(level, goes_on);
        if (first != 0 && lines_.place(first).ticket.load() < ticket) {
            auto& other = lines_.card(lines_.place(first).card.load());
            if (!Lines::may_overtake(other, level, units))
                verdict = Verdict{behind};
            else if (!prepare(other.overtaken_by) || !prepare(other.overtaken_units))
                verdict = Verdict::undecided;
        }
        ++behind;
        return verdict == Verdict::committed;
    });
    scope.returns(verdict);
    return verdict;
}

template <class Atomics>
template <class Prepare>
auto BudgetWaitSteps<Atomics>::judge_move(const BudgetWaitStep& step, Prepare prepare) const noexcept -> Verdict {
    typename Atomics::Scope scope;
    const auto& card = lines_.card(step.card);
    const auto& there = lines_.place(step.place);
    auto& refusing = *there.node.load();
    const bool is_there = PlaceWord::is_standing(there.word.load());
    scope.returns(is_there);
    if (is_there && step.kind == BudgetStep::stand) return Verdict::not_now;

    auto verdict = is_there ? Verdict::stays : Verdict::comes;
    if (!is_there && step.kind == BudgetStep::go) {
        bool is_beside = false;
        for_each_standing(card, [&](Node& level) {
            is_beside = !level.is_within(refusing) && !refusing.is_within(level);
            return !is_beside;
        });
        const bool keeps_all = CardWord::side_steps_of(step.card_word) + 1 >= card.part_count.load();
        if (is_beside) verdict = keeps_all ? Verdict::comes_too : Verdict::comes_alone;
    }
    scope.returns(verdict);
    bool is_prepared = is_there || prepare(refusing.came);
    scope.returns(verdict, is_prepared);
    for_each_standing(card, [&](Node& level) {
        if (is_prepared && leaves(level, refusing, step, verdict)) is_prepared = prepare(level.gone);
        return is_prepared;
    });
    return is_prepared ? verdict : Verdict::undecided;
}

template <class Atomics>
template <class Add, class Condition>
void BudgetWaitSteps<Atomics>::apply(const BudgetWaitStep& step, const Demand& demand, Verdict verdict, Add add,
                                     Condition goes_on) noexcept {
    typename Atomics::Scope scope;
    auto& card = lines_.card(step.card);
    auto state = BudgetWait::waiting;
    auto side_steps = CardWord::side_steps_of(step.card_word);
    switch (step.kind) {
        case BudgetStep::none:
            return;
        case BudgetStep::unlink: {
            auto seen = step.place_word;
            lines_.unlink(step.place, goes_on);
            scope.returns(seen);
            if (goes_on())
                lines_.place(step.place).word.compare_exchange_strong(seen, PlaceWord::after(seen, BudgetStand::out));
            return;
        }
        case BudgetStep::go:
        case BudgetStep::stand:
            move(step, verdict, add, goes_on);
            if (verdict == Verdict::comes_alone || verdict == Verdict::comes_too)
                side_steps = std::min<std::uint64_t>(side_steps + 1, Demand::most_parts);
            break;
        case BudgetStep::grant:
            note_overtaken(card, demand, add, goes_on);
            state = BudgetWait::granted;
            break;
        case BudgetStep::leave:
            state = BudgetWait::ended;
            break;
        case BudgetStep::refuse:
            state = BudgetWait::refused;
            break;
    }
    scope.returns(state, side_steps);
    if (state != BudgetWait::waiting) for_each_standing(card, [&](Node& level) { return add(level.gone, 1); });
    scope.returns(state, side_steps);
    if (!goes_on()) return;
    auto seen = step.card_word;
    card.word.compare_exchange_strong(seen, CardWord::after(seen, state, side_steps));
}

/// Those who came before and stand first at a level of his way. Each once, also where that is several levels.
template <class Atomics>
template <class Add, class Condition>
void BudgetWaitSteps<Atomics>::note_overtaken(const Card& card, const Demand& demand, Add add,
                                              Condition goes_on) noexcept {
    typename Atomics::Scope scope;
    const auto ticket = card.ticket.load();
    std::size_t number = 0;
    demand.for_each_level([&](Node& level, std::uint64_t units) {
        scope.returns(number++);
        const auto first = lines_.first_waiting(level, goes_on);
        if (first == 0 || lines_.place(first).ticket.load() >= ticket) return true;
        auto& other = lines_.card(lines_.place(first).card.load());
        return add(other.overtaken_by, 1) && add(other.overtaken_units, units);
    });
}

template <class Atomics>
template <class Add, class Condition>
void BudgetWaitSteps<Atomics>::move(const BudgetWaitStep& step, Verdict verdict, Add add, Condition goes_on) noexcept {
    typename Atomics::Scope scope;
    auto& there = lines_.place(step.place);
    auto& refusing = *there.node.load();
    if (verdict != Verdict::stays) {
        if (!add(refusing.came, 1)) return;
        scope.returns(0);
        lines_.link(step.place, goes_on);
        scope.returns(1);
        Lines::change(there, BudgetStand::out, BudgetStand::standing, goes_on);
        scope.returns(2);
        Lines::change(there, BudgetStand::leaving, BudgetStand::standing, goes_on);
    }
    lines_.for_each_place(lines_.card(step.card), [&](Index index, Place& place) {
        scope.returns(index);
        if (!PlaceWord::is_standing(place.word.load())) return true;
        auto& level = *place.node.load();
        if (!leaves(level, refusing, step, verdict)) return true;
        if (!add(level.gone, 1)) return false;
        Lines::change(place, BudgetStand::standing, BudgetStand::leaving, goes_on);
        return true;
    });
}

} // namespace velostream
