// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/core_count.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

namespace velostream {
namespace {

TEST(CoreCount, IsAtLeastOneAndNoMoreThanTheMachineHas) {
    const auto count = core_count();

    EXPECT_GE(count, 1U);
    EXPECT_LE(count, static_cast<std::size_t>(sysconf(_SC_NPROCESSORS_CONF)));
}

} // namespace
} // namespace velostream
