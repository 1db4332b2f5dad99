// SPDX-License-Identifier: Apache-2.0
// A permit that has come back while its giver has not reached the line yet, as where another thread preempts it there.
#include "velostream/bulkhead_line.hpp"

#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <memory>

#include "support/run_coroutine.hpp"

namespace velostream::detail {
namespace {

using testing::ManualTime;

class Line final : public BulkheadLine<ManualTime> {
  public:
    using BulkheadLine::BulkheadLine;
    void give_back_and_stop_there() { control_.give_back(); }
};

class BulkheadLineTest : public ::testing::Test {
  protected:
    void take(int permits) {
        for (int i = 0; i < permits; ++i) ASSERT_TRUE(line->try_take());
    }
    void give_back_and_stop_there(int permits) {
        for (int i = 0; i < permits; ++i) line->give_back_and_stop_there();
    }
    auto wait() { return testing::start(io, line->async_turn({}, asio::use_awaitable)); }
    void poll() {
        io.restart();
        io.poll();
    }

    asio::io_context io;
    ManualTime time;
    std::shared_ptr<Line> line = std::make_shared<Line>(BulkheadConfig{.max_concurrent = 2, .max_waiting = 1},
                                                        LimiterEvents{"bulkhead", nullptr}, time, MemoryAccount{});
};

TEST_F(BulkheadLineTest, GoesToWhoWaitsBeforeOneWhoDoesNotWaitIsRefused) {
    take(2);
    const auto waits = wait();
    give_back_and_stop_there(2);

    const auto newcomer = line->ask_without_waiting();
    poll();

    EXPECT_TRUE(waits.value());
    EXPECT_TRUE(newcomer) << "there were two";
    EXPECT_EQ(line->get_stats().in_use, 2u);
}

TEST_F(BulkheadLineTest, GoesToWhoWaitsBeforeANewcomerIsAnswered) {
    take(2);
    const auto waits = wait();
    give_back_and_stop_there(2);

    const auto newcomer = line->ask({});
    poll();

    EXPECT_TRUE(waits.value());
    ASSERT_TRUE(newcomer) << "has not to wait: there were two";
    EXPECT_TRUE(*newcomer);
}

} // namespace
} // namespace velostream::detail
