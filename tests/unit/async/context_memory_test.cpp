// SPDX-License-Identifier: Apache-2.0
// A wait that is over leaves nothing behind in its context. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>

#include "support/allocation_count.hpp"
#include "velostream/async/wait_queue.hpp"

namespace velostream {
namespace {

class WaitQueueMemory : public ::testing::Test {
  protected:
    // What 100 waits that `end(signal)` ends leave behind, after a first one that may leave what is used again.
    template <class End>
    std::int64_t left_by(End end) {
        const auto wait = [&] {
            asio::cancellation_signal signal;
            queue.async_wait(asio::bind_cancellation_slot(
                signal.slot(), asio::bind_executor(io.get_executor(), [this](boost::system::error_code) { ++ended; })));
            end(signal);
            io.restart();
            io.poll();
        };
        wait();
        const auto before = testing::held;
        for (int i = 0; i < 100; ++i) wait();
        EXPECT_EQ(ended, 101);
        return testing::held - before;
    }

    asio::io_context io;
    WaitQueue queue;
    int ended = 0;
};

TEST_F(WaitQueueMemory, ATurnLeavesNothingBehind) {
    EXPECT_EQ(left_by([&](asio::cancellation_signal&) { queue.wake_one(); }), 0);
}

TEST_F(WaitQueueMemory, ACancellationLeavesNothingBehind) {
    EXPECT_EQ(left_by([](asio::cancellation_signal& signal) { signal.emit(asio::cancellation_type::total); }), 0);
}

TEST_F(WaitQueueMemory, AWakeOfAllLeavesNothingBehind) {
    EXPECT_EQ(left_by([&](asio::cancellation_signal&) { queue.wake_all(); }), 0);
}

} // namespace
} // namespace velostream

#endif
