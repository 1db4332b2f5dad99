// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>

#include "velostream/base/observer.hpp"
#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream::testing {

/// Hears the changes of state of any number of breakers, and expects each to begin where the one before has ended.
class ToldTransitions {
  public:
    void operator()(const CircuitStateChanged& change) {
        const std::lock_guard lock{mutex_};
        auto& state = last_[std::string{change.breaker}];
        EXPECT_EQ(change.from, state) << "a transition is missing, doubled or out of order";
        state = change.to;
        ++count;
        opened += change.to == CircuitState::open;
    }
    std::size_t not_closed() const {
        const std::lock_guard lock{mutex_};
        const auto is_other = [](const auto& breaker) { return breaker.second != CircuitState::closed; };
        return static_cast<std::size_t>(std::ranges::count_if(last_, is_other));
    }

    std::atomic<std::uint64_t> count{0}, opened{0};

  private:
    mutable std::mutex mutex_;
    std::map<std::string, CircuitState, std::less<>> last_;
};

/// With which a breaker opens and closes often.
inline CircuitBreakerConfig flapping_config(std::mt19937& random) {
    using namespace std::chrono_literals;
    CircuitBreakerConfig config{.failure_threshold = 1 + random() % 5,
                                .success_threshold = 1 + random() % 5,
                                .timeout = 10us,
                                .timeout_multiplier = 2.0,
                                .timeout_jitter = 0.5};
    if (random() % 2) config.sliding_window_duration = 10ms;
    if (random() % 2) config.slow_call_threshold = 1ms;
    return config;
}

} // namespace velostream::testing
