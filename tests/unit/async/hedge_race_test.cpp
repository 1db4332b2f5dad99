// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/hedge_race.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>

#include "velostream/base/result.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::detail {
namespace {

// Allows no hedge.
struct NoHedges final : HedgeJudge {
    std::optional<Duration> delay_before(std::uint32_t) const override { return std::nullopt; }
    bool goes_on_after(const Error&) const override { return false; }
    bool may_start() override { return false; }
};

// As on a context of several threads, one of which runs the call while another one cancels it.
TEST(HedgeRace, OneThatIsCancelledBeforeItBeginsMakesNoAttempt) {
    asio::io_context io;
    NoHedges judge;
    int attempts = 0;
    auto start = [&]() -> asio::awaitable<Result<int>> {
        ++attempts;
        co_return 7;
    };
    using Race = HedgeRace<Result<int>, testing::ManualTime, decltype(start)>;
    const auto race =
        std::make_shared<Race>(io.get_executor(), testing::ManualTime{}, TimePoint::max(), false, judge, start);
    std::optional<Result<int>> ended;

    race->cancel(asio::cancellation_type::terminal);
    race->begin([&](Race::Outcome outcome) { ended = outcome.result; });
    io.poll();

    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->error(), Errc::cancelled);
    EXPECT_EQ(attempts, 0);
}

} // namespace
} // namespace velostream::detail
