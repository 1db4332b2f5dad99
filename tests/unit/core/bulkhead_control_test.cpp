// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/bulkhead_control.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

// Between a permit's return and the moment at which the line is served anybody may come.
TEST(BulkheadControl, APermitThatCameBackIsNotForANewcomerWhileSomebodyStandsInLine) {
    BulkheadControl<> control{1};
    ASSERT_TRUE(control.try_take());
    ASSERT_FALSE(control.locked_take_or_join());

    EXPECT_TRUE(control.give_back()) << "the line is to be served";
    EXPECT_FALSE(control.try_take());
    EXPECT_FALSE(control.locked_take_or_join()) << "he joins, too";

    EXPECT_TRUE(control.locked_take_for_first());
    EXPECT_FALSE(control.locked_take_for_first()) << "there was one";
}

TEST(BulkheadControl, NorIsOneMoreThatTheLimitAllows) {
    BulkheadControl<> control{1};
    ASSERT_TRUE(control.try_take());
    ASSERT_FALSE(control.locked_take_or_join());

    control.locked_set_limit(2);

    EXPECT_FALSE(control.try_take());
    EXPECT_TRUE(control.locked_take_for_first());
    control.locked_end_line();
    control.give_back();
    EXPECT_TRUE(control.try_take()) << "nobody stands in line any more";
}

} // namespace
} // namespace velostream
