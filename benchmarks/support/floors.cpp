// SPDX-License-Identifier: Apache-2.0
#include "support/floors.hpp"

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

#include "support/allocations.hpp"

namespace velostream::bench::floors {

namespace {

constexpr std::size_t cache_line = 64;

struct alignas(cache_line) Ring {
    std::atomic<int> open{0};
    std::mutex mutex;
    std::array<bool, 100> failed{};
    std::size_t next = 0;
    int failures = 0;

    void record(bool failure) {
        const std::scoped_lock lock{mutex};
        failures += static_cast<int>(failure) - static_cast<int>(failed[next]);
        failed[next] = failure;
        next = next + 1 == failed.size() ? 0 : next + 1;
        if (failures >= 50) open.store(1, std::memory_order_release);
    }
};

asio::awaitable<int> leaf() {
    co_return 1;
}

} // namespace

void fetch_add_pair(benchmark::State& state) {
    alignas(cache_line) std::atomic<std::uint64_t> used{0};
    for (auto _ : counted(state)) {
        benchmark::DoNotOptimize(used.fetch_add(4096, std::memory_order_relaxed));
        benchmark::DoNotOptimize(used.fetch_sub(4096, std::memory_order_relaxed));
    }
}

void cas_loop_pair(benchmark::State& state) {
    alignas(cache_line) static std::atomic<std::uint64_t> used{0};
    constexpr std::uint64_t limit = 1 << 20;
    for (auto _ : counted(state)) {
        auto seen = used.load(std::memory_order_relaxed);
        do {
            if (seen + 4096 > limit) state.SkipWithError("refused although there is room");
        } while (!used.compare_exchange_weak(seen, seen + 4096, std::memory_order_acquire, std::memory_order_relaxed));
        seen = used.load(std::memory_order_relaxed);
        while (!used.compare_exchange_weak(seen, seen - 4096, std::memory_order_release, std::memory_order_relaxed))
            continue;
    }
}

void mutex_ring_100(benchmark::State& state) {
    static Ring ring;
    std::uint32_t call = 0;
    for (auto _ : counted(state)) {
        if (ring.open.load(std::memory_order_acquire) != 0) state.SkipWithError("the ring counted failures wrongly");
        ring.record(++call % 128 == 0);
    }
}

void atomic_load(benchmark::State& state) {
    alignas(cache_line) static std::atomic<int> open{1};
    for (auto _ : counted(state)) {
        benchmark::DoNotOptimize(open.load(std::memory_order_acquire));
        benchmark::DoNotOptimize(std::chrono::steady_clock::now());
    }
}

void mutex_pair(benchmark::State& state) {
    static std::mutex mutex;
    alignas(cache_line) static int taken = 0;
    for (auto _ : counted(state)) {
        const std::scoped_lock lock{mutex};
        benchmark::DoNotOptimize(++taken);
    }
}

asio::awaitable<void> await_leaf(benchmark::State& state) {
    for (auto _ : counted(state)) {
        const int value = co_await leaf();
        benchmark::DoNotOptimize(value);
    }
}

asio::awaitable<void> co_spawn_with_slot(benchmark::State& state) {
    const auto executor = co_await asio::this_coro::executor;
    asio::cancellation_signal signal;
    for (auto _ : counted(state)) {
        auto spawn = [&](auto handler) {
            asio::co_spawn(executor, leaf(), asio::bind_cancellation_slot(signal.slot(), std::move(handler)));
        };
        auto token = asio::as_tuple(asio::deferred);
        auto spawned = asio::async_initiate<decltype(token), void(std::exception_ptr, int)>(spawn, token);
        auto [failed, value] = co_await std::move(spawned);
        benchmark::DoNotOptimize(value);
    }
}

} // namespace velostream::bench::floors
