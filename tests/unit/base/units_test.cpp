// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/units.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace velostream {
namespace {

TEST(Units, MegabytesAreMebibytes) {
    EXPECT_EQ(mebibyte, 1'048'576U);
    EXPECT_EQ(3_MiB, 3 * mebibyte);
    EXPECT_EQ(2_KiB, 2'048U);
    EXPECT_EQ(1_GiB, 1'024 * mebibyte);
}

TEST(Units, ASumOfTimesThatLiesBeyondTheLastMomentIsThatMoment) {
    using namespace std::chrono_literals;
    const TimePoint now{1h};

    EXPECT_EQ(saturating_add(now, 5s), now + 5s);
    EXPECT_EQ(saturating_add(now, -5s), now - 5s);
    EXPECT_EQ(saturating_add(now, Duration::max()), TimePoint::max());
    EXPECT_EQ(saturating_add(TimePoint::max(), 1ns), TimePoint::max());
    EXPECT_EQ(saturating_add(TimePoint{-1h}, Duration::min()), TimePoint::min());
    EXPECT_EQ(saturating_add(TimePoint::min(), Duration::max()), TimePoint::min() + Duration::max());
}

} // namespace
} // namespace velostream
