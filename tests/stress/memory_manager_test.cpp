// SPDX-License-Identifier: Apache-2.0
// Threads that fill a process and its queries, wait for room and change the limit, while caches give back what they
// are asked for: everybody who waits is granted, and everything comes back.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "velostream/async_reserve.hpp"
#include "velostream/resource_manager.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

/// Takes whatever it gets, and gives back what it is asked for.
class GreedyCache final : public Reclaimer {
  public:
    explicit GreedyCache(const MemoryAccount& account) : held_(*account.try_reserve(0)) {}

    ReclaimKind kind() const noexcept override { return ReclaimKind::expired; }
    Bytes estimate() const noexcept override {
        const std::scoped_lock lock{mutex_};
        return held_.bytes();
    }
    asio::awaitable<void> reclaim(Bytes wanted) override {
        const std::scoped_lock lock{mutex_};
        held_.shrink(wanted);
        co_return;
    }
    void fill(Bytes bytes) {
        const std::scoped_lock lock{mutex_};
        static_cast<void>(held_.try_grow(bytes));
    }
    void clear() {
        const std::scoped_lock lock{mutex_};
        held_.release();
    }

  private:
    mutable std::mutex mutex_; // guards what follows
    MemoryReservation held_;
};

TEST(MemoryManagerStress, EverybodyWhoWaitsIsGrantedWhatCachesGiveBack) {
    constexpr int workers = 3, rounds = 1500;
    constexpr Bytes largest = 256_KiB;
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 8},
                              ResourceManagerOptions{.pressure_poll_interval = 5ms}};
    const auto query = *resources.open_query({.name = "query", .max_memory_mb = 2});
    std::vector<std::shared_ptr<GreedyCache>> caches;
    std::vector<Registration> registrations;
    for (const auto& account : {query.state(), resources.account("caches")}) {
        caches.push_back(std::make_shared<GreedyCache>(account));
        registrations.push_back(resources.add_reclaimer(io.get_executor(), account, caches.back()));
    }
    std::atomic<int> told{0}, granted{0}, asked{0};
    registrations.push_back(resources.add_pressure_listener(io.get_executor(), [&](PressureLevel) { ++told; }));
    std::vector<std::jthread> runners;
    for (int count = 0; count < 2; ++count) runners.emplace_back([&] { io.run(); });
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < workers; ++number)
            threads.emplace_back([&, number] {
                std::minstd_rand random{static_cast<unsigned>(number) + 1};
                for (int round = 0; round < rounds; ++round) {
                    const Bytes bytes = random() % largest + 1;
                    switch (random() % 6) {
                        case 0:
                        case 1:
                            caches[random() % caches.size()]->fill(4 * bytes);
                            break;
                        case 2:
                            static_cast<void>(resources.allocate_memory("sends", bytes));
                            break;
                        case 3:
                            resources.memory().set_limit(random() % 2 == 0 ? 8_MiB : 6_MiB);
                            break;
                        default:
                            ++asked;
                            async_reserve(random() % 2 == 0 ? query.state() : resources.traffic(), bytes,
                                          asio::bind_executor(io, [&](const Result<MemoryReservation>& reserved) {
                                              granted += reserved ? 1 : 0;
                                          }));
                    }
                }
            });
    }
    while (granted < asked) std::this_thread::yield(); // until the test's time is over

    EXPECT_GT(resources.get_reclaim_stats().reclaims, 0u);
    EXPECT_GT(told, 0);
    for (const auto& cache : caches) cache->clear();
    work.reset();
    io.stop();
    runners.clear();
    EXPECT_EQ(resources.memory().used(), 0u);
    EXPECT_FALSE(resources.memory().anyone_waits());
}

TEST(MemoryManagerStress, SharesAndLevelsFollowALimitThatManyChange) {
    constexpr int rounds = 400;
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = 100}};
    const auto held = resources.allocate_memory("held", 50_MiB);
    std::atomic<PressureLevel> told{PressureLevel::normal};
    const auto listening =
        resources.add_pressure_listener(io.get_executor(), [&told](PressureLevel level) { told = level; });
    std::vector<std::jthread> runners;
    for (int count = 0; count < 2; ++count) runners.emplace_back([&] { io.run(); });
    std::vector<QueryScope> queries[2];
    {
        std::vector<std::jthread> threads;
        for (unsigned number = 0; number < 2; ++number) {
            threads.emplace_back([&, number] {
                std::minstd_rand random{number + 1};
                for (int round = 0; round < rounds; ++round) resources.memory().set_limit((random() % 5 + 2) * 30_MiB);
            });
            threads.emplace_back([&, number] {
                std::minstd_rand random{number + 10};
                auto& mine = queries[number];
                for (int round = 0; round < rounds; ++round) {
                    QueryLimits limits;
                    if (random() % 2 == 0) limits.max_memory_mb = 20;
                    if (auto query = resources.open_query(limits)) mine.push_back(std::move(*query));
                    if (mine.size() > 8) mine.erase(mine.begin());
                    const auto listens_a_moment = resources.add_pressure_listener(io.get_executor(), [](auto) {});
                    static_cast<void>(resources.allocate_memory("sends", random() % 1000));
                    if (random() % 16 == 0) static_cast<void>(resources.get_memory_stats());
                }
            });
        }
    }
    resources.memory().set_limit(40_MiB);

    for (const auto& mine : queries) {
        for (const auto& query : mine) {
            const auto most = query.memory().limit().value_or(40_MiB);
            EXPECT_EQ(query.state().limit(), most / 4 * 3);
            EXPECT_EQ(query.traffic().limit(), most / 4);
        }
    }
    EXPECT_EQ(resources.state().limit(), 30_MiB);
    while (told != PressureLevel::critical) std::this_thread::yield(); // until the test's time is over
    EXPECT_EQ(resources.pressure(), PressureLevel::critical);
    work.reset();
    io.stop();
}

} // namespace
} // namespace velostream
