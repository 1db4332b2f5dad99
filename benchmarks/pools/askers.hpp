// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <utility>

#include "pools/simulated_server.hpp"
#include "support/allocations.hpp"

namespace velostream::bench {

/// Measures so many coroutines, each of which awaits `ask(number)` again and again; `number` counts the questions of
/// all of them.
template <class Ask>
void ask_again_and_again(benchmark::State& state, asio::io_context& io, std::size_t askers, Ask ask) {
    bool is_over = false;
    std::size_t asked = 0, ended = 0;
    auto work = [&]() -> asio::awaitable<void> {
        while (!is_over) {
            if (!state.KeepRunning()) {
                is_over = true;
                break;
            }
            auto asking = ask(asked++);
            co_await std::move(asking);
        }
        ++ended;
    };
    {
        const CountAllocations count{state};
        for (std::size_t number = 0; number < askers; ++number) asio::co_spawn(io, work(), rethrow);
        while (!is_over) io.run_one();
    }
    while (ended < askers) io.run_one();
}

} // namespace velostream::bench
