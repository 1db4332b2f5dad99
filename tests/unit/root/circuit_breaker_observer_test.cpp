// SPDX-License-Identifier: Apache-2.0
// How long a circuit breaker keeps the observers that it had.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <utility>

#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class CircuitBreakerObserverTest : public ::testing::Test {
  protected:
    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    CircuitBreaker<testing::ManualTime> breaker{"orders", {.failure_threshold = 1, .timeout = 10s}, observer, time};
};

TEST_F(CircuitBreakerObserverTest, LetsGoOfTheObserverBefore) {
    for (int i = 0; i < 100; ++i) breaker.set_observer(std::make_shared<testing::RecordingObserver>());

    EXPECT_EQ(observer.use_count(), 1);
}

TEST_F(CircuitBreakerObserverTest, AnObserverMayBeReplacedByWhatItIsToldAndByItsEnd) {
    struct Last final : Observer {
        explicit Last(CircuitBreaker<testing::ManualTime>& of) : breaker(of) {}
        ~Last() override { breaker.set_observer(nullptr); } // would wait for ever under the lock
        void on_circuit_state_changed(const CircuitStateChanged&) noexcept override {
            breaker.set_observer(nullptr); // it is kept meanwhile
            ++told;
        }
        CircuitBreaker<testing::ManualTime>& breaker;
        int told = 0;
    };
    auto last = std::make_shared<Last>(breaker);
    const std::weak_ptr watched{last};
    breaker.set_observer(std::move(last));

    breaker.try_acquire()->failure(Errc::connect_failed);

    ASSERT_FALSE(watched.expired());
    EXPECT_EQ(watched.lock()->told, 1);
    breaker.set_observer(observer);
    EXPECT_TRUE(watched.expired());
    EXPECT_FALSE(breaker.try_acquire());
    EXPECT_EQ(observer->count("call_rejected"), 0u) << "which its end has replaced";
}

} // namespace
} // namespace velostream
