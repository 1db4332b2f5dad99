// SPDX-License-Identifier: Apache-2.0
// Every schedule of a few threads on a budget tree: strict, honest, exact and ordered, as `BudgetWorld` says.
#include <gtest/gtest.h>

#include "interleaving/core/budget_scenarios.hpp"

namespace velostream {
namespace {

struct Intact {};
using Scenarios = BudgetScenarios<Intact>;

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}

TEST(BudgetTreeInterleavings, TwoTakersOfMoreThanHalf) {
    expect_passed(Scenarios::two_takers_of_more_than_half());
}
TEST(BudgetTreeInterleavings, TwoTakersWhoBothFit) {
    expect_passed(Scenarios::two_takers_who_both_fit());
}
TEST(BudgetTreeInterleavings, ARefusedTakeBesideOneThatFits) {
    expect_passed(Scenarios::a_refused_take_beside_one_that_fits());
}
TEST(BudgetTreeInterleavings, AFullBudgetHandedOver) {
    expect_passed(Scenarios::a_full_budget_handed_over());
}
TEST(BudgetTreeInterleavings, AFullBudgetHandedBackAndForth) {
    expect_passed(Scenarios::a_full_budget_handed_back_and_forth());
}
TEST(BudgetTreeInterleavings, TwoThreadsAtTheCreditOfOneShard) {
    expect_passed(Scenarios::two_threads_at_the_credit_of_one_shard());
}
TEST(BudgetTreeInterleavings, CreditHandedOverInAShard) {
    expect_passed(Scenarios::credit_handed_over_in_a_shard());
}
TEST(BudgetTreeInterleavings, ThreeAtOneShard) {
    expect_passed(Scenarios::three_at_one_shard());
}
TEST(BudgetTreeInterleavings, AShardThatOpensWhileAnotherNeedsAlmostAll) {
    expect_passed(Scenarios::a_shard_that_opens_while_another_needs_almost_all());
}
TEST(BudgetTreeInterleavings, AShardThatOpensAfterARefusal) {
    expect_passed(Scenarios::a_shard_that_opens_after_a_refusal());
}
TEST(BudgetTreeInterleavings, AnOpenShardInUseWhileAnotherNeedsAlmostAll) {
    expect_passed(Scenarios::an_open_shard_in_use_while_another_needs_almost_all());
}
TEST(BudgetTreeInterleavings, AReturnToAShardThatCloses) {
    expect_passed(Scenarios::a_return_to_a_shard_that_closes());
}
TEST(BudgetTreeInterleavings, AFullShardThatReturnsPartOfItsCredit) {
    expect_passed(Scenarios::a_full_shard_that_returns_part_of_its_credit());
}
TEST(BudgetTreeInterleavings, TwoThreadsThatRefillOneShard) {
    expect_passed(Scenarios::two_threads_that_refill_one_shard());
}
TEST(BudgetTreeInterleavings, TwoWhoEachNeedTheOthersCredit) {
    expect_passed(Scenarios::two_who_each_need_the_others_credit());
}
TEST(BudgetTreeInterleavings, TwoWhoOpenAShardOfWhomOneNeedsAlmostAll) {
    expect_passed(Scenarios::two_who_open_a_shard_of_whom_one_needs_almost_all());
}
TEST(BudgetTreeInterleavings, TwoWhoNeedTheCreditOfAThird) {
    expect_passed(Scenarios::two_who_need_the_credit_of_a_third());
}
TEST(BudgetTreeInterleavings, ARefusalThatMovesUpALevel) {
    expect_passed(Scenarios::a_refusal_that_moves_up_a_level());
}
TEST(BudgetTreeInterleavings, AShardThatOpensWhileTheLimitFalls) {
    expect_passed(Scenarios::a_shard_that_opens_while_the_limit_falls());
}
TEST(BudgetTreeInterleavings, AReaderOfWhatIsUsed) {
    expect_passed(Scenarios::a_reader_of_what_is_used());
}
TEST(BudgetTreeInterleavings, AReaderOfWhatIsGranted) {
    expect_passed(Scenarios::a_reader_of_what_is_granted());
}
TEST(BudgetTreeInterleavings, AReaderOfWhatComesBackAboveAndBelow) {
    expect_passed(Scenarios::a_reader_of_what_comes_back_above_and_below());
}
TEST(BudgetTreeInterleavings, AReaderOfWhatTwoShardsExchange) {
    expect_passed(Scenarios::a_reader_of_what_two_shards_exchange());
}
TEST(BudgetTreeInterleavings, TwoWhoGiveAndOneWhoTakes) {
    expect_passed(Scenarios::two_who_give_and_one_who_takes());
}
TEST(BudgetTreeInterleavings, TwoWhoFitOfWhomOneTakesOfTwoNodes) {
    expect_passed(Scenarios::two_who_fit_of_whom_one_takes_of_two_nodes());
}
TEST(BudgetTreeInterleavings, TwoOfWhomOneTakesOfTwoNodesAndOneFits) {
    expect_passed(Scenarios::two_of_whom_one_takes_of_two_nodes_and_one_fits());
}
TEST(BudgetTreeInterleavings, ARefusedTakeOfTwoNodesBesideOneThatFits) {
    expect_passed(Scenarios::a_refused_take_of_two_nodes_beside_one_that_fits());
}
TEST(BudgetTreeInterleavings, OneWhoTakesOfTwoNodesWithCredit) {
    expect_passed(Scenarios::one_who_takes_of_two_nodes_with_credit());
}
TEST(BudgetTreeInterleavings, AFullBudgetThatChangesHandsBelowIt) {
    expect_passed(Scenarios::a_full_budget_that_changes_hands_below_it());
}
TEST(BudgetTreeInterleavings, ATransferToWhereAnotherTakes) {
    expect_passed(Scenarios::a_transfer_to_where_another_takes());
}
TEST(BudgetTreeInterleavings, ATransferFromWhereAnotherTakes) {
    expect_passed(Scenarios::a_transfer_from_where_another_takes());
}

} // namespace
} // namespace velostream
