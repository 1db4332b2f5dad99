// SPDX-License-Identifier: Apache-2.0
// Guarded calls on several threads whose operations, deadlines and callers' cancellations meet.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr int callers = 16, rounds = 100;

// What every call came to, and what its policies say about all of them.
struct Outcomes {
    std::atomic<int> values{0}, timeouts{0}, cancelled{0}, others{0};

    void add(const Result<int>& result) {
        if (result)
            ++values;
        else if (result.error() == ErrorType::cancelled)
            ++cancelled;
        else if (result.error() == ErrorType::timeout)
            ++timeouts;
        else
            ++others;
    }
    int all() const { return values + timeouts + cancelled + others; }
};

struct Guarded {
    CircuitBreaker<> breaker{"stress", {.failure_threshold = 100'000, .sliding_window_size = 100'000}};
    RetryExecutor<> retry{
        RetryConfig{.max_retries = 1, .backoff_strategy = FixedInterval{20us}, .attempt_timeout = Duration{150us}}};
    Pipeline<RetryExecutor<>, CircuitBreaker<>> calls{retry, breaker};

    void expect_nothing_lost(const Outcomes& outcomes) const {
        const auto stats = retry.get_stats();
        EXPECT_EQ(outcomes.others, 0);
        EXPECT_EQ(stats.calls, static_cast<std::uint64_t>(outcomes.all()));
        EXPECT_EQ(stats.cancelled, static_cast<std::uint64_t>(outcomes.cancelled));
        EXPECT_EQ(stats.exhausted, static_cast<std::uint64_t>(outcomes.timeouts));
        const auto breaker_stats = breaker.get_stats();
        EXPECT_EQ(breaker_stats.failure_count, stats.exhausted + stats.retries) << "every try that timed out";
    }
};

// Takes about as long as a try may take: either may win.
asio::awaitable<Result<int>> takes_a_while(int microseconds) {
    const auto executor = co_await asio::this_coro::executor;
    const SteadyTime time;
    const auto at = time.now() + microseconds * 1us;
    auto sleep = async_sleep_until(time, executor, at, asio::as_tuple(asio::deferred));
    const auto [code] = co_await std::move(sleep);
    if (code) co_return Error{code};
    co_return 1;
}

TEST(GuardedCallsUnderThreads, ADeadlineAndItsOperationMayEndTogether) {
    asio::thread_pool pool{4};
    Guarded guarded;
    Outcomes outcomes;
    auto caller = [&](int number) -> asio::awaitable<void> {
        for (int i = 0; i < rounds; ++i) {
            auto operation = [&] { return takes_a_while(100 + (number + i) % 100); };
            outcomes.add(co_await guarded.calls.execute(operation));
        }
    };
    for (int i = 0; i < callers; ++i)
        asio::co_spawn(pool, caller(i), [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    pool.join(); // hangs if a call never ends

    EXPECT_EQ(outcomes.all(), callers * rounds);
    guarded.expect_nothing_lost(outcomes);
}

TEST(GuardedCallsUnderThreads, ACallerMayCancelAtAnyMoment) {
    struct Call {
        explicit Call(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
    };
    asio::thread_pool pool{4};
    Guarded guarded;
    Outcomes outcomes;
    std::deque<Call> calls;
    for (int i = 0; i < callers * rounds; ++i) {
        auto& call = calls.emplace_back(pool);
        asio::post(call.strand, [&, i] {
            auto operation = [i] { return takes_a_while(i % 200); };
            asio::co_spawn(call.strand, guarded.calls.execute(operation),
                           asio::bind_cancellation_slot(call.signal.slot(),
                                                        [&](std::exception_ptr failed, const Result<int>& result) {
                                                            EXPECT_FALSE(failed);
                                                            outcomes.add(result);
                                                        }));
        });
        std::this_thread::yield();
        asio::post(call.strand, [&] { call.signal.emit(asio::cancellation_type::terminal); });
    }
    pool.join();

    EXPECT_EQ(outcomes.all(), callers * rounds);
    EXPECT_GT(outcomes.cancelled, 0);
    guarded.expect_nothing_lost(outcomes);
}

// A coroutine that awaits something bound to another executor goes on there until it waits again: so neither caller nor
// operation need be on the thread of their executor.
asio::awaitable<void> hop(asio::thread_pool& to) {
    auto hopping = asio::post(asio::bind_executor(to.get_executor(), asio::deferred));
    co_await std::move(hopping);
}

class HoppingCallsUnderThreads : public ::testing::TestWithParam<int> {
  protected:
    // Calls with a deadline, of `operation`.
    template <class Operation>
    int values_of(Operation operation, bool hops_before) {
        int values = 0;
        auto calls = [&]() -> asio::awaitable<void> {
            for (int i = 0; i < 500; ++i) {
                if (hops_before) {
                    auto hopping = hop(pool);
                    co_await std::move(hopping);
                }
                auto call = timeout.execute(operation);
                const auto result = co_await std::move(call);
                values += result.has_value();
            }
        };
        asio::co_spawn(io, calls(), [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
        io.run();
        pool.join();
        return values;
    }

    asio::io_context io{GetParam()};
    asio::thread_pool pool{2};
    Timeout<> timeout{30s};
};

TEST_P(HoppingCallsUnderThreads, TheOperationMayReturnOnAnotherThread) {
    auto operation = [this]() -> asio::awaitable<int> {
        auto hopping = hop(pool);
        co_await std::move(hopping);
        co_return 1;
    };

    EXPECT_EQ(values_of(operation, false), 500);
}

TEST_P(HoppingCallsUnderThreads, TheCallerMayBeOnAnotherThread) {
    auto operation = []() -> asio::awaitable<int> { co_return 1; };

    EXPECT_EQ(values_of(operation, true), 500);
}

INSTANTIATE_TEST_SUITE_P(OnAContextFor, HoppingCallsUnderThreads, ::testing::Values(1, 2),
                         [](const auto& tested) { return tested.param == 1 ? "OneThread" : "SeveralThreads"; });

} // namespace
} // namespace velostream
