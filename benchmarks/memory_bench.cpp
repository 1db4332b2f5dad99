// SPDX-License-Identifier: Apache-2.0
// What it costs to hold memory: a reservation of 4 KiB in an operator's account, three levels deep, with a limit on
// every level. Threads of a row share the account.
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <mutex>
#include <utility>

#include "support/allocations.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream::bench {

namespace {

constexpr Bytes size = 4096;
constexpr Bytes limit = Bytes{1} << 30;

void reserve(benchmark::State& state, const MemoryAccount& account) {
    for (auto _ : counted(state)) {
        auto reservation = account.try_reserve(size);
        if (!reservation) state.SkipWithError("refused although there is room");
    }
}

void reserve_release(benchmark::State& state) {
    static const MemoryAccount process{"process", limit};
    static const MemoryAccount query = process.child("query", limit / 2);
    static const MemoryAccount account = query.child("operator", limit / 4);
    reserve(state, account);
}

// 95 % of the process' limit is in use elsewhere, and what threads cache is a part of the rest.
void reserve_near_limit(benchmark::State& state) {
    static const MemoryAccount process{"process", limit};
    static const MemoryAccount query = process.child("query", limit);
    static const MemoryAccount account = query.child("operator", limit);
    static const auto other = process.child("other");
    static const auto held = other.try_reserve(limit / 20 * 19);
    reserve(state, account);
}

// 95 % of a limit so small that nothing can be cached below it: every reservation goes through the tree.
void reserve_near_small_limit(benchmark::State& state) {
    static const MemoryAccount process{"process", 100 * size};
    static const MemoryAccount query = process.child("query", 100 * size);
    static const MemoryAccount account = query.child("operator", 100 * size);
    static const auto other = process.child("other");
    static const auto held = other.try_reserve(95 * size);
    reserve(state, account);
}

constexpr std::size_t levels = 3;

// Three levels, each with its limit, under one mutex.
void mutex_tree(benchmark::State& state) {
    static std::mutex mutex;
    static std::array<std::uint64_t, levels> used{};
    for (auto _ : counted(state)) {
        {
            const std::scoped_lock lock{mutex};
            for (const auto level : used) {
                if (level + size > limit) state.SkipWithError("refused although there is room");
            }
            for (auto& level : used) level += size;
        }
        const std::scoped_lock lock{mutex};
        for (auto& level : used) level -= size;
    }
}

// Three levels, each with its limit, by one compare-and-swap loop a level. (It refuses what would fit while another
// thread is about to undo what it added further down.)
void cas_tree(benchmark::State& state) {
    struct alignas(64) Level {
        std::atomic<std::uint64_t> used{0};
    };
    static std::array<Level, levels> tree;
    for (auto _ : counted(state)) {
        for (auto& level : tree) {
            auto used = level.used.load(std::memory_order_relaxed);
            do {
                if (used + size > limit) state.SkipWithError("refused although there is room");
            } while (!level.used.compare_exchange_weak(used, used + size, std::memory_order_acquire));
        }
        for (auto& level : tree) level.used.fetch_sub(size, std::memory_order_release);
    }
}

// A counter of the thread's own with 4 MiB of slack, flushed to a shared one: cheap, and neither strict nor exact.
void thread_local_counter(benchmark::State& state) {
    constexpr std::int64_t slack = 4 << 20;
    static std::atomic<std::int64_t> shared{0};
    static thread_local std::int64_t untracked = 0;
    const auto add = [](std::int64_t bytes) {
        untracked += bytes;
        if (untracked > slack || untracked < -slack) shared.fetch_add(std::exchange(untracked, 0));
    };
    for (auto _ : counted(state)) {
        add(size);
        benchmark::DoNotOptimize(untracked);
        add(-std::int64_t{size});
        benchmark::DoNotOptimize(untracked);
    }
}

// One insertion into a map of pmr nodes, which is emptied whenever it has grown to a thousand.
void insert_into_map(benchmark::State& state, std::pmr::memory_resource& resource) {
    constexpr std::uint32_t most = 1000;
    std::pmr::map<std::uint32_t, std::uint64_t> map{&resource};
    std::uint32_t key = 0;
    for (auto _ : counted(state)) {
        if (map.size() == most) map.clear();
        map.emplace(key *= 2654435761U, key);
        ++key;
    }
}

void pmr_map_plain(benchmark::State& state) {
    insert_into_map(state, *std::pmr::new_delete_resource());
}

void pmr_map_insert(benchmark::State& state) {
    static const MemoryAccount process{"process", limit};
    static const MemoryAccount query = process.child("query", limit);
    static const MemoryAccount account = query.child("operator", limit);
    AccountedResource resource{account};
    insert_into_map(state, resource);
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/fetch_add_pair", floors::fetch_add_pair, {.threads = {1}});
    suite.add("memory/reserve_release", reserve_release);
    suite.add("memory/mutex_tree", mutex_tree);
    suite.add("memory/cas_tree", cas_tree);
    suite.add("memory/thread_local_counter", thread_local_counter);
    suite.add("floor/cas_loop_pair", floors::cas_loop_pair);
    suite.add("memory/reserve_near_limit", reserve_near_limit);
    suite.add("memory/reserve_near_small_limit", reserve_near_small_limit);
    suite.add("floor/pmr_map_plain", pmr_map_plain);
    suite.add("memory/pmr_map_insert", pmr_map_insert);
}

} // namespace velostream::bench
