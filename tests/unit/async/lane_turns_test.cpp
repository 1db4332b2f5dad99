// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/lane_turns.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"

namespace velostream {
namespace {

class LaneTurnsTest : public ::testing::Test {
  protected:
    void wait(LaneTurns::Turn& turn, std::string name, asio::cancellation_slot slot = {}) {
        turn.async_wait(asio::bind_cancellation_slot(
            slot, asio::bind_executor(io, [this, name = std::move(name)](boost::system::error_code code) {
                told.push_back(code ? name + " cancelled" : name);
            })));
        run();
    }
    void run() {
        io.restart();
        io.poll();
    }
    using Told = std::vector<std::string>;

    LaneTurns lanes;
    Told told;
    asio::io_context io;
};

TEST_F(LaneTurnsTest, OneAfterTheOtherInALaneAndLanesApart) {
    std::optional first{lanes.enter("a")}, second{lanes.enter("a")}, third{lanes.enter("a")};
    auto other = lanes.enter("b");
    EXPECT_TRUE(first->has_come());
    EXPECT_FALSE(second->has_come());
    EXPECT_TRUE(other.has_come());
    EXPECT_EQ(lanes.lanes(), 2u);
    wait(*third, "third");
    wait(*second, "second");
    wait(*first, "first");
    EXPECT_EQ(told, Told{"first"});

    first.reset();
    run();
    EXPECT_EQ(told, (Told{"first", "second"})) << "in the order in which they entered";
    second.reset();
    run();
    EXPECT_EQ(told, (Told{"first", "second", "third"}));
    third.reset();
    EXPECT_EQ(lanes.lanes(), 1u);
}

TEST_F(LaneTurnsTest, ATurnThatComesBeforeAnybodyWaitsForItIsNotLost) {
    std::optional first{lanes.enter("a")};
    auto second = lanes.enter("a");
    first.reset();
    EXPECT_TRUE(second.has_come());
    wait(second, "second");
    EXPECT_EQ(told, Told{"second"});
}

TEST_F(LaneTurnsTest, WhoLeavesBeforeItsTurnIsPassed) {
    std::optional first{lanes.enter("a")}, second{lanes.enter("a")};
    auto third = lanes.enter("a");
    wait(third, "third");
    second.reset();
    run();
    EXPECT_EQ(told, Told{});
    first.reset();
    run();
    EXPECT_EQ(told, Told{"third"});
}

TEST_F(LaneTurnsTest, ACancelledWaitKeepsThePlaceUntilItIsLeft) {
    std::optional first{lanes.enter("a")}, second{lanes.enter("a")};
    auto third = lanes.enter("a");
    asio::cancellation_signal cancel;
    wait(*second, "second", cancel.slot());
    wait(third, "third");

    cancel.emit(asio::cancellation_type::terminal);
    run();
    EXPECT_EQ(told, Told{"second cancelled"});
    first.reset();
    run();
    EXPECT_EQ(told, Told{"second cancelled"});
    second.reset();
    run();
    EXPECT_EQ(told, (Told{"second cancelled", "third"}));
}

TEST_F(LaneTurnsTest, AMovedTurnIsLeftOnce) {
    auto first = lanes.enter("a");
    auto second = lanes.enter("a");
    {
        const auto moved = std::move(first);
        EXPECT_FALSE(second.has_come());
    }
    EXPECT_TRUE(second.has_come());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // nothing fails there
TEST_F(LaneTurnsTest, APlaceThatFoundNoMemoryIsNoneAndLeavesNoLane) {
    const std::string name(100, 'a');
    std::optional<LaneTurns::Turn> turn;
    const auto enter = [&] {
        try {
            turn.emplace(lanes.enter(name));
        } catch (const std::bad_alloc&) {
        }
    };

    const auto failures = testing::with_each_request_failing(enter, [&] {
        EXPECT_EQ(lanes.lanes(), turn ? 1u : 0u);
        EXPECT_TRUE(!turn || turn->has_come());
    });

    EXPECT_TRUE(turn);
    EXPECT_GE(failures, 4) << "of place, name and lane";
}
#endif

TEST_F(LaneTurnsTest, PlacesMayOutliveTheLanes) {
    std::optional<LaneTurns> gone{std::in_place};
    std::optional first{gone->enter("a")};
    auto second = gone->enter("a");
    gone.reset();
    first.reset();
    EXPECT_TRUE(second.has_come());
}

} // namespace
} // namespace velostream
