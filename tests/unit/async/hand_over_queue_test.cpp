// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/hand_over_queue.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace velostream::hand_over_queue_test {
namespace {

using namespace std::chrono_literals;
using Thing = std::unique_ptr<int>;
using Queue = HandOverQueue<Thing>;

constexpr TimePoint t0{1h};

class HandOverQueueTest : public ::testing::Test {
  protected:
    auto waiter(std::string name) {
        return asio::bind_executor(io.get_executor(), [this, name](Result<Thing> handed) {
            turns.push_back(name + ": " + (handed ? std::to_string(**handed) : handed.error().message()));
        });
    }
    template <class Token>
    void wait(Token token, TimePoint deadline = t0, Queue::Place place = Queue::Place::last) {
        queue->async_wait(deadline, place, [] { return std::optional<Result<Thing>>{}; }, [] {}, std::move(token));
    }
    bool hand_over(int value) {
        Result<Thing> handed = std::make_unique<int>(value);
        Queue::Completed completed;
        const std::scoped_lock lock{queue->mutex()};
        return queue->locked_hand_over(handed, completed);
    }
    std::size_t size() const {
        const std::scoped_lock lock{queue->mutex()};
        return queue->locked_size();
    }
    std::vector<std::string> run() {
        io.restart();
        io.poll();
        return std::exchange(turns, {});
    }

    asio::io_context io;
    std::shared_ptr<Queue> queue = std::make_shared<Queue>();
    std::vector<std::string> turns;
};

using Turns = std::vector<std::string>;

TEST_F(HandOverQueueTest, HandsThingsOverInTheOrderOfArrivalThroughTheWaitersExecutor) {
    wait(waiter("a"));
    wait(waiter("b"));
    wait(waiter("urgent"), t0, Queue::Place::first);

    EXPECT_TRUE(hand_over(1));
    EXPECT_TRUE(hand_over(2));
    EXPECT_EQ(turns, Turns{});

    EXPECT_EQ(run(), (Turns{"urgent: 1", "a: 2"}));
    EXPECT_EQ(size(), 1u);
}

TEST_F(HandOverQueueTest, ThoseWhoseTurnHadComeAreServedInTheOrderOfTheirDeadlines) {
    wait(waiter("new"), t0 + 3s);
    wait(waiter("a"), t0 + 1s, Queue::Place::first);
    wait(waiter("b"), t0 + 2s, Queue::Place::first);

    hand_over(1);
    hand_over(2);
    hand_over(3);

    EXPECT_EQ(run(), (Turns{"a: 1", "b: 2", "new: 3"}));
}

TEST_F(HandOverQueueTest, LeavesTheThingWithTheGiverIfNobodyWaits) {
    Result<Thing> handed = std::make_unique<int>(7);
    Queue::Completed completed;
    const std::scoped_lock lock{queue->mutex()};

    EXPECT_FALSE(queue->locked_hand_over(handed, completed));
    EXPECT_EQ(**handed, 7);
}

TEST_F(HandOverQueueTest, WhoDecidesNotToWaitCompletesAtOnceThroughTheExecutor) {
    bool followed = false;
    queue->async_wait(
        t0, Queue::Place::last, [] { return std::optional<Result<Thing>>{std::make_unique<int>(3)}; },
        [&] { followed = true; }, waiter("a"));

    EXPECT_TRUE(followed);
    EXPECT_EQ(turns, Turns{});
    EXPECT_EQ(run(), Turns{"a: 3"});
    EXPECT_EQ(size(), 0u);
}

TEST_F(HandOverQueueTest, ACancelledWaiterTakesNoTurn) {
    asio::cancellation_signal cancel;
    wait(asio::bind_cancellation_slot(cancel.slot(), waiter("a")));
    wait(waiter("b"));

    cancel.emit(asio::cancellation_type::terminal);
    EXPECT_EQ(size(), 1u);
    hand_over(1);

    EXPECT_EQ(run(), (Turns{"a: cancelled", "b: 1"}));
}

TEST_F(HandOverQueueTest, CancellingTooLateChangesNothing) {
    asio::cancellation_signal cancel;
    wait(asio::bind_cancellation_slot(cancel.slot(), waiter("a")));

    hand_over(1);
    cancel.emit(asio::cancellation_type::terminal);

    EXPECT_EQ(run(), Turns{"a: 1"});
}

TEST_F(HandOverQueueTest, CancellingBetweenTheHandOverAndItsEndChangesNothing) {
    asio::cancellation_signal cancel;
    wait(asio::bind_cancellation_slot(cancel.slot(), waiter("a")));
    wait(waiter("b"));
    {
        Queue::Completed completed;
        Result<Thing> handed = std::make_unique<int>(1);
        {
            const std::scoped_lock lock{queue->mutex()};
            queue->locked_hand_over(handed, completed);
        }
        cancel.emit(asio::cancellation_type::terminal);
    }

    EXPECT_EQ(run(), Turns{"a: 1"});
    EXPECT_EQ(size(), 1u);
}

TEST_F(HandOverQueueTest, AWaiterGivesItsContextWork) {
    wait(waiter("a"));

    io.poll();
    EXPECT_FALSE(io.stopped());
    hand_over(1);

    EXPECT_EQ(run(), Turns{"a: 1"});
    EXPECT_TRUE(io.stopped());
}

TEST_F(HandOverQueueTest, NobodyWaitsInAContextThatIsEnding) {
    const auto wait_in = [this](asio::io_context::executor_type executor) {
        wait(asio::bind_executor(executor, [](Result<Thing>) { FAIL(); }));
    };
    {
        asio::io_context ending;
        wait_in(ending.get_executor());
        const std::shared_ptr<void> last{nullptr, [&, executor = ending.get_executor()](void*) { wait_in(executor); }};
        asio::post(ending, [last] {}); // never called: destroyed with the context
    }

    EXPECT_EQ(size(), 0u);
}

TEST_F(HandOverQueueTest, ShowsTheDeadlineOfTheOneWhoWaitsLongest) {
    wait(waiter("a"), t0 + 2s);
    wait(waiter("b"), t0 + 3s);
    wait(waiter("urgent"), t0 + 1s, Queue::Place::first);
    const auto deadline = [this] {
        const std::scoped_lock lock{queue->mutex()};
        return queue->locked_front_deadline();
    };

    EXPECT_EQ(deadline(), t0 + 1s);
    hand_over(1);
    EXPECT_EQ(deadline(), t0 + 2s);
    hand_over(2);
    hand_over(3);
    EXPECT_EQ(deadline(), std::nullopt);
}

TEST_F(HandOverQueueTest, AnExecutionContextThatEndsTakesItsWaitersWithIt) {
    {
        asio::io_context ending;
        wait(asio::bind_executor(ending.get_executor(), [](Result<Thing>) { FAIL(); }));
        EXPECT_EQ(size(), 1u);
    }
    EXPECT_EQ(size(), 0u);
    EXPECT_FALSE(hand_over(1));
}

TEST_F(HandOverQueueTest, WhatIsOnItsWayWhenTheContextEndsIsDestroyedThere) {
    const auto watched = std::make_shared<int>(1);
    using Shared = HandOverQueue<std::shared_ptr<int>>;
    const auto sharing = std::make_shared<Shared>();
    {
        asio::io_context ending;
        sharing->async_wait(
            t0, Shared::Place::last, [] { return std::optional<Result<std::shared_ptr<int>>>{}; }, [] {},
            asio::bind_executor(ending.get_executor(), [](Result<std::shared_ptr<int>>) { FAIL(); }));
        Result<std::shared_ptr<int>> handed = watched;
        Shared::Completed completed;
        const std::scoped_lock lock{sharing->mutex()};
        EXPECT_TRUE(sharing->locked_hand_over(handed, completed));
        EXPECT_EQ(watched.use_count(), 2);
    }
    EXPECT_EQ(watched.use_count(), 1);
}

} // namespace
} // namespace velostream::hand_over_queue_test
