// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/recovery_ramp.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>

namespace velostream {
namespace {

void succeed(RecoveryRamp& ramp, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) ramp.on_success();
}

TEST(RecoveryRamp, AllowsAllWhileTheCircuitIsClosed) {
    RecoveryRamp ramp{100};

    EXPECT_EQ(ramp.allowed(CircuitState::closed), 100U);
    ramp.on_failure();
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 100U);
    EXPECT_EQ(ramp.allowed(CircuitState::disabled), 100U);
    EXPECT_EQ(ramp.allowed(CircuitState::metrics_only), 100U);
}

TEST(RecoveryRamp, AllowsNothingWhileTheCircuitIsOpen) {
    RecoveryRamp ramp{100};

    EXPECT_EQ(ramp.allowed(CircuitState::open), 0U);
    EXPECT_EQ(ramp.allowed(CircuitState::forced_open), 0U);
}

TEST(RecoveryRamp, AllowsOneWhileTheCircuitIsHalfOpenHoweverManyGoWell) {
    RecoveryRamp ramp{100};
    static_cast<void>(ramp.allowed(CircuitState::open));

    EXPECT_EQ(ramp.allowed(CircuitState::half_open), 1U);
    succeed(ramp, 10);
    EXPECT_EQ(ramp.allowed(CircuitState::half_open), 1U);
}

TEST(RecoveryRamp, DoublesWheneverAsMuchHasGoneWell) {
    RecoveryRamp ramp{6};
    static_cast<void>(ramp.allowed(CircuitState::open));

    EXPECT_EQ(ramp.allowed(CircuitState::closed), 1U);
    succeed(ramp, 1);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 2U);
    succeed(ramp, 1);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 2U);
    succeed(ramp, 1);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 4U);
    succeed(ramp, 3);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 4U);
    succeed(ramp, 1);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 6U);
    ramp.on_failure();
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 6U);
}

TEST(RecoveryRamp, IsHalvedByAFailureOnItsWay) {
    RecoveryRamp ramp{100};
    static_cast<void>(ramp.allowed(CircuitState::open));
    succeed(ramp, 1 + 2 + 4 + 7);
    ASSERT_EQ(ramp.allowed(CircuitState::closed), 8U);

    ramp.on_failure();

    EXPECT_EQ(ramp.allowed(CircuitState::closed), 4U);
    succeed(ramp, 3); // what went well before the failure counts no more
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 4U);
    succeed(ramp, 1);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 8U);
}

TEST(RecoveryRamp, NeverFallsBelowOne) {
    RecoveryRamp ramp{100};
    static_cast<void>(ramp.allowed(CircuitState::open));

    ramp.on_failure();
    ramp.on_failure();

    EXPECT_EQ(ramp.allowed(CircuitState::closed), 1U);
}

TEST(RecoveryRamp, BeginsAgainWhenTheCircuitOpensOnItsWay) {
    RecoveryRamp ramp{100};
    static_cast<void>(ramp.allowed(CircuitState::open));
    succeed(ramp, 1 + 2 + 4);
    ASSERT_EQ(ramp.allowed(CircuitState::closed), 8U);

    EXPECT_EQ(ramp.allowed(CircuitState::open), 0U);
    EXPECT_EQ(ramp.allowed(CircuitState::half_open), 1U);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 1U);
}

TEST(RecoveryRamp, OfOneIsAllOrNothing) {
    RecoveryRamp ramp{1};

    EXPECT_EQ(ramp.allowed(CircuitState::open), 0U);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 1U);
    succeed(ramp, 5);
    EXPECT_EQ(ramp.allowed(CircuitState::closed), 1U);
}

TEST(RecoveryRamp, OfAsManyAsThereCanBeDoesNotOverflow) {
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    RecoveryRamp ramp{most};
    static_cast<void>(ramp.allowed(CircuitState::open));

    for (std::size_t step = 1; step <= 1024; step *= 2) succeed(ramp, step);

    EXPECT_EQ(ramp.allowed(CircuitState::closed), 2048U);
}

} // namespace
} // namespace velostream
