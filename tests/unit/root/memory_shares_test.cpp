// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <limits>
#include <stdexcept>

#include "velostream/resource_manager.hpp"

namespace velostream {
namespace {

class MemorySharesTest : public ::testing::Test {
  protected:
    ResourceManager<> with_shares(double state, double traffic,
                                  const StreamingConfig& config = {.max_memory_mb = 100}) {
        const ResourceManagerOptions options{.state_share = state, .traffic_share = traffic};
        return ResourceManager<>{io.get_executor(), config, options};
    }

    asio::io_context io;
};

TEST_F(MemorySharesTest, ByDefaultStateAndTrafficLeaveRoomForEachOther) {
    const StreamingConfig config{.max_memory_mb = 100};
    const ResourceManager resources{io.get_executor(), config};

    const auto groups = resources.state().try_reserve(75_MiB);
    const auto one_more_group = resources.state().try_reserve(1);
    const auto sends = resources.traffic().try_reserve(25_MiB);
    const auto one_more_send = resources.traffic().try_reserve(1);

    EXPECT_TRUE(groups);
    EXPECT_FALSE(one_more_group);
    EXPECT_TRUE(sends);
    EXPECT_FALSE(one_more_send);
}

TEST_F(MemorySharesTest, CanBeChosen) {
    const auto resources = with_shares(0.5, 1);
    const auto unlimited = with_shares(0.5, 1, StreamingConfig{});

    EXPECT_EQ(resources.state().limit(), 50_MiB);
    EXPECT_EQ(resources.traffic().limit(), 100_MiB);
    EXPECT_FALSE(unlimited.state().limit() || unlimited.traffic().limit());
}

TEST_F(MemorySharesTest, OfMoreThanOneTogetherMayTakeEachOthersRoom) {
    const auto resources = with_shares(0.75, 0.5);
    const auto groups = resources.state().try_reserve(75_MiB);

    const auto its_share = resources.traffic().try_reserve(50_MiB);
    const auto what_is_left = resources.traffic().try_reserve(25_MiB);

    EXPECT_TRUE(groups);
    EXPECT_FALSE(its_share);
    EXPECT_TRUE(what_is_left);
}

TEST_F(MemorySharesTest, AreEachAboveZeroAndAtMostOne) {
    EXPECT_NO_THROW(with_shares(1, 1));
    EXPECT_NO_THROW(with_shares(0.001, 0.001));
    for (const double share : {0.0, -0.5, 1.001, std::numeric_limits<double>::quiet_NaN()}) {
        EXPECT_THROW(with_shares(share, 0.25), std::invalid_argument) << share;
        EXPECT_THROW(with_shares(0.75, share), std::invalid_argument) << share;
    }
}

} // namespace
} // namespace velostream
