// SPDX-License-Identifier: Apache-2.0
// Waiting for memory on several threads, with cancellations, deadlines and contexts that end: nothing is lost, nothing
// is granted twice, no limit is passed.
#include "velostream/async_reserve.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "support/held_bytes.hpp"

namespace velostream::async_reserve_test {
namespace {

using namespace std::chrono_literals;
constexpr Bytes limit = 1000;
constexpr Bytes query_limit = 600;

TEST(AsyncReserveStress, NoLimitIsPassedAndEverybodyComesToItsTurn) {
    constexpr int coroutines = 200;
    constexpr int rounds = 100;
    const MemoryAccount process{"process", limit};
    const std::array queries{process.child("left", query_limit), process.child("right", query_limit)};
    testing::HeldBytes in_process;
    std::array<testing::HeldBytes, 2> in_query;
    std::atomic<int> granted{0};
    asio::thread_pool pool{4};
    auto work = [&](unsigned seed) -> asio::awaitable<void> {
        std::minstd_rand random{seed + 1};
        const auto side = seed % 2;
        for (int round = 0; round < rounds; ++round) {
            const Bytes bytes = 1 + random() % 300;
            auto reserved = co_await async_reserve(queries[side], bytes, asio::use_awaitable);
            if (!reserved) continue;
            ++granted;
            in_process.add(bytes, limit);
            in_query[side].add(bytes, query_limit);
            if (random() % 4 == 0) co_await asio::post(pool, asio::use_awaitable);
            in_process.subtract(bytes);
            in_query[side].subtract(bytes);
        }
    };

    for (unsigned index = 0; index < coroutines; ++index)
        asio::co_spawn(asio::make_strand(pool), work(index), asio::detached);
    pool.join();

    EXPECT_EQ(granted, coroutines * rounds);
    EXPECT_FALSE(in_process.exceeded());
    EXPECT_FALSE(in_query[0].exceeded() || in_query[1].exceeded());
    EXPECT_EQ(process.used(), 0u);
    EXPECT_EQ(process.waiting() + queries[0].waiting() + queries[1].waiting(), 0u);
    EXPECT_TRUE(queries[0].try_reserve(query_limit));
}

TEST(AsyncReserveStress, CancelledAndLateOnesLeaveNothingBehind) {
    constexpr int count = 3000;
    struct Request {
        explicit Request(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand;
        asio::cancellation_signal signal;
        std::atomic<int> completions{0};
    };
    const MemoryAccount account{"process", limit};
    asio::thread_pool pool{4};
    std::deque<Request> requests;
    std::atomic<int> granted{0}, given_up{0};
    for (unsigned index = 0; index < count; ++index) {
        auto& request = requests.emplace_back(pool);
        asio::post(request.strand, [&, index] {
            auto handler = [&](Result<MemoryReservation> outcome) {
                ++request.completions;
                ++(outcome ? granted : given_up);
                if (!outcome) return;
                asio::post(pool,
                           [held = std::make_shared<MemoryReservation>(std::move(*outcome))] { held->release(); });
            };
            auto bound = asio::bind_executor(request.strand,
                                             asio::bind_cancellation_slot(request.signal.slot(), std::move(handler)));
            const auto deadline =
                index % 3 == 0 ? SteadyTime{}.now() + std::chrono::microseconds{index % 500} : TimePoint::max();
            async_reserve(account, 1 + index % 900, deadline, SteadyTime{}, std::move(bound));
            if (index % 3 == 1)
                asio::post(request.strand, [&] { request.signal.emit(asio::cancellation_type::terminal); });
        });
    }
    pool.join();

    EXPECT_EQ(granted + given_up, count);
    for (const auto& request : requests) EXPECT_EQ(request.completions, 1);
    EXPECT_EQ(account.used(), 0u);
    EXPECT_EQ(account.waiting(), 0u);
}

TEST(AsyncReserveStress, ContextsThatEndWhileOthersGiveBackKeepNothing) {
    const MemoryAccount account{"process", limit};
    for (int round = 0; round < 200; ++round) {
        auto held = account.try_reserve(limit);
        ASSERT_TRUE(held);
        std::atomic<bool> begin{false};
        std::jthread giver{[&] {
            while (!begin) std::this_thread::yield();
            for (int part = 0; part < 10; ++part) held->shrink(limit / 10);
        }};
        {
            asio::io_context context;
            for (int waiter = 0; waiter < 10; ++waiter)
                async_reserve(account, 100, SteadyTime{}.now() + 1h, SteadyTime{},
                              asio::bind_executor(context.get_executor(), [](const Result<MemoryReservation>&) {}));
            begin = true;
            context.poll();
        }
        giver.join();
        ASSERT_EQ(account.used(), 0u) << "round " << round;
        ASSERT_EQ(account.waiting(), 0u);
    }
}

/// Posts to a context, and stays in that call while another thread ends the context.
class SlowExecutor {
  public:
    struct Post {
        void wait_for_the_end(int turns) const {
            for (int turn = 0; turn < turns && !is_context_gone; ++turn) std::this_thread::yield();
        }
        std::atomic<bool> has_begun{false}, is_context_gone{false}, was_left_alone{false}, has_outlived{false};
    };
    SlowExecutor(asio::io_context& context, Post& post) : context_(&context), post_(&post) {}
    SlowExecutor(const SlowExecutor&) = default;
    SlowExecutor& operator=(const SlowExecutor&) = default;
    ~SlowExecutor() {
        if (post_->is_context_gone) post_->has_outlived = true;
    }

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context_; }
    SlowExecutor require(asio::execution::blocking_t::never_t) const noexcept { return *this; }
    template <class Function>
    void execute(Function function) const {
        auto& post = *post_;
        asio::post(*context_, std::move(function));
        post.has_begun = true;
        post.wait_for_the_end(1000);
        post.was_left_alone = post.is_context_gone.load();
    }
    friend bool operator==(const SlowExecutor&, const SlowExecutor&) noexcept = default;

  private:
    asio::io_context* context_;
    Post* post_;
};

/// Stops who has posted, before he lets go of the wait, until the context is gone.
struct SlowListener final : WaitingListener {
    void on_waiting_changed() noexcept override {
        if (post.has_begun) post.wait_for_the_end(1'000'000);
    }
    SlowExecutor::Post post;
};

TEST(AsyncReserveStress, AContextThatEndsWaitsForWhoIsJustPostingToItAndNoLonger) {
    for (int round = 0; round < 50; ++round) {
        const auto listener = std::make_shared<SlowListener>();
        auto& post = listener->post;
        const MemoryAccount account{"process", limit, listener};
        auto held = account.try_reserve(limit);
        std::optional<asio::io_context> context{std::in_place};
        async_reserve(account, 1,
                      asio::bind_executor(SlowExecutor{*context, post}, [](const Result<MemoryReservation>&) {}));
        std::jthread ender{[&] {
            while (!post.has_begun) std::this_thread::yield();
            context.reset();
            post.is_context_gone = true;
        }};

        held->release();
        ender.join();

        ASSERT_FALSE(post.was_left_alone) << "round " << round;
        ASSERT_FALSE(post.has_outlived) << "an executor of a context that is gone, round " << round;
        ASSERT_EQ(account.used(), 0u);
    }
}

} // namespace
} // namespace velostream::async_reserve_test
