// SPDX-License-Identifier: Apache-2.0
// What a pool of connections costs beside the connections: to lend one that is ready, and to hand one over to who
// waits.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

// Connections that lead nowhere and are always clean.
struct Nowhere {
    struct Connection {};

    asio::awaitable<Result<Connection>> open(CallContext&) { co_return Connection{}; }
    asio::awaitable<Result<void>> check(Connection&, CallContext&) { co_return Result<void>{}; }
    asio::awaitable<Result<void>> reset(Connection&, CallContext&) { co_return Result<void>{}; }
    asio::awaitable<void> close(Connection&, CallContext&) { co_return; }
    bool needs_reset(const Connection&) const noexcept { return false; }
};

template <class Memory = SharedMemory>
using Pool = ConnectionPool<Nowhere, SteadyTime, Memory>;

ConnectionPoolConfig ready(std::size_t connections) {
    return {.max_size = connections, .min_idle = connections, .max_waiters = 0, .validation_window = 24h};
}

template <class Pool>
void borrow_and_return(benchmark::State& state, Pool& pool) {
    for (auto _ : counted(state)) {
        auto lease = pool.try_get_connection();
        if (!lease) state.SkipWithError("no connection was ready");
        benchmark::DoNotOptimize(**lease);
    }
}

void borrow_return(benchmark::State& state) {
    static asio::io_context context{1};
    static Pool<> pool{context.get_executor(), ready(8), Nowhere{}};
    if (state.thread_index() == 0) context.poll();
    borrow_and_return(state, pool);
}

void borrow_return_confined(benchmark::State& state) {
    asio::io_context context{1};
    Pool<ConfinedMemory> pool{context.get_executor(), ready(8), Nowhere{}};
    context.poll();
    borrow_and_return(state, pool);
}

asio::awaitable<void> await_borrow_return(benchmark::State& state) {
    const auto executor = co_await asio::this_coro::executor;
    Pool<> pool{executor, ready(8), Nowhere{}};
    for (auto _ : counted(state)) {
        auto borrowing = pool.get_connection();
        auto lease = co_await std::move(borrowing);
        benchmark::DoNotOptimize(**lease);
    }
}

// One comes and waits behind so many others, and the first is handed what comes back.
void hand_over_in_a_line(benchmark::State& state, std::size_t length) {
    asio::io_context context{1};
    Pool<> pool{context.get_executor(), ready(1), Nowhere{}};
    context.poll();
    auto held = *pool.try_get_connection();
    const auto wait = [&] {
        pool.async_acquire(asio::bind_executor(
            context, [&](Result<ConnectionLease<Nowhere::Connection>> lease) { held = std::move(*lease); }));
    };
    for (std::size_t count = 0; count < length; ++count) wait();
    for (auto _ : counted(state)) {
        wait();
        held.give_back();
        context.poll();
    }
}

void hand_over(benchmark::State& state) {
    hand_over_in_a_line(state, 0);
}
void hand_over_in_a_long_line(benchmark::State& state) {
    hand_over_in_a_line(state, 1000);
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/mutex_pair", floors::mutex_pair);
    suite.add("pool/borrow_return", borrow_return);
    suite.add("pool/borrow_return_confined", borrow_return_confined, {.threads = {1}});
    suite.add("pool/await_borrow_return", in_coroutine(await_borrow_return), {.threads = {1}});
    suite.add("pool/hand_over", hand_over, {.threads = {1}});
    suite.add("pool/hand_over_in_a_long_line", hand_over_in_a_long_line, {.threads = {1}});
}

} // namespace velostream::bench
