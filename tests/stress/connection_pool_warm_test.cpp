// SPDX-License-Identifier: Apache-2.0
// Connections that go from hand to hand without the lock of their pool, while others wait, look, resize and close.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "support/counted_connections.hpp"
#include "support/in_threads.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// What it opens needs no reset.
struct CleanConnections : testing::CountedConnections {
    bool needs_reset(const Connection&) const noexcept { return false; }
};
using CleanPool = ConnectionPool<CleanConnections>;
using CleanLease = CleanPool::Lease;

constexpr int thread_count = 4;

ConnectionPoolConfig patient(std::size_t max_size) {
    return {.max_size = max_size,
            .min_idle = 0,
            .connection_timeout = 10min,
            .idle_timeout = std::nullopt,
            .max_lifetime = std::nullopt,
            .max_waiters = 0};
}

void open_all(asio::thread_pool& threads, CleanPool& pool, std::size_t count) {
    std::vector<CleanLease> leases(count);
    std::atomic<std::size_t> lent{0};
    for (auto& lease : leases)
        pool.async_acquire(asio::bind_executor(threads, [&](Result<CleanLease> borrowed) {
            lease = std::move(*borrowed);
            ++lent;
            lent.notify_all();
        }));
    for (std::size_t seen = 0; (seen = lent) < count;) lent.wait(seen);
}

// Borrows what is ready, or waits for it.
class Client {
  public:
    Client(asio::thread_pool& threads, CleanPool& pool) : threads_(threads), pool_(pool) {}

    void borrow_at_once() {
        const auto lease = pool_.try_get_connection();
        if (lease) use(*lease);
    }
    void borrow() {
        std::atomic<bool> is_served{false};
        pool_.async_acquire(asio::bind_executor(threads_, [&](Result<CleanLease> lease) {
            if (lease)
                use(*lease);
            else
                ++refused;
            lease = Error{Errc::cancelled}; // it has gone back before he goes on
            is_served = true;
            is_served.notify_all();
        }));
        is_served.wait(false);
    }

    std::uint64_t served = 0, refused = 0;

  private:
    void use(const CleanLease& lease) {
        const auto in_use = lease->use();
        ++served;
    }

    asio::thread_pool& threads_;
    CleanPool& pool_;
};

TEST(WarmConnectionsUnderThreads, NobodyHasThatOfAnotherAndEveryLoanIsCounted) {
    constexpr int rounds = 20'000;
    constexpr std::size_t connections = 2;
    asio::thread_pool threads{1};
    const auto work = asio::make_work_guard(threads);
    CleanConnections server;
    CleanPool pool{threads.get_executor(), patient(connections), server};
    open_all(threads, pool, connections);
    std::atomic<std::uint64_t> served{0};
    std::atomic<bool> is_over{false};
    std::thread looks{[&] {
        while (!is_over) {
            const auto stats = pool.get_stats();
            EXPECT_EQ(stats.active + stats.idle + stats.connecting, stats.total);
            EXPECT_LE(stats.total, connections);
        }
    }};

    testing::in_threads(thread_count, [&](int) {
        Client client{threads, pool};
        for (int round = 0; round < rounds; ++round) client.borrow_at_once();
        served += client.served;
    });
    is_over = true;
    looks.join();

    EXPECT_FALSE(server.was_shared());
    EXPECT_EQ(pool.get_stats().lent_at_once, served);
    EXPECT_EQ(pool.get_stats().idle, connections);
}

TEST(WarmConnectionsUnderThreads, EverybodyWhoWaitsBesideThoseWhoDoNotIsServed) {
    constexpr int rounds = 3'000;
    asio::thread_pool threads{2};
    const auto work = asio::make_work_guard(threads);
    CleanConnections server;
    CleanPool pool{threads.get_executor(), patient(1), server};
    open_all(threads, pool, 1);
    std::atomic<std::uint64_t> served{0};

    testing::in_threads(thread_count, [&](int number) {
        Client client{threads, pool};
        for (int round = 0; round < rounds; ++round)
            if (number % 2 == 0)
                client.borrow(); // hangs if one lies there beside him
            else
                client.borrow_at_once();
        if (number % 2 == 0) {
            EXPECT_EQ(client.served, static_cast<std::uint64_t>(rounds));
        }
        served += client.served;
    });

    EXPECT_FALSE(server.was_shared());
    const auto stats = pool.get_stats();
    EXPECT_EQ(stats.lent_at_once + stats.lent_waited, served + 1);
    EXPECT_EQ(stats.waiting, 0u);
}

TEST(WarmConnectionsUnderThreads, TheSizeMayChangeAndThePoolEndAtAnyMoment) {
    constexpr int most = 3;
    for (int round = 0; round < 40; ++round) {
        asio::thread_pool threads{2};
        auto work = asio::make_work_guard(threads);
        CleanConnections server;
        const MemoryAccount places{"places", most};
        CleanPool pool{threads.get_executor(), patient(most), server, {.places = places}};
        open_all(threads, pool, static_cast<std::size_t>(most));

        testing::in_threads(thread_count, [&](int number) {
            Client client{threads, pool};
            if (number == 0) {
                for (int turn = 0; turn < 50 + round; ++turn) pool.resize(static_cast<std::size_t>(1 + turn % most));
                return pool.close();
            }
            while (client.refused == 0)
                for (int loans = 0; loans < 20; ++loans) {
                    client.borrow_at_once();
                    if (loans == number) client.borrow();
                }
        });
        work.reset();
        threads.join();

        EXPECT_EQ(pool.get_stats().total, 0u);
        EXPECT_EQ(server.existing(), 0);
        EXPECT_LE(server.most(), most);
        EXPECT_FALSE(server.was_shared());
        EXPECT_EQ(places.used(), 0u);
    }
}

TEST(WarmConnectionsUnderThreads, PoolsThatShareAPlaceTakeItFromEachOther) {
    constexpr int rounds = 150;
    asio::thread_pool threads{2};
    auto work = asio::make_work_guard(threads);
    CleanConnections server;
    const MemoryAccount places{"places", 1};
    CleanPool one{threads.get_executor(), patient(1), server, {.places = places.child("one")}};
    CleanPool other{threads.get_executor(), patient(1), server, {.places = places.child("other")}};

    testing::in_threads(thread_count, [&](int number) {
        Client client{threads, number % 2 == 0 ? one : other};
        for (int round = 0; round < rounds; ++round) {
            client.borrow(); // hangs if the other keeps one that nobody uses
            client.borrow_at_once();
        }
        EXPECT_EQ(client.refused, 0u);
    });
    one.close();
    other.close();
    work.reset();
    threads.join();

    EXPECT_EQ(server.most(), 1);
    EXPECT_FALSE(server.was_shared());
    EXPECT_EQ(places.used(), 0u);
}

} // namespace
} // namespace velostream
