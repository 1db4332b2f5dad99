// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <utility>

namespace velostream::bench {

namespace asio = boost::asio;

/// Runs `loop(state)`, a coroutine that loops over `counted(state)`, on an `io_context` of the measuring thread:
///
///     asio::awaitable<void> first_try(benchmark::State& state) {
///         RetryExecutor retry{RetryConfig{}};
///         auto operation = [](CallContext&) -> asio::awaitable<int> { co_return 1; };
///         for (auto _ : counted(state)) {
///             auto result = co_await retry.execute_with_retry(operation);
///             benchmark::DoNotOptimize(result);
///         }
///     }
///     ...
///     suite.add("retry/success_first_try", in_coroutine(first_try));
template <class Loop>
auto in_coroutine(Loop loop) {
    return [loop = std::move(loop)](benchmark::State& state) {
        asio::io_context context{1};
        asio::co_spawn(context, loop(state), [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
        context.run();
    };
}

} // namespace velostream::bench
