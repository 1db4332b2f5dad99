// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "velostream/core/budget_lines.hpp"
#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_operation.hpp"
#include "velostream/core/budget_outcome.hpp"
#include "velostream/core/budget_serving.hpp"
#include "velostream/core/budget_waiter.hpp"
#include "velostream/core/waiting_listener.hpp"

namespace velostream {

/// What can become of one who waits in a budget tree, as threads do it with operations: he comes to a line, is told
/// that he was granted or refused, and is taken out of his lines. Whom, and when, `BudgetWaiters` decides.
///
/// A card that others hold on to may be another's by now. They look at its word first, then read what they need; the
/// operation that they begin is judged by that word, and does nothing if it has changed.
///
/// A waiter is kept (`held_`) from its coming until it has been told, or has left, and is out of all lines. So its card
/// and its places are given back only after the operations that concerned them.
template <class Atomics>
class BudgetWaiting {
  public:
    using Tree = BudgetTree<Atomics>;
    using Node = BudgetNode<Atomics>;
    using Waiter = BudgetWaiter<Atomics>;
    using Lines = BudgetLines<Atomics>;
    using Demand = BudgetDemand<Atomics>;

    explicit BudgetWaiting(Tree& tree) noexcept : tree_(tree) {}
    BudgetWaiting(const BudgetWaiting&) = delete;
    BudgetWaiting& operator=(const BudgetWaiting&) = delete;

    /// Only before the tree is shared.
    void set_listener(std::shared_ptr<WaitingListener> listener) noexcept { listener_ = std::move(listener); }
    /// Null if there is none.
    WaitingListener* listener() const noexcept { return listener_.get(); }
    Lines& lines() noexcept { return lines_; }

  protected:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;
    using Index = IndexWord::Index;
    using Serving = BudgetServing<Atomics>;
    using Place = BudgetPlace<Atomics>;
    using Verdict = BudgetVerdict;
    /// Somebody in a line, and the word of his card when he was looked at.
    struct Candidate {
        Index card = 0;
        std::uint64_t word = 0;
        Demand demand{};
    };

    ~BudgetWaiting() = default;

    Verdict run(BudgetStep kind, const Candidate& candidate, Index place = 0) noexcept;
    bool come(BudgetStep kind, const Candidate& candidate, Node& node, Index place) noexcept;
    void tell(Index card, Serving& serving) noexcept;
    void refuse_if_impossible(Index card, Serving& serving) noexcept;
    void clear_away(Index place, Serving& serving) noexcept;
    void step_out(Index card, Serving& serving) noexcept;
    void unlink(Index place) noexcept;
    void end(Waiter& waiter) noexcept;

    Tree& tree_;
    std::shared_ptr<WaitingListener> listener_;
    Lines lines_;
    /// Of waiters that were added and not let go. Who comes raises it before he looks for room; who gives looks at it
    /// afterwards: seq_cst on both sides, or a wake-up would be lost.
    Atomic<std::uint64_t> count_{0};

  private:
    void note_first(Node& node) noexcept;
    static void note_grant(const Demand& demand) noexcept;
};

template <class Atomics>
auto BudgetWaiting<Atomics>::run(BudgetStep kind, const Candidate& candidate, Index place) noexcept -> Verdict {
    BudgetOperation<Atomics> operation;
    operation.step = {.kind = kind, .card = candidate.card, .place = place, .card_word = candidate.word};
    if (kind == BudgetStep::grant || kind == BudgetStep::refuse) operation.demand = candidate.demand;
    return tree_.operations_.run(operation);
}

/// Lets one come to `node`, where he finds no credit lying idle, and none will while he waits there. False if he was
/// not as he was seen any more.
template <class Atomics>
bool BudgetWaiting<Atomics>::come(BudgetStep kind, const Candidate& candidate, Node& node, Index place) noexcept {
    typename Atomics::Scope scope;
    tree_.announce_and_collect(node);
    const bool has_come = budget_verdict::is_effective(run(kind, candidate, place));
    node.deciders.fetch_sub(1);
    if (has_come) note_first(node);
    scope.returns(has_come);
    return has_come;
}

/// Swaps a card that was granted or refused to ended; who succeeds calls the waiter, at once: until then nobody else
/// can.
template <class Atomics>
void BudgetWaiting<Atomics>::tell(Index index, Serving& serving) noexcept {
    typename Atomics::Scope scope;
    auto& card = lines_.card(index);
    auto word = card.word.load();
    const auto state = CardWord::state_of(word);
    if (!CardWord::is_untold(word)) return;
    const auto told = CardWord::after(word, BudgetWait::ended, CardWord::side_steps_of(word));
    if (!card.word.compare_exchange_strong(word, told)) return;
    scope.returns(state);

    auto& waiter = *card.waiter.load();
    if (state == BudgetWait::granted) {
        if (listener_) note_grant(waiter.demand);
        waiter.on_granted();
    } else {
        auto outcome = Tree::impossible(waiter.demand);
        if (outcome.granted()) { // the limit is higher again
            auto& level = *lines_.place(card.first_place.load()).node.load();
            outcome = Tree::figures(level, waiter.demand.units_at(level), 0);
            outcome.limit = std::min(outcome.limit, outcome.asked - 1);
        }
        waiter.on_refused(outcome);
    }
    scope.returns(state, serving.told());
    step_out(index, serving);
    scope.returns(state, serving.told());
    end(waiter);
}

template <class Atomics>
void BudgetWaiting<Atomics>::refuse_if_impossible(Index index, Serving& serving) noexcept {
    auto& card = lines_.card(index);
    Candidate candidate{index, card.word.load()};
    if (!CardWord::is_waiting(candidate.word)) return;
    lines_.read(card, candidate.demand);
    if (card.word.load() != candidate.word) return; // what was read may be another's
    if (Tree::impossible(candidate.demand).granted()) return;
    if (run(BudgetStep::refuse, candidate) == Verdict::committed) tell(index, serving);
}

/// Of one who does not wait there any more: he is told, if nobody has done that, and his place goes.
template <class Atomics>
void BudgetWaiting<Atomics>::clear_away(Index index, Serving& serving) noexcept {
    typename Atomics::Scope scope;
    auto& place = lines_.place(index);
    const auto card = place.card.load();
    const bool is_untold = CardWord::is_untold(lines_.card(card).word.load());
    scope.returns(is_untold);
    if (is_untold) {
        tell(card, serving);
        return scope.returns(serving.told());
    }
    auto& node = *place.node.load();
    unlink(index);
    note_first(node);
    serving.note(node);
    scope.returns(serving.told());
}

/// Takes one that has ended out of all its lines; those behind it may fit.
template <class Atomics>
void BudgetWaiting<Atomics>::step_out(Index card, Serving& serving) noexcept {
    typename Atomics::Scope scope;
    lines_.for_each_place(lines_.card(card), [&](Index index, Place& place) {
        scope.returns(index, serving.told());
        if (PlaceWord::is_out(place.word.load())) return true;
        while (!PlaceWord::is_out(place.word.load())) unlink(index);
        note_first(*place.node.load());
        serving.note(*place.node.load());
        return true;
    });
    scope.returns(serving.told());
}

template <class Atomics>
void BudgetWaiting<Atomics>::unlink(Index index) noexcept {
    const typename Atomics::Scope scope;
    const auto& place = lines_.place(index);
    BudgetOperation<Atomics> operation;
    auto& step = operation.step;
    step = {.kind = BudgetStep::unlink, .place = index};
    step.place_word = place.word.load(); // first: what is read after it is of this owner, or the judge finds out
    step.card = place.card.load();
    step.card_word = lines_.card(step.card).word.load();
    const auto stand = PlaceWord::state_of(step.place_word);
    const bool has_ended = CardWord::state_of(step.card_word) == BudgetWait::ended; // else others would not find it
    if (stand == BudgetStand::leaving || (stand == BudgetStand::standing && has_ended))
        tree_.operations_.run(operation);
    else
        tree_.operations_.complete_current(); // it comes, or goes, just now
}

/// Lets go of a waiter that is in no line and has ended.
template <class Atomics>
void BudgetWaiting<Atomics>::end(Waiter& waiter) noexcept {
    if (count_.fetch_sub(1) == 1 && listener_) listener_->on_waiting_changed();
    const auto held = std::move(waiter.held_); // perhaps the last
}

/// After the line of a node has changed.
template <class Atomics>
void BudgetWaiting<Atomics>::note_first(Node& node) noexcept {
    if (!listener_) return;
    const auto first = lines_.first_waiting(node, [] { return true; });
    const auto ticket = first == 0 ? 0 : lines_.place(first).ticket.load();
    if (node.first_ticket.exchange(ticket) != ticket && ticket != 0) listener_->on_first_changed();
}

template <class Atomics>
void BudgetWaiting<Atomics>::note_grant(const Demand& demand) noexcept {
    for (std::size_t index = 0; index < demand.part_count(); ++index) {
        const auto part = demand.part(index);
        for (auto* level = part.node; level != nullptr; level = level->parent.load())
            level->handed_over.fetch_add(part.units);
    }
}

} // namespace velostream
