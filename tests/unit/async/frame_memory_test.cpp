// SPDX-License-Identifier: Apache-2.0
// Nothing is kept, or counted, under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include "velostream/async/frame_memory.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/allocation_count.hpp"

namespace velostream {
namespace {

using detail::FrameMemory;

// Of this size, so that the thread keeps what it gets back from now on.
void warm_up(std::size_t size) {
    FrameMemory::deallocate(FrameMemory::allocate(size), size);
    FrameMemory::deallocate(FrameMemory::allocate(size), size);
}

TEST(FrameMemory, UsesAgainWhatHasEnded) {
    for (const std::size_t size : {1u, 128u, 129u, 700u, 2048u}) {
        warm_up(size);
        auto* const first = FrameMemory::allocate(size);
        FrameMemory::deallocate(first, size);
        const auto taken = testing::allocations;
        EXPECT_EQ(FrameMemory::allocate(size), first) << size;
        EXPECT_EQ(testing::allocations, taken) << size;
        FrameMemory::deallocate(first, size);
    }
}

TEST(FrameMemory, KeepsNoMoreThanItSaysAndNothingThatIsLarge) {
    constexpr std::size_t size = 1500;
    warm_up(size);
    std::vector<void*> frames(1000);
    const auto before = testing::held;

    for (auto*& frame : frames) frame = FrameMemory::allocate(size);
    for (auto* const frame : frames) FrameMemory::deallocate(frame, size);
    const auto kept = testing::held - before;
    FrameMemory::deallocate(FrameMemory::allocate(FrameMemory::largest + 1), FrameMemory::largest + 1);

    EXPECT_EQ(kept, FrameMemory::most_of_a_size - 1); // one was there before
    EXPECT_EQ(testing::held - before, kept);
}

// What a thread that does `work()` holds of the heap when it has ended.
template <class Work>
std::int64_t left_by_thread(Work work) {
    struct Last {
        ~Last() { *left = testing::held; }
        std::int64_t* left;
    };
    std::int64_t left = 0;
    std::thread{[&] {
        thread_local Last last{&left}; // made first, so destroyed last
        static_cast<void>(last.left);
        work();
    }}.join();
    return left;
}

TEST(FrameMemory, GoesWithItsThreadAndMayEndOnAnother) {
    constexpr std::size_t size = 300;
    const auto left_by_none = left_by_thread([] {});
    void* frame = nullptr;

    EXPECT_EQ(left_by_thread([&] {
                  warm_up(size);
                  frame = FrameMemory::allocate(size);
                  warm_up(size);
              }),
              left_by_none + 1);
    EXPECT_EQ(left_by_thread([&] {
                  warm_up(size);
                  FrameMemory::deallocate(frame, size);
              }),
              left_by_none - 1);
}

asio::awaitable<int> depth(detail::OwnFrame, int levels) {
    if (levels == 0) co_return 0;
    auto below = depth(detail::own_frame, levels - 1);
    co_return 1 + co_await std::move(below);
}
struct Member {
    asio::awaitable<void> fails(detail::OwnFrame) {
        auto deep = depth(detail::own_frame, levels);
        co_await std::move(deep);
        throw std::runtime_error{"expected"};
    }
    int levels;
};

TEST(FrameMemory, CoroutinesOfAnyDepthTakeNothingFromTheHeap) {
    asio::io_context io;
    std::uint64_t taken = 0;
    int sum = 0, caught = 0;
    const auto calls = [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 30; ++i) {
            if (i == 20) taken = testing::allocations;
            auto deep = depth(detail::own_frame, 12);
            sum += co_await std::move(deep);
        }
        taken = testing::allocations - taken;
        try {
            Member member{10};
            auto failing = member.fails(detail::own_frame);
            co_await std::move(failing);
        } catch (const std::runtime_error&) {
            ++caught;
        }
    };

    asio::co_spawn(io, calls(), asio::detached);
    io.run();

    EXPECT_EQ(taken, 0u);
    EXPECT_EQ(sum, 360);
    EXPECT_EQ(caught, 1);
}

TEST(FrameMemory, AFrameThatNobodyAwaitsIsGivenBack) {
    warm_up(500);
    const auto before = testing::held;

    for (int i = 0; i < 100; ++i) static_cast<void>(depth(detail::own_frame, 3));

    EXPECT_LE(testing::held - before, 1); // kept
}

} // namespace
} // namespace velostream

#endif
