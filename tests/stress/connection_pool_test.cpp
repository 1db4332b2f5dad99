// SPDX-License-Identifier: Apache-2.0
// A connection pool on several threads: never too many connections, nobody has that of another, every waiter has his
// turn in the order of arrival, and nothing is left at the end.
#include "velostream/connection_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "connection_pool_borrower.hpp"
#include "support/counted_connections.hpp"
#include "support/in_threads.hpp"

namespace velostream::connection_pool_test {
namespace {

using namespace std::chrono_literals;
using testing::CountedConnections;

constexpr int thread_count = 4;

// The first of all borrowers, who has it until it is reset.
std::optional<Lease> borrow_first(asio::thread_pool& threads, Pool& pool) {
    std::optional<Lease> first;
    std::atomic<bool> is_lent{false};
    pool.async_acquire(asio::bind_executor(threads, [&](Result<Lease> lease) {
        first.emplace(std::move(*lease));
        is_lent = true;
        is_lent.notify_all();
    }));
    is_lent.wait(false);
    return first;
}

void drain(asio::thread_pool& threads, Pool& pool) {
    auto drained = [](const std::exception_ptr& thrown, const Result<void>& result) {
        EXPECT_FALSE(thrown);
        EXPECT_TRUE(result);
    };
    asio::co_spawn(threads, pool.close(1min), drained);
}

void expect_nothing_left(const Pool& pool, const CountedConnections& server) {
    const auto stats = pool.get_stats();
    EXPECT_EQ(stats.total, 0u);
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_EQ(server.existing(), 0);
    EXPECT_FALSE(server.was_shared());
}

// 64 borrowers, 8 connections, 4 threads.
TEST(ConnectionPoolUnderThreads, NothingIsLostWhateverBorrowersAndServerDo) {
    constexpr int borrowers = 64, rounds = 60;
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    server.fail_every(40, 30, 50);
    const MemoryAccount places{"places", 8}, memory{"memory"};
    auto config = patient(8);
    config.validation_window = 20us;
    config.connection_memory = 1000;
    Pool pool{threads.get_executor(), config, server, {.places = places, .memory = memory}};
    std::atomic<int> done{0};
    std::deque<Borrower> all;
    auto goes_on = [&](Borrower& borrower) {
        if (borrower.asked < rounds) return true;
        if (++done == borrowers) drain(threads, pool);
        return false;
    };
    const Habits habits{.breaks = 12, .detaches = 40, .cancels = 5, .looks_only = 9};
    for (int i = 0; i < borrowers; ++i)
        all.emplace_back(threads.get_executor(), pool, habits, static_cast<unsigned>(i + 1), goes_on);
    for (auto& borrower : all) borrower.start();
    threads.join(); // hangs if a hand-over is lost

    EXPECT_EQ(done, borrowers);
    EXPECT_LE(server.most(), 8);
    std::uint64_t served = 0, cancelled = 0;
    for (const auto& borrower : all) {
        EXPECT_EQ(borrower.served + borrower.cancelled + borrower.refused, rounds);
        EXPECT_EQ(borrower.others, 0);
        served += static_cast<std::uint64_t>(borrower.served);
        cancelled += static_cast<std::uint64_t>(borrower.cancelled);
    }
    const auto stats = pool.get_stats();
    EXPECT_GE(stats.lent_at_once + stats.lent_waited, served); // more: to who was cancelled meanwhile
    EXPECT_LE(stats.cancelled, cancelled);
    EXPECT_EQ(stats.timed_out, 0u);
    expect_nothing_left(pool, server);
    EXPECT_EQ(places.used(), 0u);
    EXPECT_EQ(memory.used(), 0u);
}

// Each of them gets the one connection there is when the one before him has given it back, so the log is the order.
TEST(ConnectionPoolUnderThreads, AThousandWaitersOfWhomAThirdIsCancelledAreServedInTheOrderOfArrival) {
    constexpr int waiters = 1000;
    struct Waiter {
        explicit Waiter(asio::thread_pool& threads) : strand(asio::make_strand(threads)) {}
        asio::strand<asio::thread_pool::executor_type> strand;
        asio::cancellation_signal signal; // used on the strand
    };
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    Pool pool{threads.get_executor(), patient(1), server};
    std::vector<int> log;
    std::atomic<int> cancelled{0}, ended{0};
    auto first = borrow_first(threads, pool);

    std::deque<Waiter> all;
    for (int number = 0; number < waiters; ++number) {
        auto& waiter = all.emplace_back(threads);
        std::atomic<bool> has_come{false};
        asio::post(waiter.strand, [&, number] {
            auto answered = [&, number](Result<Lease> lease) {
                if (lease) {
                    const auto in_use = lease.value()->use();
                    log.push_back(number);
                } else {
                    EXPECT_EQ(lease.error(), Errc::cancelled);
                    ++cancelled;
                }
                if (++ended == waiters) drain(threads, pool);
            };
            pool.async_acquire(
                asio::bind_executor(waiter.strand, asio::bind_cancellation_slot(waiter.signal.slot(), answered)));
            has_come = true;
            has_come.notify_all();
        });
        has_come.wait(false);
    }
    ASSERT_EQ(pool.get_stats().waiting, static_cast<std::size_t>(waiters));
    std::minstd_rand random{7};
    for (auto& waiter : all) {
        if (random() % 10 >= 3) continue;
        asio::post(waiter.strand, [&waiter] { waiter.signal.emit(asio::cancellation_type::terminal); });
        if (&waiter == &all[waiters / 4]) first.reset(); // from here on both at once
    }
    first.reset();
    threads.join();

    EXPECT_TRUE(std::ranges::is_sorted(log));
    EXPECT_EQ(static_cast<int>(log.size()) + cancelled, waiters);
    EXPECT_GT(cancelled, waiters / 10);
    EXPECT_LT(cancelled, waiters / 2);
    expect_nothing_left(pool, server);
}

TEST(ConnectionPoolUnderThreads, AFloodOfNewcomersNeverOvertakesAWaiter) {
    constexpr int waiters = 2000, newcomers = 5000;
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    server.take(0);
    Pool pool{threads.get_executor(), patient(1), server};
    std::atomic<int> granted{0};
    std::atomic<bool> overtaken{false};
    auto first = borrow_first(threads, pool);
    for (int i = 0; i < waiters; ++i)
        pool.async_acquire(asio::bind_executor(threads, [&, i](Result<Lease> lease) {
            if (granted++ != i) overtaken = true;
            if (i % 3 == 0) lease->mark_broken();
            if (i % 3 == 1) static_cast<void>(**lease);
        }));
    std::thread flood{[&] {
        const auto come = [&](bool has_connection) {
            if (has_connection && granted < waiters) overtaken = true;
        };
        for (int left = newcomers; granted < waiters; --left) {
            come(pool.try_get_connection().has_value());
            if (left > 0)
                pool.async_acquire(
                    asio::bind_executor(threads, [come](const Result<Lease>& lease) { come(lease.has_value()); }));
        }
        drain(threads, pool);
    }};
    first.reset();
    flood.join();
    threads.join();

    EXPECT_FALSE(overtaken);
    expect_nothing_left(pool, server);
}

TEST(ConnectionPoolUnderThreads, NoBorrowerStarves) {
    constexpr int borrowers = 64, turns = 6400;
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    Pool pool{threads.get_executor(), patient(8), server};
    std::atomic<int> left{turns}, going{borrowers};
    std::deque<Borrower> all;
    auto goes_on = [&](Borrower&) {
        if (left-- > 0) return true;
        if (--going == 0) drain(threads, pool);
        return false;
    };
    for (int i = 0; i < borrowers; ++i)
        all.emplace_back(threads.get_executor(), pool, Habits{}, static_cast<unsigned>(i + 1), goes_on);
    for (auto& borrower : all) borrower.start();
    threads.join();

    // How soon each comes again is up to the threads, which may be kept from running: so not much is asked of it.
    EXPECT_GE(std::ranges::min_element(all, {}, &Borrower::served)->served, turns / borrowers / 10);
    expect_nothing_left(pool, server);
}

TEST(ConnectionPoolUnderThreads, PoolsThatShareTheirPlacesServeAllTheirBorrowers) {
    constexpr int pools = 4, borrowers_each = 12, rounds = 40, places_there = 5;
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    const MemoryAccount places{"places", places_there}, memory{"memory"};
    auto config = patient(4);
    config.connection_memory = 1000;
    std::deque<Pool> all_pools;
    for (int i = 0; i < pools; ++i)
        all_pools.emplace_back(threads.get_executor(), config, server,
                               ConnectionPoolOptions{.places = places.child("pool"), .memory = memory.child("pool")});
    std::atomic<int> going{pools * borrowers_each};
    std::deque<Borrower> all;
    auto goes_on = [&](Borrower& borrower) {
        if (borrower.asked < rounds) return true;
        if (--going == 0)
            for (auto& pool : all_pools) drain(threads, pool);
        return false;
    };
    const Habits habits{.breaks = 10, .detaches = 50, .cancels = 7, .looks_only = 20};
    for (int i = 0; i < pools * borrowers_each; ++i)
        all.emplace_back(threads.get_executor(), all_pools[static_cast<std::size_t>(i % pools)], habits,
                         static_cast<unsigned>(i + 1), goes_on);
    for (auto& borrower : all) borrower.start();
    threads.join(); // hangs if a place is lost

    EXPECT_LE(server.most(), places_there);
    for (const auto& borrower : all) EXPECT_EQ(borrower.served + borrower.cancelled, rounds);
    for (const auto& pool : all_pools) expect_nothing_left(pool, server);
    EXPECT_EQ(places.used(), 0u);
    EXPECT_EQ(memory.used(), 0u);
}

TEST(ConnectionPoolUnderThreads, ItsSizeMayChangeWhileBorrowersComeAndGo) {
    constexpr int borrowers = 24, rounds = 80, most = 8;
    asio::thread_pool threads{thread_count};
    CountedConnections server;
    auto config = patient(most);
    config.connect_limit = 1;
    Pool pool{threads.get_executor(), config, server};
    std::atomic<int> going{borrowers};
    std::deque<Borrower> all;
    auto goes_on = [&](Borrower& borrower) {
        if (borrower.asked % 4 == 0) pool.resize(static_cast<std::size_t>(1 + (borrower.asked / 4) % most));
        if (borrower.asked < rounds) return true;
        if (--going == 0) drain(threads, pool);
        return false;
    };
    for (int i = 0; i < borrowers; ++i)
        all.emplace_back(threads.get_executor(), pool, Habits{.breaks = 20, .cancels = 9}, static_cast<unsigned>(i + 1),
                         goes_on);
    for (auto& borrower : all) borrower.start();
    threads.join();

    EXPECT_EQ(going, 0);
    EXPECT_LE(server.most(), most);
    expect_nothing_left(pool, server);
}

TEST(ConnectionPoolUnderThreads, MayBeClosedAtAnyMoment) {
    constexpr int borrowers = 12;
    for (int round = 0; round < 60; ++round) {
        asio::thread_pool threads{thread_count};
        CountedConnections server;
        server.take(1 + round % 3);
        const MemoryAccount places{"places", 3};
        auto config = patient(4);
        config.min_idle = static_cast<std::size_t>(round % 3);
        std::optional<Pool> pool;
        pool.emplace(threads.get_executor(), config, server, ConnectionPoolOptions{.places = places});
        std::deque<Borrower> all;
        auto goes_on = [](Borrower& borrower) { return borrower.closed == 0; };
        for (int i = 0; i < borrowers; ++i)
            all.emplace_back(threads.get_executor(), *pool, Habits{.breaks = 3, .cancels = 5},
                             static_cast<unsigned>(round * borrowers + i + 1), goes_on);
        for (auto& borrower : all) borrower.start();
        for (int pause = 0; pause < 3 * round; ++pause) std::this_thread::yield();
        pool->close();
        threads.join();

        expect_nothing_left(*pool, server);
        EXPECT_LE(server.most(), 3);
        EXPECT_EQ(places.used(), 0u);
    }
}

// Connects are given up while they begin and while they end.
TEST(ConnectionPoolUnderThreads, AConnectMayBeGivenUpAtAnyMoment) {
    for (int round = 0; round < 400; ++round) {
        asio::thread_pool threads{thread_count};
        CountedConnections server;
        server.take(round % 4);
        auto config = patient(4);
        config.min_idle = 4;
        Pool pool{threads.get_executor(), config, server};
        for (int pause = 0; pause < round % 50; ++pause) std::this_thread::yield();
        pool.close();
        threads.join();

        expect_nothing_left(pool, server);
    }
}

TEST(ConnectionPoolUnderThreads, BorrowersMayGoWithTheirContextsAtAnyMoment) {
    constexpr int borrowers = 8;
    for (int round = 0; round < 20; ++round) {
        asio::thread_pool threads{2};
        CountedConnections server;
        Pool pool{threads.get_executor(), patient(2), server};
        std::deque<Borrower> stay;
        std::atomic<int> going{borrowers};
        auto goes_on = [&](Borrower& borrower) {
            if (borrower.asked < 40) return true;
            if (--going == 0) drain(threads, pool);
            return false;
        };
        for (int i = 0; i < borrowers; ++i)
            stay.emplace_back(threads.get_executor(), pool, Habits{.breaks = 9, .cancels = 5},
                              static_cast<unsigned>(i + 1), goes_on);
        for (auto& borrower : stay) borrower.start();
        std::deque<Borrower> leave;
        {
            asio::thread_pool ending{2};
            for (int i = 0; i < borrowers; ++i)
                leave.emplace_back(ending.get_executor(), pool, Habits{.breaks = 9, .cancels = 5},
                                   static_cast<unsigned>(round + i + 1), [](Borrower&) { return true; });
            for (auto& borrower : leave) borrower.start();
            for (int pause = 0; pause < 15 * round; ++pause) std::this_thread::yield();
            ending.stop();
            ending.join();
            for (auto& borrower : leave) borrower.leave_context();
        } // with all who wait, all leases, and all hand-overs that are on their way
        threads.join();

        EXPECT_EQ(going, 0);
        expect_nothing_left(pool, server);
    }
}

TEST(ConnectionPoolUnderThreads, LeasesMayOutliveThePoolAndItsContextAndComeBackOnAnyThread) {
    for (int round = 0; round < 60; ++round) {
        CountedConnections server;
        const MemoryAccount places{"places", 8};
        std::vector<Lease> kept;
        {
            asio::thread_pool threads{2};
            Pool pool{threads.get_executor(), patient(8), server, {.places = places}};
            std::mutex mutex; // guards kept
            for (int i = 0; i < 8; ++i)
                pool.async_acquire(asio::bind_executor(threads, [&](Result<Lease> lease) {
                    const std::lock_guard lock{mutex};
                    kept.push_back(std::move(*lease));
                }));
            threads.join();
        }
        ASSERT_EQ(kept.size(), 8u);
        EXPECT_EQ(server.existing(), 8);
        testing::in_threads(thread_count, [&](int number) {
            const auto first = static_cast<std::size_t>(2 * number);
            static_cast<void>(*kept[first]);
            kept[first].give_back();
            if (number % 2 == 0)
                kept[first + 1].mark_broken();
            else
                static_cast<void>(kept[first + 1].detach());
            kept[first + 1].give_back();
        });

        EXPECT_EQ(server.existing(), 0);
        EXPECT_EQ(places.used(), 0u);
    }
}

// Leases come back while the context of the pool ends.
TEST(ConnectionPoolUnderThreads, ItsContextMayEndWhileLeasesComeBack) {
    for (int round = 0; round < 100; ++round) {
        CountedConnections server;
        std::array<std::optional<Lease>, 4> kept;
        std::optional<asio::thread_pool> threads{std::in_place, 2};
        std::atomic<int> lent{0};
        std::optional<Pool> pool;
        pool.emplace(threads->get_executor(), patient(4), server);
        for (auto& lease : kept)
            pool->async_acquire(asio::bind_executor(*threads, [&](Result<Lease> borrowed) {
                lease.emplace(std::move(*borrowed));
                ++lent;
                lent.notify_all();
            }));
        for (int seen = 0; (seen = lent) < 4;) lent.wait(seen);
        pool.reset();
        std::thread back{[&] {
            for (auto& lease : kept) {
                static_cast<void>(**lease);
                lease.reset();
            }
        }};
        for (int pause = 0; pause < round % 10; ++pause) std::this_thread::yield();
        threads.reset();
        back.join();

        EXPECT_EQ(server.existing(), 0);
    }
}

} // namespace
} // namespace velostream::connection_pool_test
