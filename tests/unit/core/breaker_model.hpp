// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include "velostream/core/breaker_machine.hpp"

namespace velostream::testing {

// The rules of the circuit breaker written down the slow and obvious way, to be compared with the machine: every
// outcome is kept, rates are recounted, time is advanced eagerly.
class BreakerModel {
  public:
    struct Permit {
        int life = 0; // which state, counted from the start, admitted it
        bool probe = false;
        TimePoint started{};
    };

    BreakerModel(const CircuitBreakerConfig& config, TimePoint now)
        : config_(config),
          limit_(config.max_half_open_duration.value_or(std::max<Duration>(config.timeout, std::chrono::seconds{60}))),
          now_(now) {}

    void advance_to(TimePoint now) {
        now_ = now;
        if (state_ == CircuitState::half_open && !probes_.empty() && *probes_.begin() + limit_ <= now)
            open(*probes_.begin() + limit_);
    }

    CircuitState state() const {
        return state_ == CircuitState::open && now_ >= open_until_ ? CircuitState::half_open : state_;
    }

    std::optional<Permit> try_acquire() {
        const auto admitted = admissible();
        if (admitted == 0) {
            ++rejected_;
            return std::nullopt;
        }
        if (state_ == CircuitState::open) enter(CircuitState::half_open, now_);
        const bool probe = state_ == CircuitState::half_open;
        if (probe) probes_.insert(now_);
        return Permit{life_, probe, now_};
    }

    std::uint32_t admissible() const {
        switch (state()) {
            case CircuitState::half_open: {
                const auto taken = state_ == CircuitState::open ? 0 : probes_.size() + succeeded_;
                return static_cast<std::uint32_t>(config_.success_threshold - taken);
            }
            case CircuitState::open:
            case CircuitState::forced_open:
                return 0;
            default:
                return std::numeric_limits<std::uint32_t>::max();
        }
    }

    void record(const Permit& permit, CallOutcomeKind kind) {
        const bool judged = kind >= CallOutcomeKind::failure;
        if (permit.life != life_) {
            late_ += judged;
            return;
        }
        if (permit.probe) probes_.erase(probes_.find(permit.started));
        if (!judged || state_ == CircuitState::disabled) return;

        const bool failed = kind == CallOutcomeKind::failure;
        const bool slow = config_.slow_call_threshold && now_ - permit.started >= *config_.slow_call_threshold;
        if (permit.probe) {
            if (failed || slow)
                open(now_);
            else if (++succeeded_ == config_.success_threshold)
                enter(CircuitState::closed, now_);
            return;
        }
        window_.emplace_back(failed, slow);
        if (window_.size() > config_.sliding_window_size) window_.pop_front();
        if (state_ == CircuitState::closed && says_open()) open(now_);
    }

    void set_state(CircuitState to) {
        if (state_ != to) enter(to, now_);
    }
    void reset() { enter(CircuitState::closed, now_); }

    OutcomeCounts counts() const {
        OutcomeCounts counts;
        for (const auto& [failed, slow] : window_) {
            ++counts.calls;
            counts.failures += failed;
            counts.slow += slow;
        }
        return counts;
    }

    std::uint64_t rejected() const { return rejected_; }
    std::uint64_t late() const { return late_; }
    const std::vector<std::pair<CircuitState, TimePoint>>& transitions() const { return transitions_; }

  private:
    // The rates of this model's configs are halves, thirds and quarters: twelfths compare exactly.
    static bool reaches(std::uint32_t part, std::uint32_t whole, double rate) {
        return 12 * part >= static_cast<std::uint32_t>(rate * 12 + 0.5) * whole;
    }

    bool says_open() const {
        const auto counts = this->counts();
        const auto for_rates =
            config_.minimum_throughput.value_or(std::min<std::size_t>(10, config_.sliding_window_size));
        if (counts.calls >= config_.minimum_throughput.value_or(1) && counts.failures >= config_.failure_threshold)
            return true;
        if (counts.calls < for_rates) return false;
        return (config_.failure_rate_threshold &&
                reaches(counts.failures, counts.calls, *config_.failure_rate_threshold)) ||
               (config_.slow_call_threshold && reaches(counts.slow, counts.calls, config_.slow_call_rate_threshold));
    }

    void open(TimePoint at) {
        enter(CircuitState::open, at);
        open_until_ = at + config_.timeout;
    }

    void enter(CircuitState to, TimePoint at) {
        if (to != state_) transitions_.emplace_back(to, at);
        state_ = to;
        ++life_;
        probes_.clear();
        succeeded_ = 0;
        if (to == CircuitState::closed || to == CircuitState::metrics_only) window_.clear();
    }

    CircuitBreakerConfig config_;
    Duration limit_;
    TimePoint now_;
    CircuitState state_ = CircuitState::closed;
    int life_ = 0;
    TimePoint open_until_{};
    std::multiset<TimePoint> probes_;
    std::size_t succeeded_ = 0;
    std::deque<std::pair<bool, bool>> window_;
    std::uint64_t rejected_ = 0, late_ = 0;
    std::vector<std::pair<CircuitState, TimePoint>> transitions_;
};

} // namespace velostream::testing
