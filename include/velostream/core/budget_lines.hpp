// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "velostream/base/item_pool.hpp"
#include "velostream/core/budget_card.hpp"
#include "velostream/core/budget_demand.hpp"
#include "velostream/core/budget_node.hpp"

namespace velostream {

/// The lines of those who wait in a budget tree: who stands where, and who is the first.
///
/// A line is a list by tickets, with fewer lists above it that skip most places: so a long one is as good as a short
/// one. Links are indices of places in a pool. Only operations change a line, one at a time (see `BudgetWaitSteps`);
/// cards are made and taken back by their owners, while they stand in none.
///
/// Whoever reads an item that is somebody else's by now reads a valid one: indices stay valid, and what they name never
/// goes round in circles. He finds out by its word, which is another.
///
/// Orders: seq_cst throughout, as all that operations do.
template <class Atomics>
class BudgetLines {
  public:
    using Node = BudgetNode<Atomics>;
    using Card = BudgetCard<Atomics>;
    using Place = BudgetPlace<Atomics>;
    using Demand = BudgetDemand<Atomics>;
    using Index = IndexWord::Index;

    Card& card(Index index) const noexcept { return cards_[index]; }
    Place& place(Index index) const noexcept { return places_[index]; }

    /// A card for `waiter`, with a place for each level that it demands. Throws `std::bad_alloc`.
    Index make_card(BudgetWaiter<Atomics>& waiter, const Demand& demand, std::uint64_t ticket);
    /// For one that stands nowhere.
    void take_back(Index card) noexcept;

    /// Its place at a level; 0 if it needs none there.
    Index place_at(const Card& card, const Node& level) const noexcept {
        Index found = 0;
        for_each_place(card, [&](Index index, Place& place) {
            if (place.node.load() == &level) found = index;
            return found == 0;
        });
        return found;
    }
    /// What the card demands. If the word of the card is another afterwards, then so may be what was read.
    void read(const Card& card, Demand& demand) const noexcept;

    /// Calls `visit(index, place)` for each place of a card, until it returns false.
    template <class Visit>
    void for_each_place(const Card& card, Visit visit) const {
        for (auto index = card.first_place.load(); index != 0;) {
            auto& place = places_[index];
            if (!visit(index, place)) return;
            index = place.next_of_card.load();
        }
    }
    Index first(const Node& node) const noexcept { return IndexWord::index_of(node.line[0].load()); }
    Index behind(Index place) const noexcept { return IndexWord::index_of(places_[place].next[0].load()); }
    bool is_waiting(const Place& place) const noexcept {
        const auto card = place.card.load();
        return PlaceWord::is_standing(place.word.load()) && card != 0 && CardWord::is_waiting(cards_[card].word.load());
    }
    /// The first in the line of `node` who still waits there, while `goes_on` holds; else 0.
    template <class Condition>
    Index first_waiting(const Node& node, Condition goes_on) const noexcept {
        typename Atomics::Scope scope;
        auto index = first(node);
        while (index != 0 && !is_waiting(places_[index])) {
            scope.returns(index);
            index = goes_on() ? behind(index) : 0;
        }
        scope.returns(index);
        return index;
    }
    /// The first whose ticket is higher. While the line changes: one of those that stood behind it all the time is
    /// never left out.
    Index first_after(const Node& node, std::uint64_t ticket) const noexcept;

    /// Whether who wants `units` at `level` may be granted before `first`, who stands first there.
    static bool may_overtake(const Card& first, const Node& level, std::uint64_t units) noexcept;

    // ---- for operations; `goes_on()` is false when the operation has ended

    /// Into all lists of the line of its node where it is not linked yet.
    template <class Condition>
    void link(Index place, Condition goes_on) noexcept;
    /// Out of all lists where it is still linked.
    template <class Condition>
    void unlink(Index place, Condition goes_on) noexcept;
    /// The word of a place, if it stands as `from` says.
    template <class Condition>
    static void change(Place& place, BudgetStand from, BudgetStand to, Condition goes_on) noexcept;

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    template <class Visit>
    void for_each_link(const Node& node, std::uint64_t ticket, Visit visit) const noexcept;

    ItemPool<Atomics, Card> cards_;
    ItemPool<Atomics, Place> places_;
};

template <class Atomics>
auto BudgetLines<Atomics>::make_card(BudgetWaiter<Atomics>& waiter, const Demand& demand, std::uint64_t ticket)
    -> Index {
    const auto index = cards_.take();
    auto& card = cards_[index];
    card.first_place.store(0);
    card.ticket.store(ticket);
    card.waiter.store(&waiter);
    card.part_count.store(static_cast<std::uint32_t>(demand.part_count()));
    card.overtaken_before.store(card.overtaken_by.value.load());
    card.units_before.store(card.overtaken_units.value.load());
    card.refused_at.store(IndexWord::after(card.refused_at.load(), 0));
    Index last = 0;
    try {
        const auto add = [&] {
            const auto added = places_.take();
            auto& place = places_[added];
            place.ticket.store(ticket);
            place.card.store(index);
            place.next_of_card.store(0);
            (last == 0 ? card.first_place : places_[last].next_of_card).store(added);
            last = added;
        };
        demand.for_each_level([&](Node& level, std::uint64_t units) {
            if (place_at(card, level) != 0) return true;
            add();
            places_[last].node.store(&level);
            places_[last].units.store(units);
            return true;
        });
        std::size_t part = 0;
        const auto write_parts = [&] {
            auto place = card.first_place.load();
            for (part = 0; part < demand.part_count() && place != 0;
                 place = places_[place].next_of_card.load(), ++part) {
                places_[place].part_node.store(demand.part(part).node);
                places_[place].part_units.store(demand.part(part).units);
            }
        };
        for (write_parts(); part < demand.part_count(); write_parts()) { // several parts of one level
            add();
            places_[last].node.store(demand.node); // where it stands already
        }
    } catch (...) {
        take_back(index);
        throw;
    }
    card.word.store(CardWord::after(card.word.load(), BudgetWait::fresh, 0));
    return index;
}

template <class Atomics>
void BudgetLines<Atomics>::take_back(Index index) noexcept {
    auto& card = cards_[index];
    if (CardWord::state_of(card.word.load()) != BudgetWait::ended) // one that never waited
        card.word.store(CardWord::after(card.word.load(), BudgetWait::ended, 0));
    for (auto place = card.first_place.load(); place != 0;) {
        const auto next = places_[place].next_of_card.load();
        places_.give_back(place);
        place = next;
    }
    cards_.give_back(index);
}

template <class Atomics>
void BudgetLines<Atomics>::read(const Card& card, Demand& demand) const noexcept {
    demand.extra_count = 0;
    const auto parts = card.part_count.load();
    std::size_t part = 0;
    for_each_place(card, [&](Index, Place& place) {
        auto* const node = place.part_node.load();
        const auto units = place.part_units.load();
        if (part == 0) {
            demand.node = node;
            demand.units = units;
        } else {
            demand.extra[demand.extra_count++] = {node, units};
        }
        return ++part < std::min<std::size_t>(parts, Demand::most_parts);
    });
}

template <class Atomics>
auto BudgetLines<Atomics>::first_after(const Node& node, std::uint64_t ticket) const noexcept -> Index {
    for (;;) {
        Index before = 0; // who stays in this line while he is looked at
        std::uint64_t before_word = 0;
        bool has_changed = false;
        for (auto list = Atomics::line_heights; list-- != 0 && !has_changed;) {
            for (;;) {
                const auto& link = before == 0 ? node.line[list] : places_[before].next[list];
                const auto seen = link.load();
                const auto index = IndexWord::index_of(seen);
                const auto its_ticket = index == 0 ? ~std::uint64_t{0} : places_[index].ticket.load();
                const auto its_word = index == 0 ? 0 : places_[index].word.load();
                has_changed = link.load() != seen || (before != 0 && places_[before].word.load() != before_word);
                if (has_changed) break;
                if (its_ticket <= ticket && index != 0) {
                    before = index;
                    before_word = its_word;
                    continue;
                }
                if (list == 0) return index;
                break;
            }
        }
    }
}

template <class Atomics>
bool BudgetLines<Atomics>::may_overtake(const Card& first, const Node& level, std::uint64_t units) noexcept {
    const auto most = level.overtakers.load(std::memory_order_relaxed);
    if (most == 0) return false;
    const auto most_units = level.overtaking_units.load(std::memory_order_relaxed);
    const auto count = first.overtaken_by.value.load() - first.overtaken_before.load();
    const auto had = first.overtaken_units.value.load() - first.units_before.load();
    return count < most && units <= most_units - std::min(most_units, had);
}

template <class Atomics>
template <class Condition>
void BudgetLines<Atomics>::change(Place& place, BudgetStand from, BudgetStand to, Condition goes_on) noexcept {
    auto seen = place.word.load();
    if (PlaceWord::state_of(seen) == from && goes_on())
        place.word.compare_exchange_strong(seen, PlaceWord::after(seen, to));
}

/// Calls `visit(list, link, seen)` for each list, from the highest, with the last link before `ticket`, until it
/// returns false.
template <class Atomics>
template <class Visit>
void BudgetLines<Atomics>::for_each_link(const Node& node, std::uint64_t ticket, Visit visit) const noexcept {
    const auto* links = &node.line;
    for (auto list = Atomics::line_heights; list-- != 0;) {
        for (;;) {
            const auto seen = (*links)[list].load();
            const auto index = IndexWord::index_of(seen);
            if (index != 0 && places_[index].ticket.load() < ticket) {
                links = &places_[index].next;
                continue;
            }
            if (!visit(list, const_cast<Atomic<std::uint64_t>&>((*links)[list]), seen)) return;
            break;
        }
    }
}

template <class Atomics>
template <class Condition>
void BudgetLines<Atomics>::link(Index index, Condition goes_on) noexcept {
    auto& place = places_[index];
    for_each_link(*place.node.load(), place.ticket.load(), [&](std::size_t list, auto& link, std::uint64_t seen) {
        if (list >= Atomics::line_height(index)) return true;
        const auto next = IndexWord::index_of(seen);
        if (next == index) return true; // another helper did it
        auto behind = place.next[list].load();
        if (!goes_on()) return false;
        if (IndexWord::index_of(behind) != next)
            place.next[list].compare_exchange_strong(behind, IndexWord::after(behind, next));
        link.compare_exchange_strong(seen, IndexWord::after(seen, index));
        return true;
    });
}

template <class Atomics>
template <class Condition>
void BudgetLines<Atomics>::unlink(Index index, Condition goes_on) noexcept {
    auto& place = places_[index];
    for_each_link(*place.node.load(), place.ticket.load(), [&](std::size_t list, auto& link, std::uint64_t seen) {
        if (list >= Atomics::line_height(index) || IndexWord::index_of(seen) != index) return true;
        const auto next = IndexWord::index_of(place.next[list].load());
        if (!goes_on()) return false;
        link.compare_exchange_strong(seen, IndexWord::after(seen, next));
        return true;
    });
}

} // namespace velostream
