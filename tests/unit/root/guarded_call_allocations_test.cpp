// SPDX-License-Identifier: Apache-2.0
// Guarded calls leave the heap alone. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "support/counting_new.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::allocations;

const Error network = Errc::connect_failed;

constexpr auto plain = []() -> asio::awaitable<int> { co_return 1; };
constexpr auto with_context = [](CallContext&) -> asio::awaitable<Result<int>> { co_return 1; };

class GuardedCallAllocations : public ::testing::Test {
  protected:
    GuardedCallAllocations() { open.try_acquire()->failure(network); }

    // How often 1000 calls of `call()` go to the heap, once the frames of the first ones are there to be used again.
    template <class Call>
    std::uint64_t of(Call call) {
        auto counted = [&]() -> asio::awaitable<std::uint64_t> {
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
        return run(io, time, counted());
    }

    asio::io_context io;
    testing::ManualTime time;
    CircuitBreaker<testing::ManualTime> closed{"closed", {}, nullptr, time};
    CircuitBreaker<testing::ManualTime> open{"open", {.failure_threshold = 1, .timeout = 1h}, nullptr, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 0}, nullptr, time};
};

TEST_F(GuardedCallAllocations, AreCounted) {
    const auto before = allocations;
    const auto frame = plain(); // outside of any context: there is nothing to use again
    EXPECT_EQ(allocations, before + 1);

    const auto allocates = [](CallContext&) -> asio::awaitable<int> {
        static volatile int size = 100;
        const std::string text(static_cast<std::size_t>(size), ' ');
        co_return static_cast<int>(text.size());
    };
    EXPECT_EQ(of([&] { return closed.execute(allocates); }), 1000u);
}

TEST_F(GuardedCallAllocations, APermitOfAClosedCircuitTakesNone) {
    closed.try_acquire()->success();

    const auto before = allocations;
    for (int i = 0; i < 1000; ++i) closed.try_acquire()->success();

    EXPECT_EQ(allocations, before);
}

TEST_F(GuardedCallAllocations, ARefusalOfAnOpenCircuitTakesNone) {
    EXPECT_FALSE(open.try_acquire());

    const auto before = allocations;
    for (int i = 0; i < 1000; ++i) {
        const auto refused = open.try_acquire();
        if (refused) break;
        const auto error = refused.error();
        if (error != Errc::circuit_open) break;
    }

    EXPECT_EQ(allocations, before);
    EXPECT_EQ(open.get_stats().rejected, 1001u);
}

TEST_F(GuardedCallAllocations, ACallThroughAClosedCircuitTakesNone) {
    EXPECT_EQ(of([&] { return closed.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return closed.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, ACallThatAnOpenCircuitRefusesTakesNone) {
    EXPECT_EQ(of([&] { return open.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return open.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, SuccessInTheFirstTryTakesNone) {
    EXPECT_EQ(of([&] { return retry.execute_with_retry(plain); }), 0u);
    EXPECT_EQ(of([&] { return retry.execute_with_retry(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, APipelineTakesNone) {
    Pipeline guarded{retry, closed};

    EXPECT_EQ(of([&] { return guarded.execute(plain); }), 0u);
    EXPECT_EQ(of([&] { return guarded.execute(with_context); }), 0u);
}

TEST_F(GuardedCallAllocations, APipelineIsOneFrameWhateverTheNumberOfPolicies) {
    Pipeline one{retry};
    Pipeline three{retry, closed, open};

    auto before = allocations;
    const auto short_call = one.execute(plain); // outside of any context: there is nothing to use again
    EXPECT_EQ(allocations, before + 1);

    before = allocations;
    const auto long_call = three.execute(plain);
    EXPECT_EQ(allocations, before + 1);
}

} // namespace
} // namespace velostream

#endif
