// SPDX-License-Identifier: Apache-2.0
// Keyed circuit breakers under several threads that call few keys of many, so that entries come, go and make place.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "support/flapping_breakers.hpp"
#include "support/in_threads.hpp"
#include "velostream/keyed_circuit_breakers.hpp"

namespace velostream::keyed_breakers_test {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

TEST(KeyedBreakersUnderThreads, TellEveryTransitionOfAKeyOnceAndInOrderWhileEntriesComeAndGo) {
    constexpr int keys = 100;
    constexpr std::size_t places = 130; // two shards
    const MemoryAccount account{"keyed"};
    KeyedCircuitBreakers<int> breakers{
        "stress",
        {.breaker = {.failure_threshold = 3, .success_threshold = 2, .timeout = 10us, .sliding_window_size = 6},
         .max_keys = places},
        nullptr,
        {},
        {},
        account};
    testing::ToldTransitions told;
    breakers.on_state_change(std::ref(told));
    testing::in_threads(thread_count, [&](int seed) {
        std::mt19937 random{static_cast<unsigned>(seed)};
        for (int i = 0; i < 50'000; ++i) {
            auto permit = breakers.try_acquire(static_cast<int>(random() % keys));
            const auto choice = random() % 8;
            if (permit && choice < 3) permit->failure(Errc::connect_failed);
            if (permit && choice > 3) permit->success();
            if (random() % 1000 == 0) breakers.reset(static_cast<int>(random() % keys));
            if (random() % 100 == 0) {
                EXPECT_LE(breakers.get_stats().keys, places + thread_count);
            }
        }
    });

    const auto stats = breakers.get_stats();
    EXPECT_EQ(stats.not_closed, told.not_closed());
    EXPECT_EQ(stats.opened_count, told.opened);
    EXPECT_EQ(stats.untracked, 0u) << "there are places enough";
    EXPECT_GT(told.opened, 1000u);

    for (int key = 0; key < keys; ++key) breakers.reset(key);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_EQ(breakers.get_stats().not_closed, 0u);
}

TEST(KeyedBreakersUnderThreads, HoldNoMoreKeysThanTheyMayAndCountWhatTheyCannotHold) {
    constexpr std::size_t places = 128;
    KeyedCircuitBreakers<int> breakers{"stress", {.breaker = {.failure_threshold = 100}, .max_keys = places}};
    std::atomic<std::uint64_t> failed{0};
    testing::in_threads(thread_count, [&](int thread) {
        for (int i = 0; i < 5000; ++i) {
            breakers.try_acquire(thread * 5000 + i)->failure(Errc::connect_failed);
            ++failed;
        }
    });

    const auto stats = breakers.get_stats();
    EXPECT_LE(stats.keys, places);
    EXPECT_EQ(stats.evicted, 0u) << "none is pristine";
    EXPECT_EQ(stats.keys + stats.untracked, failed);
}

TEST(KeyedBreakersUnderThreads, FlapUnderEveryConfigurationWithoutForgettingATransition) {
    constexpr int keys = 50;
    KeyedCircuitBreakers<int> breakers{
        "stress", {.breaker = {.failure_threshold = 3, .success_threshold = 2, .timeout = 10us}, .max_keys = 130}};
    testing::ToldTransitions told;
    breakers.on_state_change(std::ref(told));
    testing::in_threads(thread_count, [&](int seed) {
        std::mt19937 random{static_cast<unsigned>(seed)};
        for (int i = 0; i < 20'000 || told.opened <= 50; ++i) { // threads may hardly meet on a busy machine
            const auto key = static_cast<int>(random() % keys);
            auto permit = breakers.try_acquire(key);
            const auto choice = random() % 5;
            if (permit && choice == 0) permit->failure(Errc::connect_failed);
            if (permit && choice > 1) permit->success();
            if (random() % 50 == 0) breakers.why_open(key);
            if (random() % 200 != 0) continue;
            breakers.reconfigure(testing::flapping_config(random));
        }
    });

    EXPECT_EQ(breakers.get_stats().opened_count, told.opened);
    for (int key = 0; key < keys; ++key) breakers.reset(key);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_EQ(breakers.get_stats().not_closed, 0u);
}

TEST(KeyedBreakersUnderThreads, AnotherConfigurationReachesEveryKeyAndLosesNoOutcomeThatFitsIntoItsWindow) {
    constexpr int keys = 1000;
    constexpr std::size_t many = 1'000'000, enough = 2000;
    constexpr CircuitBreakerConfig counted{.failure_threshold = many, .sliding_window_size = many};
    constexpr CircuitBreakerConfig timed{.failure_threshold = many, .sliding_window_duration = 1h};
    KeyedCircuitBreakers<int> breakers{"stress", {.breaker = counted, .max_keys = 2 * keys}};
    std::atomic<bool> is_done{false};
    std::atomic<std::size_t> calls{0};
    std::array<std::atomic<std::size_t>, keys> failures{};
    testing::in_threads(thread_count, [&](int thread) {
        std::mt19937 random{static_cast<unsigned>(thread)};
        if (thread == 0) {
            for (int i = 0; i < 30 || calls <= enough; ++i) {
                breakers.reconfigure(i % 2 ? counted : timed);
                std::this_thread::yield();
            }
            is_done = true;
            return;
        }
        while (!is_done) { // entries come and buckets grow meanwhile
            const auto key = random() % keys;
            breakers.try_acquire(static_cast<int>(key))->failure(Errc::connect_failed);
            ++failures[key];
            ++calls;
        }
    });
    breakers.reconfigure({.failure_threshold = many, .sliding_window_duration = 2h});

    for (int key = 0; key < keys; ++key) {
        const auto stats = breakers.get_stats(key);
        ASSERT_EQ(stats.failure_count, failures[static_cast<std::size_t>(key)]) << key;
        ASSERT_EQ(stats.window_duration, 2h);
    }
    EXPECT_EQ(breakers.get_stats().untracked, 0u);
}

TEST(KeyedBreakersUnderThreads, EveryWaiterOfEveryKeyBecomesReadyWhileTheCircuitsFlap) {
    asio::thread_pool pool{thread_count};
    KeyedCircuitBreakers<int> breakers{
        "stress", {.breaker = {.failure_threshold = 2, .success_threshold = 2, .timeout = 200us}, .max_keys = 64}};
    constexpr int callers = 32, calls = 60;
    std::atomic<int> done{0};
    auto caller = [&](unsigned number) -> asio::awaitable<void> {
        std::mt19937 random{number};
        const auto key = static_cast<int>(number % 4);
        for (int i = 0; i < calls; ++i) {
            auto fails_often = [&]() -> asio::awaitable<Result<int>> {
                if (random() % 3 == 0) co_return Errc::connect_failed;
                co_return 1;
            };
            for (;;) {
                co_await breakers.async_ready(key, asio::deferred);
                auto result = co_await breakers.execute(key, fails_often);
                if (result || result.error() != Errc::circuit_open) break;
            }
        }
        ++done;
    };
    for (unsigned i = 0; i < callers; ++i) asio::co_spawn(pool, caller(i), asio::detached);
    pool.join(); // hangs if a waiter is forgotten

    EXPECT_EQ(done, callers);
    for (int key = 0; key < 4; ++key) breakers.reset(key);
    EXPECT_EQ(breakers.get_stats().keys, 0u) << "an entry is held for nobody";
}

// Waiters that come, are cancelled and become ready, while their keys open, close and get other rules; at last the
// breakers go with those who still wait.
TEST(KeyedBreakersUnderThreads, EveryWaiterEndsOnceWhoeverIsCancelledAndNothingIsHeldAfterwards) {
    struct Waiter {
        explicit Waiter(asio::thread_pool& pool) : strand(asio::make_strand(pool)) {}
        asio::strand<asio::thread_pool::executor_type> strand; // a signal belongs to one thread at a time
        asio::cancellation_signal signal;
        std::atomic<int> ends{0};
    };
    constexpr int count = 4000, keys = 8;
    const MemoryAccount account{"keyed"};
    asio::thread_pool pool{thread_count}; // outlives their strands
    std::deque<Waiter> waiters;
    std::optional<KeyedCircuitBreakers<int>> breakers;
    breakers.emplace("stress",
                     KeyedCircuitBreakersConfig{
                         .breaker = {.failure_threshold = 1, .success_threshold = 1, .timeout = 50us}, .max_keys = 64},
                     nullptr, SteadyTime{}, CallClassifier{}, account);
    const auto empty = account.used();
    std::atomic<int> ready{0}, aborted{0}, to_do{0};
    const auto post = [&](auto& executor, auto task) {
        ++to_do;
        asio::post(executor, [&to_do, task] {
            task();
            --to_do;
        });
    };
    for (int i = 0; i < count; ++i) {
        auto& waiter = waiters.emplace_back(pool);
        const int key = i % keys;
        post(pool, [&, key] {
            if (auto permit = breakers->try_acquire(key)) permit->failure(Errc::connect_failed);
        });
        post(waiter.strand, [&, key] {
            breakers->async_ready(
                key,
                asio::bind_executor(waiter.strand, asio::bind_cancellation_slot(
                                                       waiter.signal.slot(), [&waiter, &ready, &aborted](auto code) {
                                                           EXPECT_TRUE(!code || code == asio::error::operation_aborted);
                                                           ++waiter.ends;
                                                           ++(code ? aborted : ready);
                                                       })));
        });
        if (i % 3 == 0) post(waiter.strand, [&waiter] { waiter.signal.emit(asio::cancellation_type::terminal); });
        if (i % 7 == 0) post(pool, [&, key] { breakers->reset(key); });
        if (i % 101 == 0)
            post(pool, [&, i] {
                breakers->reconfigure({.failure_threshold = 1,
                                       .success_threshold = 1 + static_cast<std::size_t>(i) % 3,
                                       .timeout = 50us});
            });
    }
    while (to_do > 0) std::this_thread::yield(); // all of them wait by then, or have ended
    breakers.reset();
    pool.join();

    EXPECT_EQ(ready + aborted, count);
    for (const auto& waiter : waiters) ASSERT_EQ(waiter.ends, 1);
    EXPECT_GT(ready, 0);
    EXPECT_GT(empty, 0u);
    EXPECT_EQ(account.used(), 0u);
}

} // namespace
} // namespace velostream::keyed_breakers_test
