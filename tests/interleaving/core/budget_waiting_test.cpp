// SPDX-License-Identifier: Apache-2.0
// Every schedule of a few threads of which some wait for room, and waiting that is wrong in one thing each.
#include <gtest/gtest.h>

#include <atomic>
#include <utility>

#include "interleaving/core/budget_waiting_world.hpp"

namespace velostream {

struct LooksBeforeItCounts {};
struct OverlooksTheCount {};
struct ForgetsRequests {};
struct ClearsItsMarkTooLate {};
struct QueuesUnannounced {};
struct GrantsToWhoHasLeft {};
struct LeavesTheNextAsleep {};
struct TellsNobodyOfATransfer {};

template <>
void BudgetWaiters<ExploredAtomics<LooksBeforeItCounts>>::enter(Waiter& waiter, Node& node) noexcept {
    if (node.queue.empty()) tree_.announce_and_collect(node);
    const bool has_room = node.granted() + waiter.demand.units <= node.limit.load();
    node.queue.insert(std::move(waiter.place_));
    if (!has_room) node.is_marked.store(true); // "served already"
    node.waiting.store(node.queue.size());
    waiter.queued_at_ = &node;
}

// Whoever gives back may then see the count as it was before his own return: the store-load order is missing.
template <>
bool BudgetWaiters<ExploredAtomics<OverlooksTheCount>>::any() const noexcept {
    return count_.load(std::memory_order_acquire) != 0;
}

template <>
void BudgetWaiters<ExploredAtomics<ForgetsRequests>>::request() noexcept {
    if (requests_.fetch_add(1) != 0) return;
    drain();
    requests_.store(0);
}

template <>
void BudgetWaiters<ExploredAtomics<ClearsItsMarkTooLate>>::serve(Node& node) noexcept {
    node.is_marked.store(true);
    while (!node.queue.empty() && serve_first(node)) continue;
    node.is_marked.store(false);
}

template <>
void BudgetWaiters<ExploredAtomics<QueuesUnannounced>>::enter(Waiter& waiter, Node& node) noexcept {
    if (node.queue.empty()) node.deciders.fetch_add(1);
    node.queue.insert(std::move(waiter.place_));
    node.waiting.store(node.queue.size());
    waiter.queued_at_ = &node;
}

template <>
bool BudgetWaiters<ExploredAtomics<GrantsToWhoHasLeft>>::serve_first(Node& node) noexcept {
    auto& waiter = *node.queue.begin()->second;
    if (waiter.has_ended()) {
        exit(waiter);
        end(waiter);
        return true;
    }
    if (!tree_.take_announced(waiter.demand).granted()) return false;
    exit(waiter);
    waiter.on_granted();
    end(waiter);
    return true;
}

template <>
void BudgetWaiters<ExploredAtomics<LeavesTheNextAsleep>>::serve(Node& node) noexcept {
    if (!node.queue.empty()) serve_first(node);
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
TEST(BudgetWaitingInterleavings, OneWhoLeavesWhileAnotherGivesBack) {
    expect_passed(Scenarios::one_who_leaves_while_another_gives_back());
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

TEST(BudgetWaitingInterleavings, OneWhoWaitsForTwoNodes) {
    expect_passed(Scenarios::one_who_waits_for_two_nodes());
}
TEST(BudgetWaitingInterleavings, OneWhoWaitsForWhatAnotherTransfers) {
    expect_passed(Scenarios::one_who_waits_for_what_another_transfers());
}

TEST(BudgetWaitingMutants, LookingForRoomBeforeItIsSeenToWaitIsFound) {
    EXPECT_EQ(Mutant<LooksBeforeItCounts>::one_who_waits_for_what_another_gives_back().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ACountThatIsReadTooEarlyIsFoundWithWeakMemory) {
    EXPECT_EQ(Mutant<OverlooksTheCount>::one_who_waits_for_what_another_gives_back(testing::MemoryModel::weak).failure,
              "a wake-up was lost");
}
TEST(BudgetWaitingMutants, RequestsThatAreForgottenAreFound) {
    EXPECT_EQ(Mutant<ForgetsRequests>::one_who_waits_for_what_another_gives_back().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, AMarkThatIsClearedTooLateIsFound) {
    EXPECT_EQ(Mutant<ClearsItsMarkTooLate>::one_who_waits_for_what_another_gives_back().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, AQueueThatIsNotAnnouncedIsFound) {
    EXPECT_EQ(Mutant<QueuesUnannounced>::one_who_waits_for_what_went_into_a_shard().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, AGrantToOneWhoHasLeftIsFound) {
    EXPECT_EQ(Mutant<GrantsToWhoHasLeft>::one_who_leaves_while_another_gives_back().failure,
              "granted to one who has left");
}
TEST(BudgetWaitingMutants, OneLeftAsleepBehindAnotherIsFound) {
    EXPECT_EQ(Mutant<LeavesTheNextAsleep>::two_who_wait_for_what_another_gives_back().failure, "a wake-up was lost");
}
TEST(BudgetWaitingMutants, ATransferThatWakesNobodyIsFound) {
    EXPECT_EQ(Mutant<TellsNobodyOfATransfer>::one_who_waits_for_what_another_transfers().failure, "a wake-up was lost");
}

} // namespace
} // namespace velostream
