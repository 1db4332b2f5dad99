// SPDX-License-Identifier: Apache-2.0
// Turns are neither lost nor given twice when waiters are cancelled while others are woken, on several threads.
#include "velostream/async/wait_queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <future>
#include <memory>
#include <thread>

namespace velostream {
namespace {

struct Waiter {
    explicit Waiter(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
    // Returns when everything that was posted to the strand has run.
    void become_idle() {
        std::promise<void> idle;
        asio::post(strand, [&] { idle.set_value(); });
        idle.get_future().wait();
    }
    asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
    asio::cancellation_signal signal;
    std::atomic<int> completions{0};
};

TEST(CancelledWaiters, AreWokenOrCancelledAndNothingElse) {
    constexpr int count = 2000;
    asio::thread_pool pool{2};
    WaitQueue queue;
    std::atomic<int> turns{0}, cancelled{0};
    std::deque<Waiter> waiters;
    for (int i = 0; i < count; ++i) {
        auto& waiter = waiters.emplace_back(pool);
        asio::post(waiter.strand, [&] {
            queue.async_wait(asio::bind_executor(
                waiter.strand, asio::bind_cancellation_slot(waiter.signal.slot(), [&](boost::system::error_code code) {
                    ++waiter.completions;
                    EXPECT_TRUE(!code || code == asio::error::operation_aborted);
                    ++(code ? cancelled : turns);
                })));
            asio::post(pool, [&] { queue.wake_one(); });
            asio::post(waiter.strand, [&] { waiter.signal.emit(asio::cancellation_type::terminal); });
        });
    }
    pool.join();

    EXPECT_EQ(turns + cancelled, count);
    EXPECT_EQ(queue.size(), 0u);
    for (const auto& waiter : waiters) EXPECT_EQ(waiter.completions, 1);
}

TEST(CancelledWaiters, ATurnThatWasGivenIsNotTakenBackByACancellation) {
    asio::thread_pool pool{2};
    for (int i = 0; i < 500; ++i) {
        WaitQueue queue;
        Waiter waiter{pool};
        std::atomic<bool> waits{false}, given{false};
        std::atomic<bool> had_turn{false};
        asio::post(waiter.strand, [&] {
            queue.async_wait(asio::bind_executor(
                waiter.strand, asio::bind_cancellation_slot(waiter.signal.slot(), [&](boost::system::error_code code) {
                    had_turn = !code;
                    ++waiter.completions;
                })));
            waits = true;
            asio::post(waiter.strand, [&] { waiter.signal.emit(asio::cancellation_type::terminal); });
        });
        while (!waits) std::this_thread::yield();
        given = queue.wake_one();
        while (waiter.completions == 0) std::this_thread::yield();
        waiter.become_idle();

        ASSERT_EQ(had_turn, given) << "round " << i;
    }
    pool.join();
}

TEST(CancelledWaiters, AreCompletedOnceWhenTheQueueEndsMeanwhile) {
    asio::thread_pool pool{2};
    for (int round = 0; round < 200; ++round) {
        auto queue = std::make_unique<WaitQueue>();
        std::deque<Waiter> waiters;
        std::atomic<int> waiting{0}, completed{0};
        for (int i = 0; i < 4; ++i) {
            auto& waiter = waiters.emplace_back(pool);
            asio::post(waiter.strand, [&] {
                queue->async_wait(asio::bind_executor(
                    waiter.strand,
                    asio::bind_cancellation_slot(waiter.signal.slot(), [&](boost::system::error_code code) {
                        EXPECT_EQ(code, asio::error::operation_aborted);
                        ++waiter.completions;
                        ++completed;
                    })));
                ++waiting;
            });
        }
        while (waiting < 4) std::this_thread::yield();
        for (auto& waiter : waiters)
            asio::post(waiter.strand, [&] { waiter.signal.emit(asio::cancellation_type::terminal); });
        queue.reset();
        while (completed < 4) std::this_thread::yield();
        for (auto& waiter : waiters) {
            waiter.become_idle();
            ASSERT_EQ(waiter.completions, 1);
        }
    }
    pool.join();
}

} // namespace
} // namespace velostream
