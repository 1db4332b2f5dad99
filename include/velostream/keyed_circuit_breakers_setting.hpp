// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "velostream/async/time_source.hpp"
#include "velostream/config/circuit_breaker_config.hpp"
#include "velostream/core/breaker_types.hpp"

namespace velostream::detail {

// The configuration of all keys as it is now, and by itself what calls of keys without an entry need of it.
//
// Threads: safe. Those calls take no lock.
class KeyedBreakerSetting {
  public:
    struct Version {
        CircuitBreakerConfig config;
        std::uint32_t number = 0; // of the change
    };

    explicit KeyedBreakerSetting(const CircuitBreakerConfig& config) : version_{.config = config} { adopt(config); }

    Version current() const {
        const std::lock_guard lock{mutex_};
        return version_;
    }
    // Of the version that `current` tells, or of one before it.
    std::uint32_t number() const noexcept { return number_.load(std::memory_order_relaxed); }

    void change(const CircuitBreakerConfig& config) {
        const std::lock_guard lock{mutex_};
        version_ = {config, version_.number + 1};
        adopt(config);
    }

    // The permit of a call for a key without an entry.
    template <TimeSource Time>
    BreakerPermit permit(std::uint32_t epoch, const Time& time) const noexcept {
        const auto slow_after = slow_after_.load(std::memory_order_relaxed);
        return {epoch, false, slow_after == 0 ? BreakerPermit::unmeasured : time.now()};
    }
    template <TimeSource Time>
    bool is_slow(const BreakerPermit& permit, const Time& time) const noexcept {
        const auto slow_after = slow_after_.load(std::memory_order_relaxed);
        if (slow_after == 0 || permit.started == BreakerPermit::unmeasured) return false;
        return (end_of_call(time, permit.started, Duration{slow_after}) - permit.started).count() >= slow_after;
    }

    // The time that tells what is left in a window; none is needed for one of a number of outcomes.
    template <TimeSource Time>
    TimePoint now_for_window(const Time& time) const noexcept {
        return has_window_of_time_.load(std::memory_order_relaxed) ? time.now() : TimePoint::min();
    }

  private:
    // relaxed: a call may begin and end by different configurations.
    void adopt(const CircuitBreakerConfig& config) noexcept {
        slow_after_.store(config.slow_call_threshold.value_or(Duration::zero()).count(), std::memory_order_relaxed);
        has_window_of_time_.store(config.sliding_window_duration.has_value(), std::memory_order_relaxed);
        number_.store(version_.number, std::memory_order_relaxed);
    }

    mutable std::mutex mutex_;
    Version version_;
    std::atomic<std::uint32_t> number_{0};
    std::atomic<Duration::rep> slow_after_{0}; // 0: the slow rule is off
    std::atomic<bool> has_window_of_time_{false};
};

} // namespace velostream::detail
