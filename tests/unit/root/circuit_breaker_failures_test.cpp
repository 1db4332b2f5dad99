// SPDX-License-Identifier: Apache-2.0
// Every request for memory of a circuit breaker fails once. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;
using testing::with_each_request_failing;

// Takes no memory.
class Noting final : public Observer {
  public:
    Noting() { told.reserve(1000); }
    void on_circuit_state_changed(const CircuitStateChanged& change) noexcept override {
        told.emplace_back(change.from, change.to);
    }

    std::vector<std::pair<CircuitState, CircuitState>> told;
};

class CircuitBreakerFailuresTest : public ::testing::Test {
  protected:
    using Breaker = CircuitBreaker<ManualTime>;

    void open() {
        breaker.try_acquire()->failure(Errc::connect_failed);
        time.advance(10s);
    }
    void expect_told(std::size_t changes) {
        const auto& told = observer->told;
        ASSERT_EQ(told.size(), changes);
        EXPECT_EQ(told.front().first, CircuitState::closed);
        for (std::size_t i = 1; i < changes; ++i) EXPECT_EQ(told[i].first, told[i - 1].second) << i;
    }

    ManualTime time;
    std::shared_ptr<Noting> observer = std::make_shared<Noting>();
    Breaker breaker{"a name that fits in no small string",
                    {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s},
                    observer,
                    time};
};

TEST_F(CircuitBreakerFailuresTest, AChangeThatCouldNotBeToldIsToldWithTheNext) {
    std::size_t changes = 0, callbacks = 0;
    breaker.on_state_change([&](const CircuitStateChanged&) { ++callbacks; });

    const auto open_it = [&] { breaker.try_acquire()->failure(Errc::connect_failed); };
    const auto failures = with_each_request_failing(open_it, [&] {
        EXPECT_EQ(breaker.state(), CircuitState::open);
        breaker.force_close();
        expect_told(changes += 2);
        EXPECT_EQ(callbacks, changes);
        EXPECT_TRUE(breaker.why_open());
    });

    EXPECT_GE(failures, 2);
}

TEST_F(CircuitBreakerFailuresTest, AProbeIsAdmittedAndJudgedWithoutMemory) {
    std::size_t changes = 0;
    open();
    const auto probe = [&] {
        auto permit = breaker.try_acquire();
        if (permit) permit->success();
    };

    const auto failures = with_each_request_failing(probe, [&] {
        EXPECT_EQ(breaker.state(), CircuitState::closed);
        open();
        expect_told(3 * ++changes + 1);
    });

    EXPECT_GE(failures, 2);
}

TEST_F(CircuitBreakerFailuresTest, AProbeBesideOthersKeepsItsPermitOrIsRefused) {
    Breaker several{"several", {.failure_threshold = 1, .success_threshold = 40, .timeout = 10s}, nullptr, time};
    several.try_acquire()->failure(Errc::connect_failed);
    time.advance(10s);
    std::vector<Breaker::Permit> permits;
    permits.reserve(40);
    const auto probe = [&] {
        auto permit = several.try_acquire();
        if (permit) permits.push_back(std::move(*permit));
    };
    int failures = 0;
    while (permits.size() < 40) {
        const auto before = permits.size();
        failures += with_each_request_failing(probe, [] {});
        ASSERT_GT(permits.size(), before) << "a permit was lost";
    }

    EXPECT_GE(failures, 1);
    for (auto& permit : permits) permit.success();
    EXPECT_EQ(several.state(), CircuitState::closed);
}

TEST_F(CircuitBreakerFailuresTest, AGuardedCallIsJudgedWithoutMemory) {
    open();
    const auto call = [&] {
        CallContext context{CallContext::no_deadline};
        Breaker::Guard guard{breaker};
        if (guard.before(context).proceeds()) guard.after_success(context);
    };

    const auto failures = with_each_request_failing(call, [&] {
        EXPECT_EQ(breaker.state(), CircuitState::closed);
        open();
    });

    EXPECT_GE(failures, 2);
}

TEST_F(CircuitBreakerFailuresTest, AnAbandonedProbeGivesItsPermitBackWithoutMemory) {
    open();
    const auto abandon = [&] { static_cast<void>(breaker.try_acquire()); };

    const auto failures = with_each_request_failing(abandon, [&] {
        auto permit = breaker.try_acquire();
        ASSERT_TRUE(permit);
        permit->success();
        open();
    });

    EXPECT_GE(failures, 1);
}

TEST_F(CircuitBreakerFailuresTest, AWindowWithoutMemoryForgetsNoSlowCall) {
    Breaker slow{"slow",
                 {.sliding_window_size = 1000, .slow_call_threshold = 1s, .slow_call_rate_threshold = 1.0},
                 nullptr,
                 time};
    std::uint64_t calls = 0;
    const auto call = [&] {
        CallContext context{CallContext::no_deadline};
        Breaker::Guard guard{slow};
        if (!guard.before(context).proceeds()) return;
        if (++calls % 2 == 0) time.advance(1s);
        guard.after_success(context);
    };
    int failures = 0;
    while (calls < 900) failures += with_each_request_failing(call, [] {});

    EXPECT_GE(failures, 2);
    const auto window = slow.get_stats();
    EXPECT_EQ(window.window_calls, calls);
    EXPECT_EQ(window.slow_count, calls / 2);
}

TEST(BreakerMachineFailures, ChangesThatThereIsNoMemoryForAreOneWithTheNext) {
    BreakerMachine machine{{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}};
    const TimePoint now{1000s};
    constexpr CircuitState states[]{CircuitState::forced_open, CircuitState::disabled, CircuitState::metrics_only,
                                    CircuitState::closed};
    std::size_t changes = 0;
    const auto change = [&] { machine.set_state(states[changes++ % 4], now); };
    auto at = CircuitState::closed;
    std::size_t told = 0;

    int failures = 0;
    for (int i = 0; i < 40; ++i) failures += with_each_request_failing(change, [] {});
    machine.publish_transitions([&](const BreakerTransition& transition) {
        EXPECT_EQ(transition.from, at);
        EXPECT_NE(transition.to, at);
        at = transition.to;
        ++told;
    });

    EXPECT_GE(failures, 2);
    EXPECT_EQ(at, machine.state(now));
    EXPECT_GE(told + 2 * static_cast<std::size_t>(failures), changes);
}

} // namespace
} // namespace velostream
#endif
