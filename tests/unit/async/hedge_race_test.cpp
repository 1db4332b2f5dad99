// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/hedge_race.hpp"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <utility>

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

class HedgeRaceTest : public ::testing::Test {
  protected:
    struct Start {
        template <class End>
        asio::awaitable<ChainEntry> operator()(End end) const {
            ++attempts;
            return attempt(own_frame, std::move(end), answer);
        }
        template <class End>
        static asio::awaitable<ChainEntry> attempt(OwnFrame, End end, Result<int> answer) {
            co_return end(std::move(answer));
        }
        int& attempts;
        Result<int> answer = 7;
    };
    using Race = HedgeRace<Result<int>, testing::ManualTime, Start>;

    std::shared_ptr<Race> make(bool is_callers) {
        return std::make_shared<Race>(io.get_executor(), is_callers, false,
                                      Race::Course{time, TimePoint::max(), judge, start, outcome});
    }

    asio::io_context io;
    testing::ManualTime time;
    NoHedges judge;
    int attempts = 0;
    Start start{attempts};
    Race::Outcome outcome;
};

// As on a context of several threads, one of which runs the call while another one cancels it.
TEST_F(HedgeRaceTest, OneThatIsCancelledBeforeItBeginsMakesNoAttempt) {
    const auto race = make(false);

    race->cancel(asio::cancellation_type::terminal);
    asio::post(race->strand(), [race] { race->begin(); });
    io.poll();

    EXPECT_TRUE(race->has_ended());
    EXPECT_EQ(outcome.result->error(), Errc::cancelled);
    EXPECT_EQ(attempts, 0);
}

TEST_F(HedgeRaceTest, OneWhoseAttemptIsReadyEndsWhileItBegins) {
    const auto race = make(true);

    race->begin();

    EXPECT_TRUE(race->has_ended());
    EXPECT_EQ(outcome.result->value(), 7);
    EXPECT_EQ(outcome.winner, 0u);
    EXPECT_EQ(race.use_count(), 1) << "nothing of it is left";
}

TEST_F(HedgeRaceTest, OneThatHasEndedHearsNoCancellation) {
    start.answer = Errc::connect_failed;
    const auto race = make(true);
    race->begin();

    race->cancel(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_EQ(outcome.result->error(), Errc::connect_failed);
    EXPECT_FALSE(outcome.is_callers_end);
}

} // namespace
} // namespace velostream::detail
