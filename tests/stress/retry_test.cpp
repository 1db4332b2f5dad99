// SPDX-License-Identifier: Apache-2.0
// Retry budgets and executors under several threads that call, fail, wait and give up.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "support/in_threads.hpp"
#include "velostream/core/thread_seat.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream::retry_test {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

TEST(RetryBudgetUnderThreads, KeepsTheRuleInEveryWindow) {
    using Window = RetryBudgetWindow<>;
    constexpr std::uint64_t last = 400; // buckets
    constexpr std::uint64_t reserve = 3;
    const auto rule = [](std::uint64_t retries, std::uint64_t calls) { return retries * 10 <= calls + reserve * 10; };
    Window window;
    std::atomic<std::uint64_t> clock{Window::buckets};
    std::mutex mutex;
    using Counts = std::vector<std::int64_t>; // of each bucket
    Counts calls(last + 1), retries(last + 1), grants(last + 1);
    testing::in_threads(thread_count, [&](int number) {
        std::mt19937 random{static_cast<unsigned>(number)};
        Counts own_calls(last + 1), own_retries(last + 1), own_grants(last + 1);
        std::vector<std::uint64_t> waiting;
        for (auto now = clock.load(); now < last; now = clock.load()) {
            if (random() % 200 == 0) ++clock;
            const auto choice = random() % 8;
            if (choice < 5) {
                ++own_calls[now];
                window.add_call(thread_seat() % Window::shards, now);
            } else if (choice < 7) {
                const auto granted = window.try_withdraw(now, rule);
                if (!granted) continue;
                ++own_grants[*granted];
                ++own_retries[*granted];
                if (random() % 2 == 0) waiting.push_back(*granted);
            } else if (!waiting.empty()) {
                --own_retries[waiting.back()];
                window.give_back(waiting.back());
                waiting.pop_back();
            }
            if (random() % 32 == 0) std::this_thread::yield(); // mostly between reading the clock and using it
        }
        const std::lock_guard lock{mutex};
        for (std::uint64_t bucket = 0; bucket <= last; ++bucket) {
            calls[bucket] += own_calls[bucket];
            retries[bucket] += own_retries[bucket];
            grants[bucket] += own_grants[bucket];
        }
    });

    std::uint64_t granted = 0;
    for (std::uint64_t end = Window::buckets; end <= last; ++end) {
        if (grants[end] == 0) continue; // the rule is kept whenever one is granted
        granted += static_cast<std::uint64_t>(grants[end]);
        const auto in_window = [&](const Counts& counts) {
            const auto from = counts.begin() + static_cast<std::ptrdiff_t>(end + 1 - Window::buckets);
            return static_cast<std::uint64_t>(std::accumulate(from, from + Window::buckets, std::int64_t{0}));
        };
        ASSERT_TRUE(rule(in_window(retries), in_window(calls))) << "in the window that ends with bucket " << end;
    }
    EXPECT_GT(granted, 100u);
    const auto end = last + Window::buckets;
    ASSERT_TRUE(window.try_withdraw(end, rule));
    EXPECT_EQ(window.charged(), 1u) << "everything else has left";
}

asio::awaitable<Result<int>> fails_often(std::atomic<int>& turns, int number) {
    if (++turns % 3 == number % 3) co_return 1;
    co_return Errc::connect_failed;
}

TEST(RetryUnderThreads, GivesBackWhatCancelledCallsTookAndCountsEveryEnd) {
    struct Call {
        explicit Call(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
    };
    constexpr int count = 4000;
    asio::thread_pool pool{thread_count};
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 10}};
    const MemoryAccount account{"calls", 400};
    const RetryConfig config{.max_retries = 3, .backoff_strategy = FixedInterval{20us}, .jitter = Jitter::full};
    std::atomic<std::uint64_t> tries{0};
    const RetryOptions options{
        .budget = budget, .account = account, .on_attempt = [&](const RetryAttempt&) { ++tries; }};
    RetryExecutor first{config, options};
    RetryExecutor second{config, options};
    std::atomic<int> turns{0}, values{0};
    std::atomic<bool> done{false};
    std::thread watcher{[&] {
        while (!done) {
            for (const auto* retry : {&first, &second}) {
                const auto stats = retry->get_stats();
                EXPECT_GE(stats.calls,
                          stats.succeeded_after_retry + stats.exhausted + stats.given_up + stats.cancelled);
                EXPECT_GE(stats.retries, stats.succeeded_after_retry);
            }
            std::this_thread::yield();
        }
    }};
    std::deque<Call> calls;
    for (int i = 0; i < count; ++i) {
        auto& call = calls.emplace_back(pool);
        asio::post(call.strand, [&, i] {
            auto operation = [&, i] { return fails_often(turns, i); };
            auto& retry = i % 2 ? first : second;
            asio::co_spawn(call.strand, retry.execute_with_retry(operation, {.held_bytes = 100}),
                           asio::bind_cancellation_slot(call.signal.slot(),
                                                        [&](std::exception_ptr failed, const Result<int>& result) {
                                                            EXPECT_FALSE(failed);
                                                            values += result.has_value();
                                                        }));
        });
        if (i % 3 == 0) {
            std::this_thread::yield();
            asio::post(call.strand, [&] { call.signal.emit(asio::cancellation_type::terminal); });
        }
    }
    pool.join();
    done = true;
    watcher.join();

    const auto one = first.get_stats(), other = second.get_stats();
    const auto counted = one.calls + other.calls;
    const auto used = budget.get_stats(SteadyTime{}.now());
    EXPECT_EQ(used.withdrawn - used.refunded, tries - counted) << "what was not paid back are the tries after a first";
    EXPECT_EQ(account.used(), 0u);
    EXPECT_GT(values, 0);
}

} // namespace
} // namespace velostream::retry_test
