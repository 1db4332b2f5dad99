// SPDX-License-Identifier: Apache-2.0
// A bulkhead on several threads: never too many calls at once, every waiter has its turn, nothing is lost.
#include "velostream/bulkhead.hpp"
#include "support/in_threads.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <random>
#include <thread>

namespace velostream::bulkhead_test {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

// Calls that run, counted by themselves.
class Running {
  public:
    explicit Running(int most) : most_(most) {}
    void enter() {
        if (++now_ > most_) exceeded_ = true;
    }
    void leave() { --now_; }
    bool exceeded() const { return exceeded_; }

  private:
    const int most_;
    std::atomic<int> now_{0};
    std::atomic<bool> exceeded_{false};
};

void expect_nothing_left(const Bulkhead<>& bulkhead) {
    EXPECT_EQ(bulkhead.get_stats().in_use, 0u);
    EXPECT_EQ(bulkhead.get_stats().waiting, 0u);
}

TEST(BulkheadUnderThreads, NeverGivesTooManyPermits) {
    constexpr int limit = 2, rounds = 20'000;
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = limit}};
    Running running{limit};
    std::atomic<std::uint64_t> refused{0};
    testing::in_threads(thread_count, [&](int) {
        for (int round = 0; round < rounds; ++round) {
            const auto permit = bulkhead.try_acquire();
            if (!permit) {
                ++refused;
                continue;
            }
            running.enter();
            if (round % 512 == 0) std::this_thread::yield();
            running.leave();
        }
    });

    EXPECT_FALSE(running.exceeded());
    EXPECT_EQ(bulkhead.get_stats().refused, refused);
    expect_nothing_left(bulkhead);
}

TEST(BulkheadUnderThreads, EveryWaiterHasItsTurn) {
    constexpr int limit = 3, callers = 32, rounds = 200;
    asio::thread_pool pool{thread_count};
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = limit, .max_waiting = callers}};
    Running running{limit};
    std::atomic<int> done{0};
    auto caller = [&]() -> asio::awaitable<void> {
        auto operation = [&]() -> asio::awaitable<int> {
            running.enter();
            co_await asio::post(asio::deferred);
            running.leave();
            co_return 1;
        };
        for (int round = 0; round < rounds; ++round) {
            const auto result = co_await bulkhead.execute(operation);
            EXPECT_TRUE(result);
        }
        ++done;
    };
    for (int i = 0; i < callers; ++i) asio::co_spawn(pool, caller(), asio::detached);
    pool.join(); // hangs if a wake-up is lost

    EXPECT_EQ(done, callers);
    EXPECT_FALSE(running.exceeded());
    expect_nothing_left(bulkhead);
}

TEST(BulkheadUnderThreads, ALimitMayMoveWhileCallsComeAndGo) {
    constexpr int most = 4, callers = 16, rounds = 200;
    asio::thread_pool pool{thread_count};
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = most, .max_waiting = callers}};
    Running running{most};
    std::atomic<int> done{0};
    auto caller = [&](int number) -> asio::awaitable<void> {
        auto operation = [&]() -> asio::awaitable<int> {
            running.enter();
            co_await asio::post(asio::deferred);
            running.leave();
            co_return 1;
        };
        for (int round = 0; round < rounds; ++round) {
            if (round % 8 == 0) bulkhead.set_max_concurrent(static_cast<std::size_t>(1 + (round + number) % most));
            const auto result = co_await bulkhead.execute(operation);
            EXPECT_TRUE(result);
        }
        ++done;
    };
    for (int i = 0; i < callers; ++i) asio::co_spawn(pool, caller(i), asio::detached);
    pool.join(); // hangs if a wake-up is lost

    EXPECT_EQ(done, callers);
    EXPECT_FALSE(running.exceeded());
    expect_nothing_left(bulkhead);
}

TEST(BulkheadUnderThreads, HandOversCancellationsAndDeadlinesMayMeet) {
    struct Call {
        explicit Call(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
    };
    constexpr int count = 3000, limit = 2;
    asio::thread_pool pool{thread_count};
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = limit, .max_waiting = count, .max_wait = 200us}};
    Running running{limit};
    std::atomic<int> granted{0}, timed_out{0}, cancelled{0}, others{0};
    std::deque<Call> calls;
    for (int i = 0; i < count; ++i) {
        auto& call = calls.emplace_back(pool);
        asio::post(call.strand, [&] {
            bulkhead.async_acquire(asio::bind_executor(
                call.strand, asio::bind_cancellation_slot(call.signal.slot(), [&](Result<BulkheadPermit> permit) {
                    if (permit) {
                        running.enter();
                        ++granted;
                        std::this_thread::yield();
                        running.leave();
                    } else {
                        ++(permit.error() == Errc::cancelled       ? cancelled
                           : permit.error() == Errc::bulkhead_full ? timed_out
                                                                   : others);
                    }
                })));
            asio::post(call.strand, [&] { call.signal.emit(asio::cancellation_type::terminal); });
        });
    }
    pool.join();

    EXPECT_EQ(granted + timed_out + cancelled, count);
    EXPECT_EQ(others, 0);
    EXPECT_FALSE(running.exceeded());
    const auto stats = bulkhead.get_stats();
    EXPECT_EQ(stats.cancelled, static_cast<std::uint64_t>(cancelled));
    EXPECT_EQ(stats.timed_out, static_cast<std::uint64_t>(timed_out));
    expect_nothing_left(bulkhead);
}

} // namespace
} // namespace velostream::bulkhead_test
