// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "velostream/core/budget_lines.hpp"
#include "velostream/core/budget_node.hpp"
#include "velostream/core/budget_operation.hpp"
#include "velostream/core/budget_outcome.hpp"
#include "velostream/core/budget_serving.hpp"
#include "velostream/core/budget_waiter.hpp"
#include "velostream/core/budget_waiting.hpp"
#include "velostream/core/waiting_listener.hpp"

namespace velostream {

/// Those who wait for room in a budget tree: in a line at the node that refused them, first come first served.
///
/// A waiter is granted its units when all levels have room and nobody who came before it waits at any of them. Where
/// another level than the one of its line stands in its way it goes there, to the place of its ticket: so who waits
/// for a query's limit holds up that query only, and who waits for the process nobody but those behind him.
///
/// Who goes up keeps his place below: those behind him there would have to go behind him above, too; and so what comes
/// back below while he waits above is his. Who goes down leaves the place above, which others may use.
///
/// Who wants units of several nodes would be overtaken for ever where they are short by turns: at the one while he
/// stands at the other. So once he has left as many lines as there are other parts he keeps all places, and stands in
/// several lines. Nobody who came later takes anything there, so room that comes back stays until all have enough; and
/// the lowest ticket of all is the first wherever it stands, so no two wait for each other.
///
/// Nobody waits for a thread. Coming, going to another line, being granted, leaving and being refused are operations of
/// the tree (see `BudgetWaitSteps`), which any thread completes; nothing about a line is any one thread's. Whoever
/// makes room, comes, leaves, or finds somebody in his way serves the lines there until nobody can be granted, each by
/// himself and side by side with others: what has changed is judged by who changed it, if nobody was faster. A thread
/// that stops in the middle leaves its own call undone: what that would still have set off in a line, whoever comes by
/// there next does, with any call that takes, gives, waits or leaves at that node or below. Whom it granted is one of
/// them, in all lines that he stood in, when he gives back.
///
/// Only the call of `on_granted` or `on_refused` is one thread's: of who swaps the card's word from granted or refused
/// to ended, which he does right before. If he stops between that and the end of the call, that one waiter hears of it
/// when he goes on: his units count as his, and nobody is behind him any more. A thread that stops while it comes to a
/// line also keeps the shards below that node closed meanwhile, which costs time and refuses nothing.
///
/// No wake-up is lost. Who comes to a line announces himself at its node like a decider, collects what is cached below,
/// and comes; while anybody waits there no shard below opens. So every unit that comes back goes past the shards,
/// through `on_room`. He then looks for room; who gives adds to `given`, then looks at the line. All that is seq_cst:
/// one of them sees the other.
///
/// Who may overtake those in front of him and is refused by a level further up takes a place there, too: else nobody
/// would come back to him when there is room.
///
/// Threads: safe. Lock-free, but for the end of an account whose last handle a waiter had.
template <class Atomics>
class BudgetWaiters : public BudgetWaiting<Atomics> {
    using Waiting = BudgetWaiting<Atomics>;

  public:
    using typename Waiting::Demand;
    using typename Waiting::Lines;
    using typename Waiting::Node;
    using typename Waiting::Tree;
    using typename Waiting::Waiter;

    explicit BudgetWaiters(Tree& tree) noexcept : Waiting(tree) {}

    /// Whether a node may have a line.
    bool any() const noexcept { return count_.load() != 0; }

    /// Lets `waiter` wait, which `refused_by` had no room for; once. It may end before this returns. The caller must be
    /// an owner of its nodes besides, here and in `leave`.
    void add(std::shared_ptr<Waiter> waiter, Node& refused_by) noexcept;
    /// Ends the wait, for whoever wants it no longer. False if it has ended: then it is or was told otherwise.
    /// Afterwards it waits nowhere.
    bool leave(Waiter& waiter) noexcept;

    /// Notes that `level`, one that it needs, was in its way; only before it waits.
    void refused_at(Waiter& waiter, const Node& level) noexcept;
    /// The level that was in its way last; null if none was.
    Node* refused_by(const Waiter& waiter) const noexcept;

    /// Units came back at `node` and above, or its limit was raised. The caller is an owner of it.
    void on_room(Node& node) noexcept {
        if (any()) serve_from(node);
    }
    /// A limit was lowered: who wants more than that waits no longer. The caller is an owner of a node.
    void on_lowered_limit() noexcept;

    /// The first level that somebody waits for, and how many do; null if there is none. Who could be granted has been.
    struct Line {
        Node* node = nullptr;
        std::uint64_t waiting = 0;
    };
    Line first_line(const Demand& demand) noexcept;
    /// What the one who waits longest at a node wants of it; 0 if nobody waits.
    std::uint64_t wanted_first(const Node& node) const noexcept;

  private:
    using typename Waiting::Candidate;
    using typename Waiting::Index;
    using typename Waiting::Place;
    using typename Waiting::Serving;
    using typename Waiting::Verdict;
    using Waiting::clear_away;
    using Waiting::come;
    using Waiting::count_;
    using Waiting::end;
    using Waiting::lines_;
    using Waiting::listener_;
    using Waiting::refuse_if_impossible;
    using Waiting::run;
    using Waiting::step_out;
    using Waiting::tell;
    using Waiting::tree_;

    static Line line_at(const Demand& demand) noexcept;

    template <class Work>
    void serving(Work work) noexcept;
    void serve_from(Node& node) noexcept;
    void serve(Node& node, Serving& serving) noexcept;
    bool serve_first(Node& node, Index place, Serving& serving) noexcept;
    bool go_on_after(Verdict verdict, Node& node, const Candidate& candidate, std::uint64_t hint,
                     Serving& serving) noexcept;
    void serve_overtakers(Node& node, Serving& serving) noexcept;
    void wait_above_too(const Candidate& overtaker, Node& node, Node& refusing, Serving& serving) noexcept;
    bool stays_at(Node& node, Node& refusing, const Candidate& candidate, Serving& serving) noexcept;
    bool move(BudgetStep kind, const Candidate& candidate, Node& refusing, Index place, Serving& serving) noexcept;
    void refuse_impossible(Node& node, Serving& serving) noexcept;
};

template <class Atomics>
void BudgetWaiters<Atomics>::add(std::shared_ptr<Waiter> waiter, Node& refused_by) noexcept {
    auto& added = *waiter;
    added.held_ = std::move(waiter);
    const Candidate candidate{added.card_, lines_.card(added.card_).word.load(), added.demand};
    if (count_.fetch_add(1) == 0 && listener_) listener_->on_waiting_changed();
    refused_at(added, refused_by);
    const auto place = lines_.place_at(lines_.card(candidate.card), refused_by);
    const bool waits = CardWord::state_of(candidate.word) == BudgetWait::fresh;
    if (!waits || !come(BudgetStep::go, candidate, refused_by, place)) return end(added); // it has left before
    serving([&](Serving& mine) {
        if (!Tree::impossible(candidate.demand).granted()) // a limit that was lowered before it stood here
            refuse_if_impossible(candidate.card, mine);
        mine.note(refused_by);
    });
}

template <class Atomics>
bool BudgetWaiters<Atomics>::leave(Waiter& waiter) noexcept {
    auto& card = lines_.card(waiter.card_);
    typename Atomics::Scope scope;
    for (;;) {
        scope.returns(0);
        const auto word = card.word.load();
        const auto state = CardWord::state_of(word);
        if (CardWord::is_untold(word)) serving([&](Serving& mine) { tell(waiter.card_, mine); });
        if (state != BudgetWait::fresh && state != BudgetWait::waiting) return false;
        if (run(BudgetStep::leave, {waiter.card_, word}) != Verdict::committed) continue;
        scope.returns(state);
        if (state == BudgetWait::fresh) return true;
        serving([&](Serving& mine) { step_out(waiter.card_, mine); });
        end(waiter);
        return true;
    }
}

template <class Atomics>
void BudgetWaiters<Atomics>::refused_at(Waiter& waiter, const Node& level) noexcept {
    auto& card = lines_.card(waiter.card_);
    card.refused_at.store(IndexWord::after(card.refused_at.load(), lines_.place_at(card, level)));
}

template <class Atomics>
auto BudgetWaiters<Atomics>::refused_by(const Waiter& waiter) const noexcept -> Node* {
    const auto place = IndexWord::index_of(lines_.card(waiter.card_).refused_at.load());
    return place == 0 ? nullptr : lines_.place(place).node.load();
}

template <class Atomics>
void BudgetWaiters<Atomics>::on_lowered_limit() noexcept {
    if (!any()) return;
    serving(
        [this](Serving& mine) { tree_.registry().for_each_place([&](Node& node) { refuse_impossible(node, mine); }); });
}

template <class Atomics>
auto BudgetWaiters<Atomics>::first_line(const Demand& demand) noexcept -> Line {
    auto line = line_at(demand);
    if (line.node == nullptr) return line;
    for (std::size_t index = 0; index < demand.part_count(); ++index) serve_from(*demand.part(index).node);
    return line_at(demand);
}

template <class Atomics>
auto BudgetWaiters<Atomics>::line_at(const Demand& demand) noexcept -> Line {
    Line found;
    demand.for_each_level([&](Node& level, std::uint64_t) {
        if (const auto waiting = level.waiting_now(); waiting != 0) found = {&level, waiting};
        return found.node == nullptr;
    });
    return found;
}

template <class Atomics>
std::uint64_t BudgetWaiters<Atomics>::wanted_first(const Node& node) const noexcept {
    const auto first = lines_.first_waiting(node, [] { return true; });
    return first == 0 ? 0 : lines_.place(first).units.load();
}

/// Does `work`, then serves all lines that were noted in it and since.
template <class Atomics>
template <class Work>
void BudgetWaiters<Atomics>::serving(Work work) noexcept {
    if (auto* const outer = Serving::of(this)) return work(*outer);
    Serving mine{this};
    work(mine);
    do {
        while (auto* const node = mine.next()) serve(*node, mine);
        if (!mine.take_overfull()) return;
        tree_.registry().for_each_place([&](Node& node) { serve(node, mine); });
    } while (true);
}

/// From the bottom up: who waits below may be in front of those who wait above.
template <class Atomics>
void BudgetWaiters<Atomics>::serve_from(Node& node) noexcept {
    tree_.operations_.complete_current(); // who is just coming may have been left half way
    auto* const outer = Serving::of(this);
    auto* level = &node;
    while (level != nullptr && !level->has_line()) level = level->parent.load();
    if (level == nullptr) return;
    serving([&](Serving& mine) {
        for (; level != nullptr; level = level->parent.load()) {
            if (!level->has_line()) continue;
            if (outer != nullptr)
                mine.note(*level);
            else
                serve(*level, mine);
        }
    });
}

template <class Atomics>
void BudgetWaiters<Atomics>::serve(Node& node, Serving& serving) noexcept {
    typename Atomics::Scope scope;
    for (;;) {
        scope.returns(&node, serving.told());
        const auto first = lines_.first(node);
        if (first == 0) return scope.returns(serving.told());
        scope.returns(first, serving.told());
        if (!serve_first(node, first, serving)) break;
    }
    scope.returns(serving.told());
    if (node.overtakers.load(std::memory_order_relaxed) != 0) serve_overtakers(node, serving);
}

/// False if the one who waits longest at this node must go on waiting.
template <class Atomics>
bool BudgetWaiters<Atomics>::serve_first(Node& node, Index first, Serving& serving) noexcept {
    typename Atomics::Scope scope;
    auto& place = lines_.place(first);
    Candidate candidate{.card = place.card.load()};
    if (candidate.card == 0) return true;
    auto& card = lines_.card(candidate.card);
    auto hint = card.refused_at.load(); // first: if it is another's later on, the word is, too
    candidate.word = card.word.load();
    const bool is_waiting = CardWord::is_waiting(candidate.word) && PlaceWord::is_standing(place.word.load());
    scope.returns(is_waiting, candidate.word, candidate.card);
    if (!is_waiting) return clear_away(first, serving), scope.returns(true, serving.told()), true;
    lines_.read(card, candidate.demand); // if it is another's, the word is, too
    const auto verdict = run(BudgetStep::grant, candidate);
    scope.returns(verdict, candidate.word, candidate.card);
    const bool goes_on = go_on_after(verdict, node, candidate, hint, serving);
    scope.returns(goes_on, serving.told());
    return goes_on;
}

/// What has become of the one who waits longest at `node`. True if he does not stand there any more.
template <class Atomics>
bool BudgetWaiters<Atomics>::go_on_after(Verdict verdict, Node& node, const Candidate& candidate, std::uint64_t hint,
                                         Serving& serving) noexcept {
    if (verdict == Verdict::committed) return tell(candidate.card, serving), true;
    if (verdict == Verdict::not_now) return true; // others were faster
    auto& card = lines_.card(candidate.card);
    auto& refusing = candidate.demand.level(budget_verdict::level_of(verdict));
    if (candidate.demand.units_at(refusing) > refusing.limit.load())
        return refuse_if_impossible(candidate.card, serving), true;
    if (const auto place = lines_.place_at(card, refusing); place != 0)
        card.refused_at.compare_exchange_strong(hint, IndexWord::after(hint, place));
    return !stays_at(node, refusing, candidate, serving);
}

/// `refusing` is in the way of who stands first at `node`: he stands there, too, after this. True if he goes on waiting
/// at `node`.
template <class Atomics>
bool BudgetWaiters<Atomics>::stays_at(Node& node, Node& refusing, const Candidate& candidate,
                                      Serving& serving) noexcept {
    Index place = 0;
    bool is_here = false, is_there = false, is_above = false;
    lines_.for_each_place(lines_.card(candidate.card), [&](Index index, Place& one) {
        const auto& level = *one.node.load();
        if (&level == &refusing && place == 0) place = index; // the first: others only name parts
        if (!PlaceWord::is_standing(one.word.load())) return true;
        is_here = is_here || &level == &node;
        is_there = is_there || &level == &refusing;
        is_above = is_above || (&level != &refusing && refusing.is_within(level));
        return true;
    });
    if (is_there && !is_above) return is_here;
    if (place == 0 || !move(BudgetStep::go, candidate, refusing, place, serving)) return false;
    const auto here = lines_.place_at(lines_.card(candidate.card), node);
    return here != 0 && PlaceWord::is_standing(lines_.place(here).word.load());
}

/// As `come`, for one who stands elsewhere; what he leaves is served afterwards, and what he came to.
template <class Atomics>
bool BudgetWaiters<Atomics>::move(BudgetStep kind, const Candidate& candidate, Node& refusing, Index place,
                                  Serving& serving) noexcept {
    if (!refusing.try_add_owner()) return false; // he has gone, and his account with him
    const bool has_moved = come(kind, candidate, refusing, place);
    if (has_moved) {
        serving.note(refusing);
        lines_.for_each_place(lines_.card(candidate.card), [&](Index left, Place& was) {
            if (PlaceWord::state_of(was.word.load()) == BudgetStand::leaving) clear_away(left, serving);
            return true;
        });
        if (!Tree::impossible(candidate.demand).granted()) // who looked for those has perhaps missed him on his way
            refuse_if_impossible(candidate.card, serving);
    }
    Tree::drop_owner(&refusing);
    return has_moved;
}

/// Grants to those behind the first one what he leaves, as often and as much as this node allows. Looks at no more of
/// them than may overtake him at all, so that a long line costs no more than a short one.
template <class Atomics>
void BudgetWaiters<Atomics>::serve_overtakers(Node& node, Serving& serving) noexcept {
    const auto first = lines_.first_waiting(node, [] { return true; });
    if (first == 0) return;
    const auto most = node.overtakers.load(std::memory_order_relaxed);
    auto& in_front = lines_.card(lines_.place(first).card.load());
    auto ticket = lines_.place(first).ticket.load();
    for (std::uint64_t looks = 0; looks < most; ++looks) {
        const auto next = lines_.first_after(node, ticket);
        if (next == 0) return;
        auto& place = lines_.place(next);
        ticket = place.ticket.load();
        if (!lines_.is_waiting(place)) {
            clear_away(next, serving);
            continue;
        }
        Candidate overtaker{.card = place.card.load()};
        auto& card = lines_.card(overtaker.card);
        overtaker.word = card.word.load();
        if (!CardWord::is_waiting(overtaker.word) || !Lines::may_overtake(in_front, node, place.units.load())) continue;
        lines_.read(card, overtaker.demand);
        const auto verdict = run(BudgetStep::grant, overtaker);
        if (verdict == Verdict::committed) {
            tell(overtaker.card, serving);
        } else if (verdict != Verdict::not_now && !budget_verdict::is_behind(verdict)) {
            wait_above_too(overtaker, node, overtaker.demand.level(budget_verdict::level_of(verdict)), serving);
        }
    }
}

/// One who may overtake at `node`, and finds no room further up: when there is some, it is his turn there.
template <class Atomics>
void BudgetWaiters<Atomics>::wait_above_too(const Candidate& overtaker, Node& node, Node& refusing,
                                            Serving& serving) noexcept {
    const auto above = lines_.place_at(lines_.card(overtaker.card), refusing);
    if (&refusing == &node || !node.is_within(refusing) || above == 0) return;
    if (!PlaceWord::is_standing(lines_.place(above).word.load()))
        move(BudgetStep::stand, overtaker, refusing, above, serving);
}

/// Wherever they stand, and not only when it is their turn: that may be long.
template <class Atomics>
void BudgetWaiters<Atomics>::refuse_impossible(Node& node, Serving& serving) noexcept {
    for (auto place = lines_.first_after(node, 0); place != 0;) {
        const auto ticket = lines_.place(place).ticket.load();
        refuse_if_impossible(lines_.place(place).card.load(), serving);
        place = lines_.first_after(node, ticket);
    }
}

} // namespace velostream
