// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <utility>

#include "support/allocation_count.hpp"
#include "support/run_coroutine.hpp"

namespace velostream::testing {

// How often 1000 calls of `call()` go to the heap, once the frames of the first ones are there to be used again.
template <class Call>
std::uint64_t allocations_of_calls(asio::io_context& context, ManualTime time, Call call) {
    auto counted = [&call]() -> asio::awaitable<std::uint64_t> {
        for (int i = 0; i < 20; ++i) {
            auto called = call();
            co_await std::move(called);
        }
        const auto before = allocations;
        for (int i = 0; i < 1000; ++i) {
            auto called = call();
            co_await std::move(called);
        }
        co_return allocations - before;
    };
    return run(context, std::move(time), counted());
}

} // namespace velostream::testing
