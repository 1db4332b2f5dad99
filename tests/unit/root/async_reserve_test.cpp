// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::async_reserve_test {
namespace {

using namespace std::chrono_literals;
using Outcome = Result<MemoryReservation>;

class AsyncReserveTest : public ::testing::Test {
  protected:
    auto into(std::optional<Outcome>& place) {
        return asio::bind_executor(io.get_executor(), [&place](Outcome outcome) { place.emplace(std::move(outcome)); });
    }
    void run() {
        io.restart();
        io.poll();
    }
    void advance(Duration by) {
        time.advance(by);
        run();
    }

    asio::io_context io;
    testing::ManualTime time;
    MemoryAccount account{"process", 100};
};

TEST_F(AsyncReserveTest, CompletesThroughTheExecutorAlsoWhereThereIsRoom) {
    std::optional<Outcome> outcome;
    async_reserve(account, 100, into(outcome));
    EXPECT_FALSE(outcome);
    EXPECT_EQ(account.used(), 100u);

    run();

    ASSERT_TRUE(outcome);
    EXPECT_EQ((*outcome)->bytes(), 100u);
}

TEST_F(AsyncReserveTest, WaitsForRoomAndIsNeverResumedInsideARelease) {
    auto held = account.try_reserve(100);
    std::optional<Outcome> outcome;
    async_reserve(account, 50, into(outcome));
    run();
    ASSERT_FALSE(outcome);

    held->release();
    EXPECT_FALSE(outcome);
    EXPECT_EQ(account.used(), 50u) << "the bytes are its own from the release on";
    run();

    ASSERT_TRUE(outcome);
    EXPECT_EQ((*outcome)->bytes(), 50u);
}

TEST_F(AsyncReserveTest, IsNotResumedInsideAReleaseOnItsOwnExecutor) {
    auto held = account.try_reserve(100);
    std::optional<Outcome> outcome;
    bool was_inside = true;
    async_reserve(account, 50, into(outcome));
    asio::post(io, [&] {
        held->release();
        was_inside = outcome.has_value();
    });

    run();

    EXPECT_FALSE(was_inside);
    EXPECT_TRUE(outcome);
}

TEST_F(AsyncReserveTest, IsAwaitedByACoroutine) {
    auto held = account.try_reserve(100);
    auto waits = [&]() -> asio::awaitable<Bytes> {
        const auto reserved = co_await async_reserve(account, 30, asio::use_awaitable);
        co_return reserved->bytes();
    };
    const auto waiting = testing::start(io, waits());
    ASSERT_FALSE(waiting.ended());

    held->release();
    run();

    EXPECT_EQ(waiting.value(), 30u);
    EXPECT_EQ(account.used(), 0u) << "the coroutine has ended, and its reservation with it";
}

TEST_F(AsyncReserveTest, ARequestAboveTheLimitFailsAtOnce) {
    std::optional<Outcome> outcome;
    async_reserve(account, 101, into(outcome));
    run();

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(account.refusals(), 1u);
}

TEST_F(AsyncReserveTest, AWaitIsNoRefusal) {
    auto held = account.try_reserve(100);
    std::optional<Outcome> outcome;
    async_reserve(account, 50, into(outcome));

    EXPECT_EQ(account.refusals(), 0u);
}

TEST_F(AsyncReserveTest, GivesUpAtItsDeadlineAndSaysWhy) {
    auto held = account.try_reserve(60);
    std::optional<Outcome> outcome;
    async_reserve(account, 50, time.now() + 1s, time, into(outcome));
    advance(999ms);
    ASSERT_FALSE(outcome);

    advance(1ms);

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->error(), Errc::deadline_exceeded);
    ASSERT_TRUE(outcome->error().inner());
    EXPECT_EQ(*outcome->error().inner(), Errc::memory_limit_exceeded);
    EXPECT_NE(outcome->error().inner()->message().find("used 60 of 100"), std::string::npos)
        << outcome->error().inner()->message();
    EXPECT_EQ(account.waiting(), 0u);
    held->release();
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(AsyncReserveTest, ADeadlineThatHasPassedStillTakesWhatIsThere) {
    std::optional<Outcome> outcome;
    async_reserve(account, 50, time.now() - 1s, time, into(outcome));
    run();

    ASSERT_TRUE(outcome);
    EXPECT_TRUE(outcome->has_value());
}

TEST_F(AsyncReserveTest, ADeadlineOfNowOrBeforeEndsTheWaitWithoutDelay) {
    const auto held = account.try_reserve(100);
    for (const auto deadline : {time.now(), time.now() - 1s}) {
        std::optional<Outcome> outcome;
        async_reserve(account, 50, deadline, time, into(outcome));
        EXPECT_FALSE(outcome);
        run();

        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), Errc::deadline_exceeded);
        EXPECT_EQ(account.waiting(), 0u);
    }
}

TEST_F(AsyncReserveTest, ADeadlineEndsWithItsWait) {
    auto held = account.try_reserve(100);
    std::optional<Outcome> outcome;
    async_reserve(account, 50, time.now() + 1s, time, into(outcome));
    held->release();
    run();
    ASSERT_TRUE(outcome);

    EXPECT_FALSE(time.next_wake());
    advance(2s);
    EXPECT_TRUE(outcome->has_value());
}

// The thread that grants it may stop there: the context has no more work from it all the same.
TEST_F(AsyncReserveTest, ADeadlineEndsWithItsWaitThoughWhoGrantedItHasNotGoneOn) {
    struct Listener final : WaitingListener {
        void on_waiting_changed() noexcept override {
            if (const auto call = std::exchange(on_change, nullptr)) call();
        }
        std::function<void()> on_change;
    };
    const auto listener = std::make_shared<Listener>();
    const MemoryAccount watched{"process", 100, listener};
    auto held = watched.try_reserve(100);
    std::optional<Outcome> outcome;
    async_reserve(watched, 50, time.now() + 1s, time, into(outcome));
    std::optional<std::size_t> sleepers;
    bool has_work = true;
    listener->on_change = [&] { // in the middle of the release
        run();
        sleepers = time.sleepers();
        has_work = !io.stopped();
    };

    held->release();

    EXPECT_TRUE(outcome && *outcome);
    EXPECT_EQ(sleepers, 0u);
    EXPECT_FALSE(has_work);
}

TEST_F(AsyncReserveTest, AWaitIsWorkForItsContextAndIsGoneWhenItHasEnded) {
    auto held = account.try_reserve(100);
    std::optional<bool> was_gone;
    async_reserve(account, 50, asio::bind_executor(io, [&](const Outcome&) { was_gone = account.is_last_handle(); }));
    run();
    EXPECT_FALSE(io.stopped());
    EXPECT_FALSE(account.is_last_handle());

    held->release();
    run();

    EXPECT_EQ(was_gone, true) << "nothing of it is kept, already when it is told";
    EXPECT_TRUE(io.stopped());
}

TEST_F(AsyncReserveTest, EveryKindOfCancellationLeavesNothingBehind) {
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        auto held = account.try_reserve(100);
        asio::cancellation_signal signal;
        std::optional<Outcome> outcome, behind;
        async_reserve(account, 80, time.now() + 1s, time, asio::bind_cancellation_slot(signal.slot(), into(outcome)));
        async_reserve(account, 20, into(behind));
        held->shrink(20);
        run();
        ASSERT_FALSE(behind);

        signal.emit(kind);
        run();

        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error(), Errc::cancelled);
        ASSERT_TRUE(behind) << "its turn has come";
        EXPECT_TRUE(behind->has_value());
        held->release();
        behind.reset();
        EXPECT_EQ(account.used(), 0u);
        EXPECT_FALSE(time.next_wake());
    }
}

TEST_F(AsyncReserveTest, ACancellationThatComesAfterTheGrantChangesNothing) {
    auto held = account.try_reserve(100);
    asio::cancellation_signal signal;
    std::optional<Outcome> outcome;
    async_reserve(account, 80, asio::bind_cancellation_slot(signal.slot(), into(outcome)));
    held->release();

    signal.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(outcome);
    EXPECT_TRUE(outcome->has_value());
}

TEST_F(AsyncReserveTest, BytesOnTheirWayToADestroyedContextComeBack) {
    {
        asio::io_context other;
        auto held = account.try_reserve(100);
        async_reserve(account, 50, asio::bind_executor(other.get_executor(), [](const Outcome&) { ADD_FAILURE(); }));
        held->release();
        EXPECT_EQ(account.used(), 50u);
    }

    EXPECT_EQ(account.used(), 0u);
}

TEST_F(AsyncReserveTest, WaitersOfADestroyedContextMakeWay) {
    auto held = account.try_reserve(60);
    std::optional<Outcome> behind;
    {
        asio::io_context other;
        async_reserve(account, 80, time.now() + 1s, time,
                      asio::bind_executor(other.get_executor(), [](const Outcome&) { ADD_FAILURE(); }));
        async_reserve(account, 40, into(behind));
        run();
        ASSERT_FALSE(behind);
    }
    run();

    ASSERT_TRUE(behind);
    EXPECT_TRUE(behind->has_value());
}

TEST_F(AsyncReserveTest, AWaitThatBeginsWhileItsContextEndsEndsWithIt) {
    class WaitsAtItsEnd {
      public:
        WaitsAtItsEnd(const MemoryAccount& account, asio::io_context& context)
            : account_(account), executor_(context.get_executor()) {}
        WaitsAtItsEnd(const WaitsAtItsEnd&) = delete;
        WaitsAtItsEnd& operator=(const WaitsAtItsEnd&) = delete;
        ~WaitsAtItsEnd() {
            async_reserve(account_, 50, asio::bind_executor(executor_, [](const Outcome&) { ADD_FAILURE(); }));
        }

      private:
        const MemoryAccount& account_;
        asio::io_context::executor_type executor_;
    };
    auto held = account.try_reserve(100);
    {
        asio::io_context other;
        asio::post(other, [late = std::make_unique<WaitsAtItsEnd>(account, other)] {});
    }

    ASSERT_FALSE(account.anyone_waits());
    held->release();
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(AsyncReserveTest, ACoroutineThatIsDestroyedWithItsContextGivesBackWhatItHolds) {
    auto held = account.try_reserve(50);
    {
        asio::io_context other;
        auto waits = [](MemoryAccount from) -> asio::awaitable<void> {
            const auto first = co_await async_reserve(from, 50, asio::use_awaitable);
            const auto second = co_await async_reserve(from, 50, asio::use_awaitable);
            ADD_FAILURE();
        };
        asio::co_spawn(other, waits(account), [](const std::exception_ptr&) {});
        other.poll();
        EXPECT_EQ(account.used(), 100u);
        EXPECT_EQ(account.waiting(), 1u);
    }

    EXPECT_EQ(account.used(), 50u);
    EXPECT_EQ(account.waiting(), 0u);
    EXPECT_TRUE(account.try_reserve(50));
}

} // namespace
} // namespace velostream::async_reserve_test
