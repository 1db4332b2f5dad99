// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/async/frame_memory.hpp"

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

// The same by the machine's clock, of `count` calls; `slot` cancels who makes them. The fewest of three times: the
// clock goes on, and an alarm that rings meanwhile on a busy machine is not the calls'.
template <class Call>
std::uint64_t allocations_by_the_machines_clock(asio::io_context& context, Call call, asio::cancellation_slot slot = {},
                                                int count = 1000) {
    std::uint64_t fewest = ~std::uint64_t{0}; // unless they run
    auto counted = [&]() -> asio::awaitable<void> {
        std::uint64_t before = 0;
        for (int i = 0; i < count + 20; ++i) {
            if (i == 20) before = allocations;
            auto called = call();
            co_await std::move(called);
        }
        fewest = std::min<std::uint64_t>(fewest, allocations - before);
    };
    for (int time = 0; time < 3; ++time) {
        asio::co_spawn(context, counted(), asio::bind_cancellation_slot(slot, asio::detached));
        context.restart();
        context.run();
    }
    return fewest;
}

// While it lives, each frame that this thread begins comes from the heap.
class NoFrameKept {
  public:
    NoFrameKept() {
        for (std::size_t size = FrameMemory::step; size <= FrameMemory::largest; size += FrameMemory::step) {
            std::uint64_t before = 0;
            do {
                before = allocations;
                taken_.emplace_back(size, FrameMemory::allocate(size));
            } while (allocations == before);
        }
    }
    NoFrameKept(const NoFrameKept&) = delete;
    NoFrameKept& operator=(const NoFrameKept&) = delete;
    ~NoFrameKept() {
        for (const auto& [size, memory] : taken_) FrameMemory::deallocate(memory, size);
    }

  private:
    using FrameMemory = velostream::detail::FrameMemory;
    using Taken = std::vector<std::pair<std::size_t, void*>>;

    static Taken with_room() { // whose growth is no frame
        Taken taken;
        taken.reserve(FrameMemory::largest / FrameMemory::step * (FrameMemory::most_of_a_size + 1u));
        return taken;
    }
    Taken taken_ = with_room();
};

// How many frames of ours there are while an operation runs that `execute` has around it.
template <class Execute>
std::uint64_t frames_of_a_call(Execute execute) {
    asio::io_context one_thread{1};
    std::uint64_t frames = 0;
    auto calls = [&]() -> asio::awaitable<void> {
        std::uint64_t taken = 0;
        auto operation = [&taken]() -> asio::awaitable<int> {
            taken = allocations;
            co_return 1;
        };
        for (int i = 0; i < 20; ++i) { // after which there is all else that a call takes
            auto call = execute(operation);
            co_await std::move(call);
        }
        const NoFrameKept none;
        const auto before = allocations;
        auto call = execute(operation);
        co_await std::move(call);
        frames = taken - before;
    };
    asio::co_spawn(one_thread, calls(), asio::detached);
    one_thread.run();
    return frames;
}

} // namespace velostream::testing
