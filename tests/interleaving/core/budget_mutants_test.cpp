// SPDX-License-Identifier: Apache-2.0
// Budget trees with one thing wrong each, and the schedule that shows it: what the interleavings test is worth. A
// mutant is a tree of its own type, of which one member is specialised.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "interleaving/core/budget_scenarios.hpp"

namespace velostream {

struct NothingAcquired {};
struct NothingReleased {};
struct ClosedInTwoSteps {};
struct TakenWithoutATurn {};
struct TakenFromTheClosed {};
struct PutIntoTheClosed {};
struct PutTwice {};
struct NoTurns {};
struct GivenToOneLevelOnly {};
struct MarkNotCheckedAgain {};
struct NotMarked {};
struct NotCompleted {};
struct RefusedAtFirstSight {};
struct RefusedByLaterFigures {};
struct AnnouncedForEver {};
struct NotAnnouncedToJudges {};
struct JudgedWithoutRoomAbove {};
struct AppliedAfterItsEnd {};
struct TakenOneAfterAnother {};
struct NotSummedUp {};
struct TransferredThroughTheRoot {};
struct TransferredToNobodysHands {};
struct DecidesAtOnce {};
struct JudgesByAnOldAnnouncement {};
struct AnnouncesInNoOrder {};
struct OverlooksWhatIsUnderWay {};

template <class Mutation>
using Mutant = ExploredAtomics<Mutation>;

// ---- a shard

template <>
bool BudgetShard<Mutant<NothingAcquired>>::try_take(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (units > credit_of(seen) || is_closed(seen)) return false;
    return word.compare_exchange_strong(seen, seen - units + turn_step, std::memory_order_relaxed,
                                        std::memory_order_relaxed);
}

template <>
bool BudgetShard<Mutant<NothingReleased>>::try_put(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (is_closed(seen) || credit_of(seen) + units > capacity.load(std::memory_order_relaxed)) return false;
    return word.compare_exchange_strong(seen, seen + units, std::memory_order_relaxed, std::memory_order_relaxed);
}

template <>
std::uint64_t BudgetShard<Mutant<ClosedInTwoSteps>>::close() noexcept {
    const auto seen = word.load() | closed;
    word.store(seen);
    return seen;
}

template <>
bool BudgetShard<Mutant<TakenWithoutATurn>>::try_take(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (units > credit_of(seen) || is_closed(seen)) return false;
    return word.compare_exchange_strong(seen, seen - units, std::memory_order_acquire, std::memory_order_relaxed);
}

template <>
bool BudgetShard<Mutant<TakenFromTheClosed>>::try_take(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (units > credit_of(seen)) return false;
    return word.compare_exchange_strong(seen, seen - units, std::memory_order_acquire, std::memory_order_relaxed);
}

// It has put them, and says that it has not: they go to the tree, too.
template <>
bool BudgetShard<Mutant<PutTwice>>::try_put(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (has_space(seen, units))
        word.compare_exchange_strong(seen, seen + units, std::memory_order_release, std::memory_order_relaxed);
    return false;
}

template <>
bool BudgetShard<Mutant<PutIntoTheClosed>>::try_put(std::uint64_t units) noexcept {
    auto seen = word.load(std::memory_order_relaxed);
    if (credit_of(seen) + units > capacity.load(std::memory_order_relaxed)) return false;
    return word.compare_exchange_strong(seen, seen + units, std::memory_order_release, std::memory_order_relaxed);
}

template <>
constexpr std::uint64_t BudgetShard<Mutant<NoTurns>>::turn_of(std::uint64_t) noexcept {
    return 0;
}

// ---- a node

template <>
void BudgetNode<Mutant<GivenToOneLevelOnly>>::give(std::uint64_t units, const BudgetNode*) noexcept {
    given.fetch_add(units);
}

template <>
bool BudgetNode<Mutant<MarkNotCheckedAgain>>::is_marked_open() const noexcept {
    return true;
}

template <>
void BudgetRegistry<Mutant<NotMarked>>::mark_open(const Node&) noexcept {}

template <>
bool BudgetNode<Mutant<NotMarked>>::is_marked_open() const noexcept {
    return true;
}

// ---- an operation

template <>
void BudgetOperations<Mutant<NotCompleted>>::complete_current() noexcept {}

template <>
auto BudgetOperations<Mutant<NotAnnouncedToJudges>>::judge(const Operation& operation, const Slot& place,
                                                           std::uint64_t undecided) noexcept -> Verdict {
    using Shard = BudgetShard<Mutant<NotAnnouncedToJudges>>;
    if (operation.shard != nullptr) {
        const auto word = operation.shard->word.load();
        if (!Shard::is_closed(word) || Shard::turn_of(word) != operation.turn) return Verdict::shard_moved;
    }
    auto level = static_cast<std::uint64_t>(Verdict::refused_at);
    for (auto* node = operation.demand.node; node != nullptr; node = node->parent.load(), ++level) {
        auto& counter = operation.takes ? node->taken : node->drained;
        const auto value = counter.value.load();
        auto base = counter.base.load();
        if (operation.takes && node->granted() > node->limit.load() - operation.demand.units) return Verdict{level};
        if (place.result.load() != undecided) return Verdict::undecided;
        if (base != value) counter.base.compare_exchange_strong(base, value);
    }
    return Verdict::committed;
}

template <>
auto BudgetOperations<Mutant<JudgedWithoutRoomAbove>>::judge(const Operation& operation, const Slot& place,
                                                             std::uint64_t undecided) noexcept -> Verdict {
    for (auto* node = operation.demand.node; node != nullptr; node = node->parent.load()) {
        auto& counter = operation.takes ? node->taken : node->drained;
        const auto value = counter.value.load();
        auto base = counter.base.load();
        if (operation.takes && node == operation.demand.node &&
            node->granted() > node->limit.load() - operation.demand.units)
            return Verdict::refused_at;
        if (place.result.load() != undecided) return Verdict::undecided;
        if (base != value) counter.base.compare_exchange_strong(base, value);
    }
    return Verdict::committed;
}

template <>
void BudgetOperations<Mutant<AppliedAfterItsEnd>>::apply(const Operation& operation, std::uint64_t) noexcept {
    for (auto* node = operation.demand.node; node != nullptr; node = node->parent.load()) {
        auto& counter = operation.takes ? node->taken : node->drained;
        const auto value = counter.base.load() + operation.demand.units;
        if (operation.takes) node->peak.store(unlimited_units);
        counter.value.store(value);
    }
}

// ---- the tree

template <>
auto BudgetTree<Mutant<RefusedAtFirstSight>>::take_or_refuse(const Demand& demand, Node* refusing) noexcept -> Outcome {
    return refused(*refusing, demand.units_at(*refusing));
}

template <>
auto BudgetTree<Mutant<RefusedByLaterFigures>>::refused(const Node& level, std::uint64_t units) noexcept -> Outcome {
    return figures(level, units, level.waiting_now());
}

template <>
auto BudgetTree<Mutant<AnnouncedForEver>>::take_or_refuse(const Demand& demand, Node* refusing) noexcept -> Outcome {
    for (;;) {
        announce_and_collect(*refusing);
        const auto verdict = operations_.run(Operation{.demand = demand});
        if (verdict == Verdict::committed) return refusing->deciders.fetch_sub(1), Outcome{};
        auto* const next = &demand.level(budget_verdict::level_of(verdict));
        if (next->is_within(*refusing)) return refusing->deciders.fetch_sub(1), refused(*next, demand.units_at(*next));
        refusing = next;
    }
}

// What the other parts took before one was refused is given back; until then it seems to be used.
template <>
auto BudgetTree<Mutant<TakenOneAfterAnother>>::take(const Demand& demand) noexcept -> Outcome {
    for (std::size_t index = 0; index < demand.part_count(); ++index) {
        const Demand part{.node = demand.part(index).node, .units = demand.part(index).units};
        const auto verdict = part.node->tree.operations_.run(Operation{.demand = part});
        if (verdict == Verdict::committed) continue;
        while (index-- != 0) give(*demand.part(index).node, demand.part(index).units, nullptr);
        return refused(part.level(budget_verdict::level_of(verdict)), part.units);
    }
    return {};
}

template <>
std::uint64_t BudgetDemand<Mutant<NotSummedUp>>::units_at(const Node& level) const noexcept {
    std::size_t index = 0;
    while (!part(index).node->is_within(level)) ++index;
    return part(index).units;
}

template <>
auto BudgetTree<Mutant<TransferredThroughTheRoot>>::transfer(Node& from, Node& to, std::uint64_t units) noexcept
    -> Outcome {
    const auto outcome = take(Demand{.node = &to, .units = units});
    if (outcome.granted()) give(from, units, nullptr);
    return outcome;
}

template <>
auto BudgetTree<Mutant<TransferredToNobodysHands>>::transfer(Node& from, Node& to, std::uint64_t units) noexcept
    -> Outcome {
    give(from, units, nullptr);
    return take(Demand{.node = &to, .units = units});
}

// The store-load pair: who decides announces himself, then looks at what is under way; who opens a shard begins, then
// looks for announcements. With any of the four in a weaker order both may overlook the other. To keep the schedules
// short, who decides does not try before: what he was refused for a moment ago has come back.
template <>
auto BudgetTree<Mutant<DecidesAtOnce>>::take(const Demand& demand) noexcept -> Outcome {
    return demand.node->tree.take_or_refuse(demand, demand.node);
}
template <>
auto BudgetTree<Mutant<JudgesByAnOldAnnouncement>>::take(const Demand& demand) noexcept -> Outcome {
    return demand.node->tree.take_or_refuse(demand, demand.node);
}
template <>
auto BudgetTree<Mutant<AnnouncesInNoOrder>>::take(const Demand& demand) noexcept -> Outcome {
    return demand.node->tree.take_or_refuse(demand, demand.node);
}
template <>
auto BudgetTree<Mutant<OverlooksWhatIsUnderWay>>::take(const Demand& demand) noexcept -> Outcome {
    return demand.node->tree.take_or_refuse(demand, demand.node);
}

template <>
auto BudgetOperations<Mutant<JudgesByAnOldAnnouncement>>::judge(const Operation& operation, const Slot& place,
                                                                std::uint64_t undecided) noexcept -> Verdict {
    if (operation.shard != nullptr && operation.shard->turn_of(operation.shard->word.load()) != operation.turn)
        return Verdict::shard_moved;
    auto level = static_cast<std::uint64_t>(Verdict::refused_at);
    for (auto* node = operation.demand.node; node != nullptr; node = node->parent.load(), ++level) {
        if (operation.opens && node->deciders.load(std::memory_order_acquire) != 0) return Verdict::not_now;
        auto& counter = operation.takes ? node->taken : node->drained;
        const auto value = counter.value.load();
        auto base = counter.base.load();
        if (operation.takes && node->granted() > node->limit.load() - operation.demand.units) return Verdict{level};
        if (place.result.load() != undecided) return Verdict::undecided;
        if (base != value) counter.base.compare_exchange_strong(base, value);
    }
    if (operation.opens && !operation.demand.node->is_marked_open()) return Verdict::not_now;
    return Verdict::committed;
}

template <>
void BudgetTree<Mutant<AnnouncesInNoOrder>>::announce_and_collect(Node& node) noexcept {
    node.deciders.fetch_add(1, std::memory_order_acq_rel);
    operations_.complete_current();
    registry_.for_each_open([&](Node& open) {
        if (!open.is_within(node)) return;
        close_and_collect(open.shard(0));
        registry_.clear_open(open);
    });
}

template <>
void BudgetOperations<Mutant<OverlooksWhatIsUnderWay>>::complete_current() noexcept {
    const auto seen = current_.load(std::memory_order_acquire);
    if (is_busy(seen)) help(seen);
}

namespace {

template <class Mutation>
using Tree = BudgetScenarios<Mutation>;

TEST(BudgetTreeMutants, ATakeFromAShardThatAcquiresNothingIsFound) {
    EXPECT_EQ(Tree<NothingAcquired>::credit_handed_over_in_a_shard().failure,
              "the last holder was not seen to have ended");
}
TEST(BudgetTreeMutants, APutIntoAShardThatReleasesNothingIsFound) {
    EXPECT_EQ(Tree<NothingReleased>::credit_handed_over_in_a_shard().failure,
              "the last holder was not seen to have ended");
}
TEST(BudgetTreeMutants, AShardThatIsClosedInTwoStepsIsFound) {
    EXPECT_EQ(Tree<ClosedInTwoSteps>::an_open_shard_in_use_while_another_needs_almost_all().failure,
              "the peak is below what is held");
}
TEST(BudgetTreeMutants, ATakeFromAShardThatLeavesTheTurnIsFound) {
    EXPECT_EQ(Tree<TakenWithoutATurn>::a_reader_of_what_two_shards_exchange().failure, "used is too low");
}
TEST(BudgetTreeMutants, ATakeFromAClosedShardIsFound) {
    EXPECT_EQ(Tree<TakenFromTheClosed>::an_open_shard_in_use_while_another_needs_almost_all().failure,
              "more is granted than the limit");
}
TEST(BudgetTreeMutants, APutIntoAClosedShardIsFound) {
    EXPECT_EQ(Tree<PutIntoTheClosed>::a_return_to_a_shard_that_closes().failure, "not everything came back");
}
TEST(BudgetTreeMutants, WhatComesBackTwiceIsFound) {
    EXPECT_EQ(Tree<PutTwice>::a_return_to_a_shard_that_closes().failure, "more is granted than the limit");
}
TEST(BudgetTreeMutants, AShardWithoutTurnsIsFound) {
    EXPECT_EQ(Tree<NoTurns>::two_threads_that_refill_one_shard().failure, "not everything came back");
}
TEST(BudgetTreeMutants, AReturnThatForgetsTheLevelsAboveIsFound) {
    EXPECT_EQ(Tree<GivenToOneLevelOnly>::a_full_budget_handed_over().failure,
              "refused although there was room all the time");
}
TEST(BudgetTreeMutants, AShardThatOpensWithoutAMarkIsFound) {
    EXPECT_EQ(Tree<NotMarked>::two_who_each_need_the_others_credit().failure,
              "refused although there was room all the time");
}
TEST(BudgetTreeMutants, AShardThatOpensWithoutLookingAtItsMarkAgainIsFound) {
    EXPECT_EQ(Tree<MarkNotCheckedAgain>::a_shard_that_opens_after_a_refusal().failure, "not everything came back");
}
TEST(BudgetTreeMutants, ADeciderWhoDoesNotCompleteWhatIsUnderWayIsFound) {
    EXPECT_EQ(Tree<NotCompleted>::a_shard_that_opens_while_the_limit_falls().failure, "granted after the limit fell");
}
TEST(BudgetTreeMutants, AJudgeWhoDoesNotHeedAnnouncementsIsFound) {
    EXPECT_EQ(Tree<NotAnnouncedToJudges>::a_shard_that_opens_after_a_refusal().failure, "not everything came back");
}
TEST(BudgetTreeMutants, AJudgeWhoDoesNotLookAboveIsFound) {
    EXPECT_EQ(Tree<JudgedWithoutRoomAbove>::two_takers_of_more_than_half().failure, "more is granted than the limit");
}
TEST(BudgetTreeMutants, AHelperThatAppliesWhatHasEndedIsFound) {
    EXPECT_EQ(Tree<AppliedAfterItsEnd>::two_takers_who_both_fit().failure, "not everything came back");
}
TEST(BudgetTreeMutants, ADeciderWhoMovesUpAndStaysAnnouncedIsFound) {
    EXPECT_EQ(Tree<AnnouncedForEver>::a_refusal_that_moves_up_a_level().failure, "somebody is announced for ever");
}
TEST(BudgetTreeMutants, ARefusalBeforeCreditWasCollectedIsFound) {
    EXPECT_EQ(Tree<RefusedAtFirstSight>::an_open_shard_in_use_while_another_needs_almost_all().failure,
              "refused although there was room all the time");
}
TEST(BudgetTreeMutants, ARefusalWithTheFiguresOfALaterMomentIsFound) {
    EXPECT_EQ(Tree<RefusedByLaterFigures>::a_full_budget_handed_over().failure, "refused with figures that show room");
}
TEST(BudgetTreeMutants, WhoDecidesAtOncePasses) {
    const auto report = Tree<DecidesAtOnce>::one_who_decides_while_a_shard_opens();
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}
template <class Mutation>
void expect_found_with_weak_memory_only() {
    EXPECT_EQ(Tree<Mutation>::one_who_decides_while_a_shard_opens().failure,
              "refused although there was room all the time");
    EXPECT_TRUE(Tree<Mutation>::one_who_decides_while_a_shard_opens(testing::MemoryModel::sequential).passed());
}
TEST(BudgetTreeMutants, AJudgeWhoSeesAnOldAnnouncementIsFoundWithWeakMemory) {
    expect_found_with_weak_memory_only<JudgesByAnOldAnnouncement>();
}
TEST(BudgetTreeMutants, AnAnnouncementThatIsInNoOrderIsFoundWithWeakMemory) {
    expect_found_with_weak_memory_only<AnnouncesInNoOrder>();
}
TEST(BudgetTreeMutants, ADeciderWhoOverlooksWhatIsUnderWayIsFoundWithWeakMemory) {
    expect_found_with_weak_memory_only<OverlooksWhatIsUnderWay>();
}
TEST(BudgetTreeMutants, ATakeOfTwoNodesThatTakesOneAfterAnotherIsFound) {
    EXPECT_EQ(Tree<TakenOneAfterAnother>::a_refused_take_of_two_nodes_beside_one_that_fits().failure,
              "refused although there was room all the time");
}
TEST(BudgetTreeMutants, ATakeOfTwoNodesThatIsNotSummedUpAboveThemIsFound) {
    EXPECT_EQ(Tree<NotSummedUp>::two_of_whom_one_takes_of_two_nodes_and_one_fits().failure,
              "the peak is below what is held");
}
TEST(BudgetTreeMutants, ATransferThatAsksTheCommonLevelsIsFound) {
    EXPECT_EQ(Tree<TransferredThroughTheRoot>::a_full_budget_that_changes_hands_below_it().failure,
              "refused although there was room all the time");
}
TEST(BudgetTreeMutants, ATransferThatLetsGoFirstIsFound) {
    EXPECT_EQ(Tree<TransferredToNobodysHands>::a_full_budget_that_changes_hands_below_it().failure,
              "the peak is below what is held");
}

} // namespace
} // namespace velostream
