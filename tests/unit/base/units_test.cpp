// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/units.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

TEST(Units, MegabytesAreMebibytes) {
    EXPECT_EQ(mebibyte, 1'048'576U);
    EXPECT_EQ(3_MiB, 3 * mebibyte);
    EXPECT_EQ(2_KiB, 2'048U);
    EXPECT_EQ(1_GiB, 1'024 * mebibyte);
}

} // namespace
} // namespace velostream
