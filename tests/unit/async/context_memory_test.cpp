// SPDX-License-Identifier: Apache-2.0
// What is over leaves nothing behind in its context. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "support/counting_new.hpp"
#include "velostream/async/alarm.hpp"
#include "velostream/async/hand_over_queue.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr int first_rounds = 5'000; // may leave what is used again, such as the mutexes that Asio's strands share
constexpr int rounds = 100;

// What `rounds` more of them leave behind.
template <class Round>
std::int64_t left_by(asio::io_context& io, Round round) {
    const auto whole_round = [&] {
        round();
        io.restart();
        io.poll();
    };
    for (int i = 0; i < first_rounds; ++i) whole_round();
    const auto before = testing::held;
    for (int i = 0; i < rounds; ++i) whole_round();
    return testing::held - before;
}

class WaitQueueMemory : public ::testing::Test {
  protected:
    // By waits that `end(signal)` ends.
    template <class End>
    std::int64_t left_by_waits(End end) {
        const auto left = left_by(io, [&] {
            asio::cancellation_signal signal;
            queue.async_wait(asio::bind_cancellation_slot(
                signal.slot(), asio::bind_executor(io.get_executor(), [this](boost::system::error_code) { ++ended; })));
            end(signal);
        });
        EXPECT_EQ(ended, first_rounds + rounds);
        return left;
    }

    asio::io_context io;
    WaitQueue queue;
    int ended = 0;
};

TEST_F(WaitQueueMemory, ATurnLeavesNothingBehind) {
    EXPECT_EQ(left_by_waits([&](asio::cancellation_signal&) { queue.wake_one(); }), 0);
}

TEST_F(WaitQueueMemory, ACancellationLeavesNothingBehind) {
    EXPECT_EQ(left_by_waits([](asio::cancellation_signal& signal) { signal.emit(asio::cancellation_type::total); }), 0);
}

TEST_F(WaitQueueMemory, AWakeOfAllLeavesNothingBehind) {
    EXPECT_EQ(left_by_waits([&](asio::cancellation_signal&) { queue.wake_all(); }), 0);
}

TEST(HandOverQueueMemory, AHandOverLeavesNothingBehind) {
    asio::io_context io;
    using Queue = HandOverQueue<int>;
    const auto queue = std::make_shared<Queue>();
    int handed = 0;
    const auto left = left_by(io, [&] {
        queue->async_wait(
            TimePoint::max(), Queue::Place::last, [] { return std::optional<Result<int>>{}; }, [] {},
            asio::bind_executor(io.get_executor(), [&](Result<int>) { ++handed; }));
        Result<int> thing = 1;
        Queue::Completed completed;
        const std::scoped_lock lock{queue->mutex()};
        queue->locked_hand_over(thing, completed);
    });

    EXPECT_EQ(left, 0);
    EXPECT_EQ(handed, first_rounds + rounds);
}

class AlarmMemory : public ::testing::Test {
  protected:
    void set() {
        alarm.set(time, io.get_executor(), time.now() + 1s, [this](AlarmEnd) { ++rang; });
    }

    testing::ManualTime time;
    asio::io_context io;
    Alarm alarm;
    int rang = 0;
};

TEST_F(AlarmMemory, ARingLeavesNothingBehind) {
    const auto left = left_by(io, [&] {
        set();
        time.advance(1s);
    });

    EXPECT_EQ(left, 0);
    EXPECT_EQ(rang, first_rounds + rounds);
}

TEST_F(AlarmMemory, AStopLeavesNothingBehind) {
    const auto left = left_by(io, [&] {
        set();
        alarm.stop();
    });

    EXPECT_EQ(left, 0);
    EXPECT_EQ(rang, 0);
}

} // namespace
} // namespace velostream

#endif
