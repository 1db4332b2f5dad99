// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/timed_operation.hpp"

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "support/run_coroutine.hpp"
#include "support/watched_time.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using asio::cancellation_type;

// Goes on when it is cancelled, until it is told to end.
class StubbornOperation {
  public:
    asio::awaitable<Result<int>> operator()() {
        co_await asio::this_coro::throw_if_cancelled(false);
        for (;;) {
            const auto [cancelled] = co_await end_.async_wait(asio::as_tuple(asio::use_awaitable));
            if (!cancelled) co_return std::move(result_);
            ++cancellations;
            kind = (co_await asio::this_coro::cancellation_state).cancelled();
        }
    }
    void end(Result<int> result) {
        result_ = std::move(result);
        end_.wake_one();
    }

    int cancellations = 0;
    cancellation_type kind = cancellation_type::none; // of the last one

  private:
    WaitQueue end_;
    Result<int> result_{0};
};

// In a frame of ours, as it is awaited.
template <class Time, class Operation>
asio::awaitable<TimedOutcome<Result<int>>> run(detail::OwnFrame, Time time, TimePoint deadline, Operation& operation,
                                               CallContext& call) {
    auto running = run_until(std::move(time), deadline, operation, call);
    co_return std::move(co_await running);
}

class TimedOperationTest : public ::testing::Test {
  protected:
    auto start_with_deadline_in(Duration rest) {
        auto running = testing::start(io, run(detail::own_frame, time, time.now() + rest, operation, call));
        poll();
        return running;
    }
    void end_with(Result<int> result) {
        operation.end(std::move(result));
        poll();
    }
    void pass(Duration by) {
        time.advance(by);
        poll();
    }
    void poll() {
        io.restart();
        io.poll();
    }

    testing::ManualTime time;
    StubbornOperation operation;
    CallContext call;
    asio::io_context io;
};

TEST_F(TimedOperationTest, TheDeadlineCancelsAndIsToBlameForTheFailure) {
    const auto running = start_with_deadline_in(10s);

    pass(10s - 1ns);
    EXPECT_EQ(operation.cancellations, 0);
    pass(1ns);
    EXPECT_EQ(operation.cancellations, 1);
    ASSERT_FALSE(running.ended()) << "it has not ended yet";
    end_with(Errc::cancelled);

    EXPECT_TRUE(running.value().timed_out);
    EXPECT_EQ(running.value().error(), Errc::deadline_exceeded);
}

TEST_F(TimedOperationTest, ADeadlineThatPassesAfterTheCallerCancelledCancelsButIsNotToBlame) {
    const auto running = start_with_deadline_in(10s);
    running.cancel(cancellation_type::total); // which an operation may not listen to
    poll();
    ASSERT_EQ(operation.cancellations, 1);

    pass(10s);
    EXPECT_EQ(operation.cancellations, 2);
    EXPECT_NE(operation.kind & cancellation_type::terminal, cancellation_type::none);
    end_with(Errc::cancelled);

    EXPECT_FALSE(running.value().timed_out);
    EXPECT_EQ(running.value().error(), Errc::cancelled);
}

TEST_F(TimedOperationTest, ADeadlineThatPassesForACallerWhoHadCancelledBeforeIsNotToBlame) {
    auto runs_late = [this]() -> asio::awaitable<TimedOutcome<Result<int>>> {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        auto sleep = async_sleep_until(time, executor, time.now() + 1s, asio::as_tuple(asio::use_awaitable));
        co_await std::move(sleep);
        auto running = run(detail::own_frame, time, time.now() + 10s, operation, call);
        co_return co_await std::move(running);
    };
    const auto running = testing::start(io, runs_late());
    running.cancel(cancellation_type::terminal);
    poll();
    ASSERT_EQ(operation.cancellations, 0) << "it begins";

    pass(10s);
    EXPECT_EQ(operation.cancellations, 1);
    end_with(Errc::cancelled);

    EXPECT_FALSE(running.value().timed_out);
    EXPECT_EQ(running.value().error(), Errc::cancelled);
}

TEST_F(TimedOperationTest, PassesOnTheKindOfTheCancellation) {
    for (const auto kind : {cancellation_type::total, cancellation_type::partial, cancellation_type::terminal}) {
        const auto running = start_with_deadline_in(10s);
        running.cancel(kind);
        poll();

        EXPECT_EQ(operation.kind, kind);
        end_with(7);
    }
}

TEST_F(TimedOperationTest, ADeadlineThatHasPassedIsNotCancelled) {
    const testing::WatchedTime watched;
    const auto running = testing::start(io, run(detail::own_frame, watched, watched.now(), operation, call));
    watched.wake_all();
    poll();
    ASSERT_EQ(operation.cancellations, 1);

    end_with(Errc::cancelled);

    EXPECT_TRUE(running.value().timed_out);
    EXPECT_EQ(watched.late_cancellations(), 0);
}

TEST_F(TimedOperationTest, AClockThatEndsIsNoDeadline) {
    std::optional<testing::ManualTime> ending{std::in_place};
    const auto running = testing::start(io, run(detail::own_frame, *ending, ending->now() + 10s, operation, call));
    ending.reset();
    poll();
    end_with(Errc::connect_failed);

    EXPECT_EQ(operation.cancellations, 0);
    EXPECT_FALSE(running.value().timed_out);
}

TEST_F(TimedOperationTest, AnOperationThatIsReadyAtOnceNeedsNoAlarm) {
    asio::io_context of_one_thread{1};
    const testing::WatchedTime watched;
    auto ready = []() -> asio::awaitable<Result<int>> { co_return 7; };

    const auto running =
        testing::start(of_one_thread, run(detail::own_frame, watched, watched.now() + 10s, ready, call));

    EXPECT_EQ(running.value().value->value(), 7);
    EXPECT_EQ(watched.begun(), 0);
}

TEST_F(TimedOperationTest, AnOperationThatEndsInTimeLeavesNoSleepBehind) {
    const auto running = start_with_deadline_in(10s);

    end_with(7);

    EXPECT_FALSE(running.value().error());
    EXPECT_EQ(running.value().value->value(), 7);
    EXPECT_EQ(time.sleepers(), 0u);
}

} // namespace
} // namespace velostream
