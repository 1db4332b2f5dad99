// SPDX-License-Identifier: Apache-2.0
// Which calls are slow, by a clock whose coarse reading lags behind, as the kernel's does.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

class LaggingTime : public ManualTime {
  public:
    static constexpr Duration coarse_step = 20ms;

    TimePoint now() const noexcept {
        ++shared_->exact_readings;
        return ManualTime::now();
    }
    TimePoint coarse_now() const noexcept { return ManualTime::now() - shared_->lag; }

    void set_lag(Duration lag) const noexcept { shared_->lag = lag; }
    int exact_readings() const noexcept { return shared_->exact_readings; }

  private:
    struct Shared {
        Duration lag{};
        int exact_readings = 0;
    };
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};
static_assert(TimeSource<LaggingTime>);

struct Call {
    Duration lag_at_begin, lag_at_end; // of the coarse clock
    Duration lasted;
    bool is_slow; // at 100 ms
};

class SlowCallsTest : public ::testing::TestWithParam<Call> {
  protected:
    static CircuitBreakerConfig config(std::optional<Duration> window = std::nullopt) {
        return {.failure_threshold = 100, .slow_call_threshold = 100ms, .sliding_window_duration = window};
    }
    // Lets a call begin and, later, end.
    template <class Begin, class End>
    void make(Begin begin, End end) {
        time.set_lag(GetParam().lag_at_begin);
        auto permit = begin();
        ASSERT_TRUE(permit);
        time.advance(GetParam().lasted);
        time.set_lag(GetParam().lag_at_end);
        end(*permit);
    }
    static void succeed(auto& permit) { permit.success(); }
    static void fail(auto& permit) { permit.failure(Errc::connect_failed); }

    const std::size_t slow = GetParam().is_slow ? 1 : 0;
    LaggingTime time;
};

TEST_P(SlowCallsTest, ASuccessIsSlowIfItTookTheThresholdOrLonger) {
    CircuitBreaker<LaggingTime> breaker{config(), nullptr, time};

    make([&] { return breaker.try_acquire(); }, [](auto& permit) { succeed(permit); });

    EXPECT_EQ(breaker.get_stats().slow_count, slow);
}

TEST_P(SlowCallsTest, AFailureToo) {
    CircuitBreaker<LaggingTime> breaker{config(), nullptr, time};

    make([&] { return breaker.try_acquire(); }, [](auto& permit) { fail(permit); });

    EXPECT_EQ(breaker.get_stats().slow_count, slow);
}

TEST_P(SlowCallsTest, InAWindowOfTimeToo) {
    CircuitBreaker<LaggingTime> breaker{config(60s), nullptr, time};

    make([&] { return breaker.try_acquire(); }, [](auto& permit) { succeed(permit); });

    EXPECT_EQ(breaker.get_stats().slow_count, slow);
}

TEST_P(SlowCallsTest, OfAKeyWithoutAnEntryToo) {
    KeyedCircuitBreakers<int, LaggingTime> breakers{"shops", {.breaker = config()}, nullptr, time};

    make([&] { return breakers.try_acquire(1); }, [](auto& permit) { succeed(permit); });

    EXPECT_EQ(breakers.get_stats(1).slow_count, slow);
}

TEST_P(SlowCallsTest, OfAKeyWithAnEntryToo) {
    KeyedCircuitBreakers<int, LaggingTime> breakers{"shops", {.breaker = config()}, nullptr, time};
    breakers.try_acquire(1)->failure(Errc::connect_failed);

    make([&] { return breakers.try_acquire(1); }, [](auto& permit) { succeed(permit); });

    EXPECT_EQ(breakers.get_stats(1).slow_count, slow);
}

constexpr Duration just = std::chrono::nanoseconds{1};
INSTANTIATE_TEST_SUITE_P(Calls, SlowCallsTest,
                         ::testing::Values(Call{0ms, 0ms, 100ms, true}, Call{4ms, 0ms, 100ms - just, false},
                                           Call{4ms, 0ms, 96ms, false}, Call{0ms, 4ms, 100ms, true},
                                           Call{0ms, 4ms, 104ms - just, true}, Call{4ms, 4ms, 100ms - just, false},
                                           Call{20ms, 20ms, 100ms, true}, Call{0ms, 20ms, 120ms - just, true},
                                           Call{20ms, 0ms, 1ms, false}, Call{0ms, 20ms, 1h, true}));

TEST(SlowCalls, ACallThatIsFarFromTheThresholdReadsTheClockExactlyOnlyWhenItBegins) {
    const LaggingTime time;
    CircuitBreaker<LaggingTime> breaker{{.slow_call_threshold = 100ms}, nullptr, time};
    time.set_lag(4ms);

    breaker.try_acquire()->success();

    EXPECT_EQ(time.exact_readings(), 1);
}

} // namespace
} // namespace velostream::testing
