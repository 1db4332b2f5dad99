// SPDX-License-Identifier: Apache-2.0
// Permits of a bulkhead, a rate limiter and an adaptive limit, and their refusals, leave the heap alone. Nothing is
// counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "support/allocations_of_calls.hpp"
#include "velostream/adaptive_limit.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/rate_limiter.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::allocations;

constexpr auto operation = [](CallContext&) -> asio::awaitable<Result<int>> { co_return 1; };

class LimiterAllocations : public ::testing::Test {
  protected:
    template <class Call>
    std::uint64_t of(Call call) {
        return testing::allocations_of_calls(io, time, std::move(call));
    }

    asio::io_context io;
    testing::ManualTime time;
    Bulkhead<testing::ManualTime> bulkhead{{.max_concurrent = 1, .max_wait = 1s}, time};
    AdaptiveLimit<testing::ManualTime> adaptive{
        {.initial_limit = 1, .max_limit = 50, .window = 10, .tolerated_drop_rate = 0, .remeasure_every = 5}, time};
    RateLimiter<testing::ManualTime> limiter{{.permits = 100'000, .period = 1h}, time};
    RateLimiter<testing::ManualTime> used_up{{.permits = 1, .period = 1h}, time};
};

TEST_F(LimiterAllocations, APermitTakesNone) {
    const auto before = allocations;
    for (int i = 0; i < 1000; ++i)
        if (!bulkhead.try_acquire() || !limiter.try_acquire()) break;

    EXPECT_EQ(allocations, before);
    EXPECT_EQ(limiter.get_stats().granted, 1000u);
}

TEST_F(LimiterAllocations, ALimitThatMovesTakesNone) {
    const auto before = allocations;
    for (int i = 0; i < 10'000; ++i) {
        auto permit = adaptive.try_acquire();
        time.advance(1ms);
        if (i % 1000 == 999)
            permit->failure(Errc::send_timeout);
        else
            permit->success();
    }

    EXPECT_EQ(allocations, before);
    EXPECT_GT(adaptive.get_stats().windows, 100u);
    EXPECT_EQ(adaptive.get_stats().dropped, 10u);
}

TEST_F(LimiterAllocations, ARefusalTakesNone) {
    const auto permit = bulkhead.try_acquire();
    const auto adaptive_permit = adaptive.try_acquire();
    ASSERT_TRUE(used_up.try_acquire());

    const auto before = allocations;
    for (int i = 0; i < 1000; ++i)
        if (bulkhead.try_acquire() || adaptive.try_acquire() || used_up.try_acquire()) break;

    EXPECT_EQ(allocations, before);
    EXPECT_EQ(adaptive.get_stats().refused, 1000u);
    EXPECT_EQ(bulkhead.get_stats().refused, 1000u);
    EXPECT_EQ(used_up.get_stats().refused, 1000u);
}

TEST_F(LimiterAllocations, ACallInAPipelineTakesNone) {
    Pipeline guarded{limiter, bulkhead, adaptive};

    EXPECT_EQ(of([&] { return guarded.execute(operation); }), 0u);
}

TEST_F(LimiterAllocations, ARefusedCallTakesNone) {
    const auto permit = bulkhead.try_acquire();
    ASSERT_TRUE(used_up.try_acquire());

    EXPECT_EQ(of([&] { return bulkhead.execute(operation); }), 0u);
    EXPECT_EQ(of([&] { return used_up.execute(operation); }), 0u);
    const auto adaptive_permit = adaptive.try_acquire();
    EXPECT_EQ(of([&] { return adaptive.execute(operation); }), 0u);
}

} // namespace
} // namespace velostream

#endif
