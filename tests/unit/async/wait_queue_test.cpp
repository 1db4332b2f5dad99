// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/wait_queue.hpp"

#include <gtest/gtest.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace velostream {
namespace {

struct Turn {
    int waiter;
    boost::system::error_code code;
    friend bool operator==(const Turn&, const Turn&) = default;
};

class WaitQueueTest : public ::testing::Test {
  protected:
    auto waiter(int name) {
        return asio::bind_executor(io.get_executor(),
                                   [this, name](boost::system::error_code code) { turns.push_back({name, code}); });
    }
    std::vector<Turn> run() {
        io.restart();
        io.poll();
        return std::exchange(turns, {});
    }
    static constexpr auto aborted = asio::error::operation_aborted;

    asio::io_context io;
    std::optional<WaitQueue> queue{std::in_place};
    std::vector<Turn> turns;
};

TEST_F(WaitQueueTest, GivesTurnsInTheOrderOfArrival) {
    queue->async_wait(waiter(1));
    queue->async_wait(waiter(2));
    queue->async_wait(waiter(3));
    EXPECT_EQ(queue->size(), 3u);

    EXPECT_TRUE(queue->wake_one());
    EXPECT_TRUE(queue->wake_one());

    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}, {2, {}}}));
    EXPECT_EQ(queue->size(), 1u);
}

TEST_F(WaitQueueTest, AWaitThatCouldNotBeginKeepsNothing) {
    auto kept = std::make_shared<int>();
    const std::weak_ptr<int> watched = kept;
    const auto fails = [] { throw std::bad_alloc{}; };

    EXPECT_THROW(queue->async_wait_unless([] { return false; }, fails, std::move(kept), waiter(1)), std::bad_alloc);

    EXPECT_TRUE(watched.expired());
    EXPECT_EQ(run(), std::vector<Turn>{});
}

TEST_F(WaitQueueTest, AWaitWhoseTurnComesWhileItBeginsHasItWhateverThatThrows) {
    const auto fails = [this] {
        EXPECT_TRUE(queue->wake_one());
        throw std::bad_alloc{};
    };

    queue->async_wait_unless([] { return false; }, fails, waiter(1));

    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, HasNoTurnToGiveWhenNobodyWaits) {
    EXPECT_FALSE(queue->wake_one());
    EXPECT_EQ(queue->wake_all(), 0u);
}

TEST_F(WaitQueueTest, CompletesThroughTheWaitersExecutorNeverInsideTheCall) {
    queue->async_wait(waiter(1));

    queue->wake_one();
    EXPECT_TRUE(turns.empty());

    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, CompletesEverybodyWithTheCodeOfWakeAll) {
    queue->async_wait(waiter(1));
    queue->async_wait(waiter(2));

    EXPECT_EQ(queue->wake_all(Errc::pool_closed), 2u);

    EXPECT_EQ(run(), (std::vector<Turn>{{1, Errc::pool_closed}, {2, Errc::pool_closed}}));
}

TEST_F(WaitQueueTest, DoesNotWaitWhenReadySaysSo) {
    queue->async_wait_unless([] { return true; }, waiter(1));

    EXPECT_EQ(queue->size(), 0u);
    EXPECT_TRUE(turns.empty()) << "completed inside the call";
    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, ReadyIsToldHowManyWait) {
    std::vector<std::size_t> told;
    for (int name = 1; name <= 3; ++name)
        queue->async_wait_unless(
            [&](std::size_t waiting) {
                told.push_back(waiting);
                return waiting == 2;
            },
            waiter(name));

    EXPECT_EQ(told, (std::vector<std::size_t>{0, 1, 2}));
    EXPECT_EQ(run(), (std::vector<Turn>{{3, {}}}));
    EXPECT_EQ(queue->size(), 2u);
}

TEST_F(WaitQueueTest, ACancelledWaiterTakesNoTurn) {
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        asio::cancellation_signal signal;
        queue->async_wait(asio::bind_cancellation_slot(signal.slot(), waiter(1)));
        queue->async_wait(waiter(2));

        signal.emit(kind);
        EXPECT_EQ(queue->size(), 1u);
        queue->wake_one();

        EXPECT_EQ(run(), (std::vector<Turn>{{1, aborted}, {2, {}}}));
    }
}

TEST_F(WaitQueueTest, ACancelAfterTheWakeChangesNothing) {
    asio::cancellation_signal signal;
    queue->async_wait(asio::bind_cancellation_slot(signal.slot(), waiter(1)));

    queue->wake_one();
    signal.emit(asio::cancellation_type::terminal);

    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, DestructionCompletesEverybodyWithOperationAborted) {
    asio::cancellation_signal signal;
    queue->async_wait(waiter(1));
    queue->async_wait(asio::bind_cancellation_slot(signal.slot(), waiter(2)));

    queue.reset();
    signal.emit(asio::cancellation_type::terminal); // finds no queue

    EXPECT_EQ(run(), (std::vector<Turn>{{1, aborted}, {2, aborted}}));
}

TEST_F(WaitQueueTest, AWaiterKeepsItsContextRunning) {
    queue->async_wait(waiter(1));

    io.poll();
    EXPECT_FALSE(io.stopped());

    queue->wake_one();
    io.run(); // returns: the waiter was the only work
    EXPECT_EQ(turns, (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, AContextThatEndsTakesItsWaitersWithIt) {
    auto alive = std::make_shared<int>();
    queue->async_wait(waiter(1));
    {
        asio::io_context short_lived;
        queue->async_wait(asio::bind_executor(short_lived.get_executor(), [alive](boost::system::error_code) {}));
        queue->async_wait(waiter(3));
        ASSERT_EQ(alive.use_count(), 2);
    }
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_EQ(queue->size(), 2u);

    queue->wake_all();
    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}, {3, {}}}));
}

// What a coroutine frame does that holds a permit: when it is destroyed, it hands its turn on.
struct HandsItsTurnOn {
    explicit HandsItsTurnOn(WaitQueue* to) : queue(to) {}
    HandsItsTurnOn(HandsItsTurnOn&& other) noexcept : queue(std::exchange(other.queue, nullptr)) {}
    HandsItsTurnOn& operator=(HandsItsTurnOn&&) = delete;
    ~HandsItsTurnOn() {
        if (queue) queue->wake_one();
    }
    void operator()(boost::system::error_code) {}
    WaitQueue* queue;
};

TEST_F(WaitQueueTest, WaitersOfAnEndingContextThatHandTheirTurnOnReachOnlyOtherContexts) {
    {
        asio::io_context short_lived;
        for (int i = 0; i < 1000; ++i)
            queue->async_wait(asio::bind_executor(short_lived.get_executor(), HandsItsTurnOn{&*queue}));
        queue->async_wait(waiter(1));
    }

    EXPECT_EQ(run(), (std::vector<Turn>{{1, {}}}));
}

TEST_F(WaitQueueTest, WaitsNoMoreInAContextThatIsEnding) {
    struct WaitsAgain {
        WaitQueue* queue;
        asio::io_context* context;
        std::shared_ptr<int> alive;
        ~WaitsAgain() {
            if (alive)
                queue->async_wait(
                    asio::bind_executor(context->get_executor(), [a = alive](boost::system::error_code) {}));
        }
        WaitsAgain(WaitQueue* to, asio::io_context* in, std::shared_ptr<int> a) : queue(to), context(in), alive(a) {}
        WaitsAgain(WaitsAgain&&) = default;
        void operator()(boost::system::error_code) {}
    };
    auto alive = std::make_shared<int>();
    {
        asio::io_context short_lived;
        WaitsAgain handler{&*queue, &short_lived, alive};
        queue->async_wait(asio::bind_executor(short_lived.get_executor(), std::move(handler)));
    }

    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_EQ(queue->size(), 0u);
}

/// Takes no work.
struct FullExecutor {
    asio::io_context* context;

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    template <class Work>
    void execute(Work&&) const {
        throw std::bad_alloc{};
    }
    friend bool operator==(const FullExecutor&, const FullExecutor&) = default;
};

// AddressSanitizer sees who looks at the signal after its handler has taken it with it.
TEST_F(WaitQueueTest, AHandlerThatCannotBePostedMayOwnTheSignalOfItsWait) {
    auto signal = std::make_shared<asio::cancellation_signal>();
    const auto slot = signal->slot();
    auto handler = [kept = std::move(signal)](boost::system::error_code) {};
    auto token = asio::bind_executor(asio::any_io_executor{FullExecutor{&io}},
                                     asio::bind_cancellation_slot(slot, std::move(handler)));

    EXPECT_THROW(queue->async_wait_unless([]() noexcept { return true; }, std::move(token)), std::bad_alloc);

    EXPECT_EQ(queue->size(), 0U);
}

} // namespace
} // namespace velostream
