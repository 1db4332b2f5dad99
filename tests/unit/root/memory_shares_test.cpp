// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <limits>
#include <optional>
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

TEST_F(MemorySharesTest, OfAnOpenQueryFollowTheLimitOfTheProcess) {
    auto resources = with_shares(0.75, 0.25);
    const auto& process = resources.memory();
    const auto unlimited = resources.open_query().value();
    const auto limited = resources.open_query({.name = "limited", .max_memory_mb = 40}).value();

    process.set_limit(200_MiB);
    EXPECT_EQ(unlimited.state().limit(), 150_MiB);
    EXPECT_EQ(unlimited.traffic().limit(), 50_MiB);
    EXPECT_EQ(limited.state().limit(), 30_MiB) << "its own limit is the smaller one";

    process.set_limit(20_MiB);
    EXPECT_EQ(unlimited.state().limit(), 15_MiB);
    EXPECT_EQ(limited.state().limit(), 15_MiB);
    EXPECT_EQ(limited.traffic().limit(), 5_MiB);

    process.set_limit(std::nullopt);
    EXPECT_FALSE(unlimited.state().limit() || unlimited.traffic().limit());
    EXPECT_EQ(limited.state().limit(), 30_MiB);
}

TEST_F(MemorySharesTest, OfAQueryThatHasEndedFollowAsLongAsSomebodyHasThem) {
    auto resources = with_shares(0.75, 0.25);
    auto query = std::optional{resources.open_query().value()};
    const auto state = query->state();
    query.reset();
    // So many that those which have ended are looked for.
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(resources.open_query());

    resources.memory().set_limit(40_MiB);

    EXPECT_EQ(state.limit(), 30_MiB);
    const auto names = resources.get_memory_stats().names;
    EXPECT_EQ(std::ranges::count(names, "query/query", &NamedMemoryStats::name), 1) << "the others have ended";
}

TEST_F(MemorySharesTest, EachFollowsTheLimitThoughTheOtherIsGone) {
    auto resources = with_shares(0.75, 0.25);
    auto query = std::optional{resources.open_query().value()};
    const auto traffic = query->traffic();
    query.reset();
    static_cast<void>(resources.get_memory_stats()); // looks for those that have ended

    resources.memory().set_limit(40_MiB);

    EXPECT_EQ(traffic.limit(), 10_MiB);
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
