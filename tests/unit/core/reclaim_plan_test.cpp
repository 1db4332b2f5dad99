// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/reclaim_plan.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace velostream {
namespace {

using Candidates = std::vector<ReclaimPlan::Candidate>;

TEST(ReclaimPlan, AsksNobodyWhileEnoughIsFree) {
    const ReclaimPlan plan;

    EXPECT_FALSE(plan.next(0, {{1, ReclaimKind::expired, 50}}));
    EXPECT_TRUE(plan.next(1, {{1, ReclaimKind::expired, 50}}));
}

TEST(ReclaimPlan, AsksCheaperKindsFirstAndThoseWhoCanFreeMost) {
    const ReclaimPlan plan;
    const Candidates candidates{{1, ReclaimKind::spill, 900},
                                {2, ReclaimKind::flush, 10},
                                {3, ReclaimKind::flush, 20},
                                {4, ReclaimKind::pause, 5000}};

    const auto first = plan.next(50, candidates);

    ASSERT_TRUE(first);
    EXPECT_EQ(first->id, 3u);
    EXPECT_EQ(first->wanted, 50u);
}

TEST(ReclaimPlan, AsksAgainWhoFreedSomething) {
    ReclaimPlan plan;
    plan.on_reclaimed(1, 10);

    EXPECT_TRUE(plan.next(50, {{1, ReclaimKind::spill, 40}}));
}

TEST(ReclaimPlan, DoesNotAskAgainWhoFreedNothing) {
    ReclaimPlan plan;
    const Candidates candidates{{1, ReclaimKind::expired, 100}, {2, ReclaimKind::spill, 100}};
    plan.on_reclaimed(1, 0);

    EXPECT_EQ(plan.next(50, candidates)->id, 2u);
    plan.on_reclaimed(2, 0);
    EXPECT_FALSE(plan.next(50, candidates));
}

TEST(ReclaimPlan, DoesNotAskWhoHasNothing) {
    EXPECT_FALSE(ReclaimPlan{}.next(50, {{1, ReclaimKind::expired, 0}}));
    EXPECT_FALSE(ReclaimPlan{}.next(50, {}));
}

TEST(ReclaimPlan, KindsHaveNames) {
    EXPECT_EQ(to_string(ReclaimKind::expired), "expired");
    EXPECT_EQ(to_string(ReclaimKind::flush), "flush");
    EXPECT_EQ(to_string(ReclaimKind::spill), "spill");
    EXPECT_EQ(to_string(ReclaimKind::pause), "pause");
    EXPECT_EQ(to_string(static_cast<ReclaimKind>(9)), "unknown");
}

} // namespace
} // namespace velostream
