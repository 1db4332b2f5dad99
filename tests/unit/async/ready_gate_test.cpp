// SPDX-License-Identifier: Apache-2.0
// What only the gate itself can show; `CircuitBreaker::async_ready` is tested with the circuit breaker.
#include "velostream/async/ready_gate.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "support/ready_waiters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::ready_gate_test {
namespace {

using namespace std::chrono_literals;

class Gate final : public ReadyGate<testing::ManualTime> {
  public:
    using ReadyGate::ReadyGate;

    std::uint32_t room = 0;
    std::optional<TimePoint> change; // of the room, with time alone
    int settled = 0;
    mutable std::function<void()> when_asked; // what happens elsewhere while the gate looks for room, once

  private:
    std::uint32_t admissible(TimePoint) const override {
        if (const auto happens = std::exchange(when_asked, nullptr)) happens();
        return room;
    }
    std::optional<TimePoint> next_change(TimePoint) const override { return change; }
    void settle(TimePoint) override { ++settled; }
};

class ReadyGateTest : public testing::ReadyWaiters {
  protected:
    ~ReadyGateTest() override { gate->close(); }

    void wait(int name) {
        gate->async_ready(waiter(name, io));
        poll();
    }

    std::shared_ptr<Gate> gate = std::make_shared<Gate>(time, 1s);
};

TEST_F(ReadyGateTest, RoomThatComesWhileTheAlarmIsSetIsNotMissed) {
    wait(1);
    gate->when_asked = [&] { gate->when_asked = [&] { gate->room = 1; }; };

    gate->update();
    poll();

    EXPECT_EQ(ready, Names{1});
}

TEST_F(ReadyGateTest, AChangeThatComesBeforePatienceEndsIsNotSleptThrough) {
    gate->room = 1;
    wait(1);
    gate->change = time.now() + 100ms;
    wait(2);
    ASSERT_EQ(ready, Names{1});

    pass(100ms);

    EXPECT_EQ(ready, (Names{1, 2}));
    EXPECT_EQ(gate->settled, 1);
}

TEST_F(ReadyGateTest, AnEarlierChangeMovesTheAlarm) {
    gate->change = time.now() + 10s;
    wait(1);
    gate->change = time.now() + 1s;
    wait(2);
    gate->change.reset();

    pass(1s);

    EXPECT_EQ(gate->settled, 1);
}

TEST_F(ReadyGateTest, AContextThatEndsIsNoAlarmThatRings) {
    gate->room = 1;
    wait(1);
    {
        asio::io_context ending; // carries the alarm
        gate->async_ready(waiter(2, ending));
        wait(3);
    }
    poll();
    EXPECT_EQ(ready, Names{1}) << "who was invited still is";
    EXPECT_EQ(gate->settled, 0);

    pass(1s);

    EXPECT_EQ(ready, (Names{1, 3}));
}

TEST_F(ReadyGateTest, TheAlarmGoesWithTheFirstWaiterToTheContextOfTheNext) {
    asio::io_context other;
    asio::cancellation_signal cancel;
    gate->change = time.now() + 1s;
    gate->async_ready(asio::bind_cancellation_slot(cancel.slot(), waiter(1, other)));
    wait(2);

    cancel.emit(asio::cancellation_type::terminal);
    other.poll();
    EXPECT_TRUE(other.stopped()) << "has work, though nobody waits there";
    gate->room = 1;
    pass(1s);

    EXPECT_EQ(ready, Names{2});
}

TEST_F(ReadyGateTest, ANewcomerDoesNotOvertakeWhoWaitsForAnAlarmThatIsDue) {
    gate->change = time.now() + 1s;
    wait(1);
    time.advance(1s); // the alarm has not been heard yet
    gate->change.reset();
    gate->room = 1;

    wait(2);
    EXPECT_EQ(ready, Names{1});
    EXPECT_EQ(gate->settled, 1);
    pass(1s);

    EXPECT_EQ(ready, (Names{1, 2}));
}

TEST_F(ReadyGateTest, ANewcomerRingsADueAlarmWhoseContextStandsStill) {
    asio::io_context still;
    gate->change = time.now() + 1s;
    gate->async_ready(waiter(1, still));
    time.advance(1s);
    gate->change.reset();
    gate->room = 2;

    wait(2);

    EXPECT_EQ(ready, Names{2}) << "the other one is invited as well";
}

TEST_F(ReadyGateTest, PatienceDoesNotBeginAgainWhenTheAlarmMoves) {
    asio::io_context other;
    asio::cancellation_signal cancel;
    gate->room = 1;
    wait(1);
    gate->async_ready(asio::bind_cancellation_slot(cancel.slot(), waiter(2, other)));
    wait(3);

    pass(500ms);
    cancel.emit(asio::cancellation_type::terminal);
    other.poll();
    pass(500ms - 1ns);
    EXPECT_EQ(ready, Names{1});
    pass(1ns);

    EXPECT_EQ(ready, (Names{1, 3}));
}

TEST_F(ReadyGateTest, AnAlarmThatNothingNeedsAnyMoreIsStopped) {
    gate->change = time.now() + 1s;
    wait(1);
    ASSERT_EQ(time.sleepers(), 1u);
    gate->change.reset();

    gate->update();
    poll();

    EXPECT_EQ(time.sleepers(), 0u);
}

TEST(ReadyGate, AnInvitationIsTakenBackIfItsWaiterGivesUpAtThatMoment) {
    asio::io_context io;
    const auto gate = std::make_shared<Gate>(testing::ManualTime{}, 1s);
    std::vector<int> ready, aborted;
    const auto waiter = [&](int name) {
        return asio::bind_executor(
            io.get_executor(), [&, name](boost::system::error_code code) { (code ? aborted : ready).push_back(name); });
    };
    asio::cancellation_signal cancel;
    gate->async_ready(asio::bind_cancellation_slot(cancel.slot(), waiter(1)));
    gate->room = 1;
    gate->when_asked = [&] { cancel.emit(asio::cancellation_type::terminal); };

    gate->update();
    gate->async_ready(waiter(2));
    io.poll();

    EXPECT_EQ(aborted, std::vector{1});
    EXPECT_EQ(ready, std::vector{2});
    gate->close();
}

} // namespace
} // namespace velostream::ready_gate_test
