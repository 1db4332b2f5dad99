// SPDX-License-Identifier: Apache-2.0
// What waits and finds no memory for its alarm, or for its place, leaves nothing behind.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/async/alarm.hpp"
#include "velostream/async/hand_over_queue.hpp"
#include "velostream/async/ready_gate.hpp"
#include "velostream/async/shared_deadline.hpp"
#include "velostream/async/wait_queue.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::SleeplessTime;

class NoMemoryTest : public ::testing::Test {
  protected:
    void pass(Duration by) {
        time.advance(by);
        poll();
    }
    void poll() {
        io.restart();
        io.poll();
    }

    SleeplessTime time;
    asio::io_context io;
};

TEST_F(NoMemoryTest, AnAlarmThatCouldNotBeSetIsNoneAndGivesItsContextNoWork) {
    Alarm alarm;
    std::vector<int> rang;
    const auto set = [&](int name) {
        const auto executor = asio::prefer(io.get_executor(), asio::execution::outstanding_work.tracked);
        alarm.set(time, executor, time.now() + 1s, [&rang, name](AlarmEnd) { rang.push_back(name); });
    };
    time.set_has_no_memory(true);
    EXPECT_THROW(set(1), std::bad_alloc);
    poll();
    EXPECT_TRUE(io.stopped()) << "nothing goes on";
    time.set_has_no_memory(false);

    set(2);
    pass(1s);

    EXPECT_EQ(rang, std::vector{2});
}

class Gate final : public ReadyGate<SleeplessTime> {
  public:
    using ReadyGate::ReadyGate;

    TimePoint opens = TimePoint::max();
    std::uint32_t limit = unlimited; // then

  private:
    std::uint32_t admissible(TimePoint now) const override { return now < opens ? 0 : limit; }
    std::optional<TimePoint> next_change(TimePoint now) const override {
        return now < opens ? std::optional{opens} : std::nullopt;
    }
    void settle(TimePoint) override {}
};

class GateWithoutMemoryTest : public NoMemoryTest {
  protected:
    GateWithoutMemoryTest() { gate->opens = time.now() + 10s; }
    ~GateWithoutMemoryTest() override { gate->close(); }

    void wait(int name) {
        gate->async_ready(asio::bind_executor(io, [this, name](boost::system::error_code code) {
            if (!code) ready.push_back(name);
        }));
    }

    std::shared_ptr<Gate> gate = std::make_shared<Gate>(time, 1s);
    std::vector<int> ready;
};

TEST_F(GateWithoutMemoryTest, AWaitWhoseAlarmCannotBeSetDoesNotBegin) {
    time.set_has_no_memory(true);
    EXPECT_THROW(wait(1), std::bad_alloc);
    EXPECT_EQ(gate->waiting(), 0u);
    poll();
    EXPECT_TRUE(io.stopped()) << "nothing goes on";
    time.set_has_no_memory(false);

    pass(10s);
    gate->update();
    poll();

    EXPECT_TRUE(ready.empty());
}

TEST_F(GateWithoutMemoryTest, LaterWaitersAreWoken) {
    time.set_has_no_memory(true);
    EXPECT_THROW(wait(1), std::bad_alloc);
    time.set_has_no_memory(false);

    wait(2);
    pass(10s);

    EXPECT_EQ(ready, std::vector{2});
}

TEST_F(GateWithoutMemoryTest, AnUpdateThatFindsNoneIsMadeUpForByTheNext) {
    wait(1);
    gate->opens = time.now() + 1s;
    time.set_has_no_memory(true);
    gate->update();
    time.set_has_no_memory(false);

    gate->update();
    pass(1s);

    EXPECT_EQ(ready, std::vector{1});
}

TEST_F(GateWithoutMemoryTest, ADepartureThatLeavesNoAlarmForTheOthersDoesNotEndTheProgram) {
    std::optional<asio::io_context> ending{std::in_place};
    gate->async_ready(asio::bind_executor(*ending, [](boost::system::error_code) {})); // carries the alarm
    wait(2);
    time.set_has_no_memory(true);
    ending.reset();
    time.set_has_no_memory(false);

    wait(3);
    pass(10s);

    EXPECT_EQ(ready, (std::vector{2, 3}));
}

// AddressSanitizer sees who looks at the signal after its handler has taken it with it.
TEST_F(GateWithoutMemoryTest, AHandlerMayOwnTheSignalOfItsWait) {
    time.set_has_no_memory(true);
    auto signal = std::make_shared<asio::cancellation_signal>();
    const auto slot = signal->slot();
    auto handler = asio::bind_executor(io, [kept = std::move(signal)](boost::system::error_code) {});

    EXPECT_THROW(gate->async_ready(asio::bind_cancellation_slot(slot, std::move(handler))), std::bad_alloc);

    EXPECT_EQ(gate->waiting(), 0u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(GateWithoutMemoryTest, AWaitThatNeedNotWaitCompletesOrThrows) {
    gate->opens = time.now();
    gate->limit = 2;
    wait(1); // the context's services are there from now on
    int begun = 1, thrown = 0;
    const auto wait_again = [&] {
        ++begun;
        try {
            wait(1);
        } catch (const std::bad_alloc&) {
            ++thrown;
        }
    };
    const auto failures = testing::with_each_request_failing(wait_again, [&] { poll(); });

    EXPECT_GE(failures, 1);
    EXPECT_EQ(begun - thrown, 2);
    EXPECT_EQ(ready.size(), 2u) << "who was told of no memory has not used an invitation";
}

TEST_F(NoMemoryTest, AWaitForATurnIsBegunOrThrowsAndLeavesNothingBehind) {
    WaitQueue queue;
    int begun = 0, thrown = 0, turns = 0;
    asio::cancellation_signal cancel;
    const auto wait = [&] {
        ++begun;
        auto handler = asio::bind_executor(io, [&](boost::system::error_code) { ++turns; });
        try {
            queue.async_wait(asio::bind_cancellation_slot(cancel.slot(), std::move(handler)));
        } catch (const std::bad_alloc&) {
            ++thrown;
        }
    };
    wait(); // the context's services are there from now on
    queue.wake_all();

    const auto failures = testing::with_each_request_failing(wait, [&] {
        cancel.emit(asio::cancellation_type::terminal);
        poll();
        EXPECT_TRUE(io.stopped()) << "nothing goes on";
        EXPECT_EQ(queue.size(), 0u);
        EXPECT_EQ(turns, begun - thrown);
    });

    EXPECT_GE(failures, 3);
    EXPECT_GE(thrown, 3);
}

TEST_F(NoMemoryTest, AWaitForAThingIsBegunOrThrowsAndLeavesNothingBehind) {
    const auto queue = std::make_shared<HandOverQueue<int>>();
    int begun = 0, thrown = 0, ended = 0;
    asio::cancellation_signal cancel;
    const auto wait = [&] {
        ++begun;
        auto handler = asio::bind_executor(io, [&](const Result<int>&) { ++ended; });
        try {
            queue->async_wait(
                TimePoint::max(), HandOverQueue<int>::Place::last, [] { return std::optional<Result<int>>{}; }, [] {},
                asio::bind_cancellation_slot(cancel.slot(), std::move(handler)));
        } catch (const std::bad_alloc&) {
            ++thrown;
        }
    };
    const auto end = [&] {
        cancel.emit(asio::cancellation_type::terminal);
        poll();
        EXPECT_TRUE(io.stopped()) << "nothing goes on";
        EXPECT_EQ(ended, begun - thrown);
    };
    wait(); // the context's services are there from now on
    end();

    const auto failures = testing::with_each_request_failing(wait, end);

    EXPECT_GE(failures, 3);
    EXPECT_GE(thrown, 3);
}
struct Bell : SharedDeadline {
    Bell() : SharedDeadline([](SharedDeadline& deadline) { ++static_cast<Bell&>(deadline).rings; }) {}
    int rings = 0;
};

TEST_F(NoMemoryTest, ADeadlineThatCouldNotBeArmedTakesNoOtherAway) {
    const auto now = [] { return SteadyTime{}.now(); };
    const auto failures = testing::with_each_request_failing(
        [&] {
            Bell first, second;
            const auto failing_from = std::exchange(testing::allocations_until_failure, -1);
            io.restart();
            first.arm(io.get_executor(), now() + 20ms);
            testing::allocations_until_failure = failing_from;
            try {
                second.arm(io.get_executor(), now() + 5ms);
            } catch (const std::bad_alloc&) {
            }
            const auto left = std::exchange(testing::allocations_until_failure, -1);
            io.run();
            EXPECT_EQ(first.rings, 1);
            testing::allocations_until_failure = left;
        },
        [] {});

    EXPECT_GT(failures, 0);
}
#endif

} // namespace
} // namespace velostream
