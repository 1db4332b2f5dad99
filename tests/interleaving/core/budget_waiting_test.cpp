// SPDX-License-Identifier: Apache-2.0
// Schedules of a few threads of which some wait for room, all that have few enough switches (VELOSTREAM_SWITCHES=4 for
// as many in each), each thread stopped for ever at any step; and waiting that is wrong in one thing each.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "interleaving/core/budget_waiting_scenarios.hpp"

namespace velostream {

struct LooksOnlyBeforeItComes {};
struct OverlooksTheCount {};
struct ComesUnannounced {};
struct GrantsToWhoHasLeft {};
struct LeavesTheNextAsleep {};
struct TellsNobodyOfATransfer {};
struct LeavesASecondLineAsleep {};
struct TellsOfALimitTooEarly {};
struct LeavesItsPlaceBehind {};
struct LeavesOvertakersAsleep {};
struct TellsTwice {};
struct HidesWhoIsToBeTold {};
struct PassesWhoIsComing {};
struct LinksWhatHasEnded {};
struct CountsWhatHasEnded {};
struct CountsWhoHasLeft {};
struct TwoLists {
    static constexpr std::size_t line_heights = 2;
};
struct StaysInUpperLists : TwoLists {};

template <>
void BudgetWaiters<ExploredAtomics<LooksOnlyBeforeItComes>>::add(std::shared_ptr<Waiter> waiter,
                                                                 Node& refused_by) noexcept {
    auto& added = *waiter;
    added.held_ = std::move(waiter);
    count_.fetch_add(1);
    const Candidate candidate{added.card_, lines_.card(added.card_).word.load(), added.demand};
    const auto place = lines_.place_at(lines_.card(candidate.card), refused_by);
    if (!come(BudgetStep::go, candidate, refused_by, place)) end(added);
}

// Whoever gives back may then see the count as it was before his own return: the store-load order is missing.
template <>
bool BudgetWaiters<ExploredAtomics<OverlooksTheCount>>::any() const noexcept {
    return count_.load(std::memory_order_acquire) != 0;
}

template <>
bool BudgetWaiting<ExploredAtomics<ComesUnannounced>>::come(BudgetStep kind, const Candidate& candidate, Node&,
                                                            Index place) noexcept {
    return budget_verdict::is_effective(run(kind, candidate, place));
}

template <>
template <class Prepare, class Condition>
auto BudgetWaitSteps<ExploredAtomics<GrantsToWhoHasLeft>>::judge(const BudgetWaitStep& step, const Demand& demand,
                                                                 Prepare prepare, Condition goes_on) const noexcept
    -> Verdict {
    if (step.kind == BudgetStep::grant) return judge_grant(lines_.card(step.card), demand, prepare, goes_on);
    if (step.kind == BudgetStep::go) return judge_move(step, prepare);
    return Verdict::committed;
}

template <>
void BudgetWaiters<ExploredAtomics<LeavesTheNextAsleep>>::serve(Node& node, Serving&) noexcept {
    Serving forgotten{nullptr};
    if (node.has_line()) serve_first(node, lines_.first(node), forgotten);
}

template <>
void BudgetWaiting<ExploredAtomics<LeavesItsPlaceBehind>>::step_out(Index, Serving&) noexcept {}

template <>
void BudgetWaiting<ExploredAtomics<LeavesASecondLineAsleep>>::step_out(Index card, Serving&) noexcept {
    lines_.for_each_place(lines_.card(card), [&](Index index, auto& place) {
        while (!PlaceWord::is_out(place.word.load())) unlink(index);
        return true;
    });
}

template <>
void BudgetWaiters<ExploredAtomics<LeavesOvertakersAsleep>>::wait_above_too(const Candidate&, Node&, Node&,
                                                                            Serving&) noexcept {}

template <>
void BudgetWaiting<ExploredAtomics<TellsTwice>>::tell(Index index, Serving& serving) noexcept {
    auto& card = lines_.card(index);
    const auto word = card.word.load();
    if (!CardWord::is_untold(word)) return;
    card.word.store(CardWord::after(word, BudgetWait::ended, 0));
    auto& waiter = *card.waiter.load();
    waiter.on_granted();
    step_out(index, serving);
    end(waiter);
}

// Who was granted is out of his line before anybody has told him; who was about to may have stopped.
template <>
void BudgetWaiting<ExploredAtomics<HidesWhoIsToBeTold>>::clear_away(Index index, Serving& serving) noexcept {
    BudgetOperation<ExploredAtomics<HidesWhoIsToBeTold>> operation;
    auto& step = operation.step;
    auto& place = lines_.place(index);
    step = {.kind = BudgetStep::unlink, .place = index};
    step.place_word = place.word.load();
    step.card = place.card.load();
    step.card_word = lines_.card(step.card).word.load();
    if (PlaceWord::is_out(step.place_word) || CardWord::is_waiting(step.card_word))
        return tree_.operations_.complete_current();
    tree_.operations_.run(operation);
    serving.note(*place.node.load());
}

// He takes himself off the count only where somebody finds him in the line.
template <>
bool BudgetWaiters<ExploredAtomics<CountsWhoHasLeft>>::leave(Waiter& waiter) noexcept {
    auto& card = lines_.card(waiter.card_);
    auto word = card.word.load();
    const auto ended = CardWord::after(word, BudgetWait::ended, 0);
    if (!CardWord::is_waiting(word) || !card.word.compare_exchange_strong(word, ended)) return false;
    end(waiter);
    return true;
}

template <>
void BudgetWaiters<ExploredAtomics<PassesWhoIsComing>>::serve_from(Node& node) noexcept {
    serving([&](Serving& mine) {
        for (auto* level = &node; level != nullptr; level = level->parent.load()) {
            if (level->has_line()) serve(*level, mine);
        }
    });
}

template <>
template <class Condition>
void BudgetLines<ExploredAtomics<LinksWhatHasEnded>>::link(Index index, Condition) noexcept {
    auto& place = places_[index];
    for_each_link(*place.node.load(), place.ticket.load(), [&](std::size_t list, auto& link, std::uint64_t seen) {
        if (IndexWord::index_of(seen) == index) return true;
        place.next[list].store(IndexWord::after(place.next[list].load(), IndexWord::index_of(seen)));
        link.store(IndexWord::after(seen, index));
        return true;
    });
}

template <>
template <class Condition>
void BudgetLines<ExploredAtomics<StaysInUpperLists>>::unlink(Index index, Condition goes_on) noexcept {
    auto& place = places_[index];
    for_each_link(*place.node.load(), place.ticket.load(), [&](std::size_t list, auto& link, std::uint64_t seen) {
        const auto next = IndexWord::index_of(place.next[list].load());
        if (list == 0 && IndexWord::index_of(seen) == index && goes_on())
            link.compare_exchange_strong(seen, IndexWord::after(seen, next));
        return true;
    });
}

template <>
void BudgetOperations<ExploredAtomics<CountsWhatHasEnded>>::apply_step(const Operation& operation, Verdict verdict,
                                                                       std::uint64_t busy) noexcept {
    const auto add = [&](auto& counter, std::uint64_t units) {
        counter.value.store(counter.base.load() + units);
        return true;
    };
    steps_.apply(operation.step, operation.demand, verdict, add, [&] { return current_.load() == busy; });
}

template <>
void BudgetTree<ExploredAtomics<TellsOfALimitTooEarly>>::set_limit(Node& node, std::uint64_t limit) noexcept {
    node.tree.waiters_.on_lowered_limit();
    node.limit.store(limit);
}

template <>
auto BudgetTree<ExploredAtomics<TellsNobodyOfATransfer>>::transfer(Node& from, Node& to, std::uint64_t units) noexcept
    -> Outcome {
    auto* const common = common_level(from, to);
    const auto outcome = take(Demand{.node = &to, .units = units, .below = common});
    if (outcome.granted()) from.give(units, common);
    return outcome;
}

namespace {

struct Intact {};
using Scenarios = BudgetWaitingScenarios<Intact>;
template <class Mutation>
using Mutant = BudgetWaitingScenarios<Mutation>;

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}

TEST(BudgetWaitingInterleavings, OneWhoWaitsForWhatAnotherGivesBack) {
    expect_passed(Scenarios::one_who_waits_for_what_another_gives_back());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsForWhatAnotherGivesBackWithWeakMemory) {
    expect_passed(Scenarios::one_who_waits_for_what_another_gives_back(testing::MemoryModel::weak));
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsForWhatWentIntoAShard) {
    expect_passed(Scenarios::one_who_waits_for_what_went_into_a_shard());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsWhileAShardOpens) {
    expect_passed(Scenarios::one_who_waits_while_a_shard_opens());
}
TEST(BudgetWaitingInterleavings, OneWhoLeavesWhileAnotherGivesBack) {
    expect_passed(Scenarios::one_who_leaves_while_another_gives_back());
}
TEST(BudgetWaitingInterleavings, OneWhoLeavesWhileAnotherLooks) {
    expect_passed(Scenarios::one_who_leaves_while_another_looks());
}
TEST(BudgetWaitingInterleavings, OneWhoLeavesInFrontOfAnother) {
    expect_passed(Scenarios::one_who_leaves_in_front_of_another());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsAtTwoLevels) {
    expect_passed(Scenarios::one_who_waits_at_two_levels());
}
TEST(BudgetWaitingInterleavings, TwoWhoWaitForWhatAnotherGivesBack) {
    expect_passed(Scenarios::two_who_wait_for_what_another_gives_back());
}

TEST(BudgetWaitingInterleavings, OneWhoLeavesInFrontOfAnotherWithTwoLists) {
    expect_passed(Mutant<TwoLists>::one_who_leaves_in_front_of_another());
}
TEST(BudgetWaitingInterleavings, TwoWhoWaitForWhatAnotherGivesBackWithTwoLists) {
    expect_passed(Mutant<TwoLists>::two_who_wait_for_what_another_gives_back());
}

TEST(BudgetWaitingInterleavings, OneWhoWaitsForTwoNodes) {
    expect_passed(Scenarios::one_who_waits_for_two_nodes());
}
TEST(BudgetWaitingInterleavings, OneWhoNamesANodeTwice) {
    expect_passed(Scenarios::one_who_names_a_node_twice());
}
TEST(BudgetWaitingInterleavings, OneWhoKeepsHisPlacesAtTwoNodes) {
    expect_passed(Scenarios::one_who_keeps_his_places_at_two_nodes());
}
TEST(BudgetWaitingInterleavings, OneWhoLeavesTwoNodes) {
    expect_passed(Scenarios::one_who_leaves_two_nodes());
}
TEST(BudgetWaitingInterleavings, OneWhoAsksAfterHeLeft) {
    expect_passed(Scenarios::one_who_asks_after_he_left());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsForMoreThanALoweredLimit) {
    expect_passed(Scenarios::one_who_waits_for_more_than_a_lowered_limit());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsWhileTheLimitFallsAndRises) {
    expect_passed(Scenarios::one_who_waits_while_the_limit_falls_and_rises());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsForWhatAnotherTransfers) {
    expect_passed(Scenarios::one_who_waits_for_what_another_transfers());
}

TEST(BudgetWaitingInterleavings, OneWhoComesBackToWhereHeWas) {
    expect_passed(Scenarios::one_who_comes_back_to_where_he_was());
}
TEST(BudgetWaitingInterleavings, OneWhoMovesWhileALimitFalls) {
    expect_passed(Scenarios::one_who_moves_while_a_limit_falls());
}

TEST(BudgetWaitingInterleavings, OneWhoLeavesWhileHeBeginsToWait) {
    expect_passed(Scenarios::one_who_leaves_while_he_begins_to_wait());
}
TEST(BudgetWaitingInterleavings, OneWhoComesLaterAndDoesNotWait) {
    expect_passed(Scenarios::one_who_comes_later_and_does_not_wait());
}
TEST(BudgetWaitingInterleavings, OneWhoAsksWhileAnotherTakesThePlaceOfTheFirst) {
    expect_passed(Scenarios::one_who_asks_while_another_takes_the_place_of_the_first());
}
TEST(BudgetWaitingInterleavings, OneWhoMayOvertakeWaitsForTheLevelAbove) {
    expect_passed(Scenarios::one_who_may_overtake_waits_for_the_level_above());
}

TEST(BudgetWaitingMutants, LookingForRoomOnlyBeforeItComesIsFound) {
    EXPECT_EQ(Mutant<LooksOnlyBeforeItComes>::one_who_waits_for_what_another_gives_back().failure,
              "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ACountThatIsReadTooEarlyIsFoundWithWeakMemory) {
    EXPECT_EQ(Mutant<OverlooksTheCount>::one_who_waits_for_what_another_gives_back(testing::MemoryModel::weak).failure,
              "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ALineThatIsNotAnnouncedIsFound) {
    EXPECT_EQ(Mutant<ComesUnannounced>::one_who_waits_for_what_went_into_a_shard().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, AGrantToOneWhoHasLeftIsFound) {
    EXPECT_EQ(Mutant<GrantsToWhoHasLeft>::one_who_leaves_while_another_gives_back().failure,
              "granted to one who has left");
}
TEST(BudgetWaitingMutants, OneWhoHasLeftAndStillCountsIsFound) {
    EXPECT_EQ(Mutant<CountsWhoHasLeft>::one_who_asks_after_he_left().failure, "refused on account of one who has left");
}
TEST(BudgetWaitingMutants, OneLeftAsleepBehindAnotherIsFound) {
    EXPECT_EQ(Mutant<LeavesTheNextAsleep>::two_who_wait_for_what_another_gives_back().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ASecondLineLeftAsleepIsFound) {
    EXPECT_EQ(Mutant<LeavesASecondLineAsleep>::one_who_keeps_his_places_at_two_nodes().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ALimitThatIsToldOfTooEarlyIsFound) {
    EXPECT_EQ(Mutant<TellsOfALimitTooEarly>::one_who_waits_for_more_than_a_lowered_limit().failure,
              "waits for what can never be");
}
TEST(BudgetWaitingMutants, APlaceThatIsLeftBehindIsFound) {
    EXPECT_EQ(Mutant<LeavesItsPlaceBehind>::one_who_leaves_in_front_of_another().failure,
              "somebody still counts as waiting");
}
TEST(BudgetWaitingMutants, AnOvertakerLeftAsleepIsFound) {
    EXPECT_EQ(Mutant<LeavesOvertakersAsleep>::one_who_may_overtake_waits_for_the_level_above().failure,
              "one who may overtake was left asleep");
}
TEST(BudgetWaitingMutants, ATransferThatWakesNobodyIsFound) {
    EXPECT_EQ(Mutant<TellsNobodyOfATransfer>::one_who_waits_for_what_another_transfers().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, OneThatIsToldByTwoIsFound) {
    EXPECT_EQ(Mutant<TellsTwice>::one_who_waits_for_what_another_gives_back().failure, "granted twice");
}
TEST(BudgetWaitingMutants, OneThatIsTakenOutBeforeItIsToldIsFound) {
    EXPECT_EQ(Mutant<HidesWhoIsToBeTold>::one_who_waits_for_what_another_gives_back().failure,
              "nobody tells one that has ended");
}
TEST(BudgetWaitingMutants, OneWhoStandsStillOnHisWayAndIsPassedIsFound) {
    EXPECT_EQ(Mutant<PassesWhoIsComing>::one_who_waits_for_what_another_gives_back().failure,
              "held up by one who has stopped");
}
TEST(BudgetWaitingMutants, AHelperThatLinksWhatHasEndedIsFound) {
    EXPECT_EQ(Mutant<LinksWhatHasEnded>::one_who_leaves_while_another_looks().failure,
              "somebody still counts as waiting");
}
TEST(BudgetWaitingMutants, OneWhoStaysInAListThatSkipsOthersIsFound) {
    EXPECT_EQ(Mutant<StaysInUpperLists>::one_who_leaves_in_front_of_another().failure,
              "somebody still counts as waiting");
}
TEST(BudgetWaitingMutants, AHelperThatCountsWhatHasEndedIsFound) {
    EXPECT_EQ(Mutant<CountsWhatHasEnded>::two_who_wait_for_what_another_gives_back().failure,
              "somebody still counts as waiting");
}

} // namespace
} // namespace velostream
