// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "velostream/core/backoff_random.hpp"
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
        bool measured = false; // the slow rule was on when it began, or it is no plain call of a closed circuit
    };

    BreakerModel(const CircuitBreakerConfig& config, TimePoint now, std::uint64_t seed)
        : config_(config), now_(now), random_(seed), draw_(random_.next()) {}

    void advance_to(TimePoint now) {
        now_ = now;
        if (state_ == CircuitState::half_open && !probes_.empty() && *probes_.begin() + limit_ <= now)
            open(*probes_.begin() + limit_);
    }

    CircuitState state() const {
        return state_ == CircuitState::open && now_ >= open_until_ ? CircuitState::half_open : state_;
    }
    std::optional<TimePoint> open_until() const {
        return state() == CircuitState::open ? std::optional{open_until_} : std::nullopt;
    }

    std::optional<Permit> try_acquire() {
        const auto admitted = admissible();
        if (admitted == 0) {
            ++rejected_;
            return std::nullopt;
        }
        if (state_ == CircuitState::open) {
            enter(CircuitState::half_open, now_);
            limit_ =
                config_.max_half_open_duration.value_or(std::max<Duration>(config_.timeout, std::chrono::seconds{60}));
            needed_ = config_.success_threshold;
        }
        const bool probe = state_ == CircuitState::half_open;
        if (probe) probes_.insert(now_);
        const bool measured = state_ != CircuitState::closed || config_.slow_call_threshold.has_value();
        return Permit{life_, probe, now_, measured};
    }

    std::uint32_t admissible() const {
        switch (state()) {
            case CircuitState::half_open:
                return static_cast<std::uint32_t>(state_ == CircuitState::open ? config_.success_threshold
                                                                               : needed_ - probes_.size() - succeeded_);
            case CircuitState::open:
            case CircuitState::forced_open:
                return 0;
            default:
                return std::numeric_limits<std::uint32_t>::max();
        }
    }

    void record(const Permit& permit, CallOutcomeKind kind, std::optional<Duration> retry_after = std::nullopt) {
        const bool judged = kind >= CallOutcomeKind::failure;
        if (permit.life != life_) {
            late_ += judged;
            return;
        }
        if (permit.probe) probes_.erase(probes_.find(permit.started));
        if (!judged || state_ == CircuitState::disabled) return;

        const bool failed = kind == CallOutcomeKind::failure;
        const bool slow =
            config_.slow_call_threshold && permit.measured && now_ - permit.started >= *config_.slow_call_threshold;
        if (permit.probe) {
            if (failed || slow)
                open(now_, retry_after);
            else if (++succeeded_ == needed_)
                enter(CircuitState::closed, now_);
            return;
        }
        window_.push_back({now_, failed, slow});
        forget();
        if (state_ == CircuitState::closed && says_open()) open(now_, retry_after);
    }

    void set_state(CircuitState to) {
        if (state_ != to) enter(to, now_);
    }
    void reset() { enter(CircuitState::closed, now_); }

    void reconfigure(const CircuitBreakerConfig& config) {
        forget();
        const bool was_timed = config_.sliding_window_duration.has_value();
        if (was_timed) by_buckets(!config.sliding_window_duration);
        if (!was_timed && config.sliding_window_duration)
            for (auto& outcome : window_) outcome.at = now_;
        config_ = config;
        forget();
    }

    // In the states that keep none it is the one that was judged.
    OutcomeCounts counts() const { return keeps_a_window() ? counted() : judged_; }

    std::uint64_t rejected() const { return rejected_; }
    std::uint64_t late() const { return late_; }
    const std::vector<std::pair<CircuitState, TimePoint>>& transitions() const { return transitions_; }

  private:
    struct Outcome {
        TimePoint at{};
        bool failed = false, slow = false;
    };

    bool keeps_a_window() const { return state_ == CircuitState::closed || state_ == CircuitState::metrics_only; }

    Duration::rep bucket_of(TimePoint at) const { return at.time_since_epoch() / width(); }
    // Of a bucket: as few nanoseconds as make up the duration.
    Duration width() const {
        const auto buckets = static_cast<Duration::rep>(config_.sliding_window_buckets);
        const auto duration = config_.sliding_window_duration->count();
        return Duration{duration / buckets + (duration % buckets != 0)};
    }
    bool is_in_window(const Outcome& outcome) const {
        return !config_.sliding_window_duration ||
               bucket_of(outcome.at) + static_cast<Duration::rep>(config_.sliding_window_buckets) > bucket_of(now_);
    }

    void forget() {
        std::erase_if(window_, [&](const Outcome& outcome) { return !is_in_window(outcome); });
        if (!config_.sliding_window_duration && window_.size() > config_.sliding_window_size)
            window_.erase(window_.begin(), window_.end() - static_cast<std::ptrdiff_t>(config_.sliding_window_size));
    }

    OutcomeCounts counted() const {
        OutcomeCounts counts;
        for (const auto& outcome : window_) {
            if (!is_in_window(outcome)) continue;
            ++counts.calls;
            counts.failures += outcome.failed;
            counts.slow += outcome.slow;
        }
        return counts;
    }

    // Of the outcomes of a bucket only the counts are known, and when the bucket began.
    void by_buckets(bool newest_are_the_bad_ones) {
        std::map<Duration::rep, OutcomeCounts> buckets;
        for (const auto& outcome : window_) {
            auto& bucket = buckets[bucket_of(outcome.at)];
            ++bucket.calls;
            bucket.failures += outcome.failed;
            bucket.slow += outcome.slow;
        }
        window_.clear();
        for (const auto& [number, bucket] : buckets)
            for (std::uint64_t i = bucket.calls; i-- > 0;) // both orders give the same counts, and only one is promised
                window_.push_back({newest_are_the_bad_ones ? now_ : TimePoint{number * width()}, i < bucket.failures,
                                   i < bucket.slow});
    }

    // The rates of this model's configs are halves, thirds and quarters: twelfths compare exactly.
    static bool reaches(std::uint64_t part, std::uint64_t whole, double rate) {
        return 12 * part >= static_cast<std::uint64_t>(rate * 12 + 0.5) * whole;
    }

    bool says_open() const {
        const auto counts = counted();
        const auto most = config_.sliding_window_duration ? std::size_t{10} : config_.sliding_window_size;
        const auto for_rates = config_.minimum_throughput.value_or(std::min<std::size_t>(10, most));
        if (counts.calls >= config_.minimum_throughput.value_or(1) && counts.failures >= config_.failure_threshold)
            return true;
        if (config_.failure_rate_threshold && counts.calls >= for_rates &&
            reaches(counts.failures, counts.calls, *config_.failure_rate_threshold))
            return true;
        return config_.slow_call_threshold &&
               counts.calls >= config_.slow_call_minimum_throughput.value_or(for_rates) &&
               reaches(counts.slow, counts.calls, config_.slow_call_rate_threshold);
    }

    // The multipliers of this model's configs are 1, 1.5 and 2, its waits seconds: doubles are exact until the cap.
    Duration wait() {
        auto step = static_cast<double>(config_.timeout.count());
        const auto longest = static_cast<double>(config_.max_timeout.value_or(10 * config_.timeout).count());
        for (int i = 0; i < reopenings_ && step < longest; ++i) step *= config_.timeout_multiplier;
        step = std::min(step, longest);
        const auto random = std::exchange(draw_, random_.next());
        const auto part = static_cast<long double>(random) / 18446744073709551616.0L;
        return Duration{static_cast<Duration::rep>(step) +
                        static_cast<Duration::rep>(static_cast<long double>(step) *
                                                   static_cast<long double>(config_.timeout_jitter) * part)};
    }

    void open(TimePoint at, std::optional<Duration> retry_after = std::nullopt) {
        reopenings_ = state_ == CircuitState::half_open ? reopenings_ + 1 : 0;
        enter(CircuitState::open, at);
        open_until_ = at + std::max(wait(), retry_after.value_or(Duration::zero()));
    }

    void enter(CircuitState to, TimePoint at) {
        if (to != state_) transitions_.emplace_back(to, at);
        judged_ = counts();
        state_ = to;
        ++life_;
        probes_.clear();
        succeeded_ = 0;
        if (keeps_a_window()) window_.clear();
    }

    CircuitBreakerConfig config_;
    TimePoint now_;
    CircuitState state_ = CircuitState::closed;
    int life_ = 0;
    TimePoint open_until_{};
    int reopenings_ = 0;
    BackoffRandom random_;
    std::uint64_t draw_;
    // Of the half-open state that there is.
    Duration limit_{};
    std::size_t needed_ = 0;
    std::multiset<TimePoint> probes_;
    std::size_t succeeded_ = 0;
    std::vector<Outcome> window_;
    OutcomeCounts judged_;
    std::uint64_t rejected_ = 0, late_ = 0;
    std::vector<std::pair<CircuitState, TimePoint>> transitions_;
};

} // namespace velostream::testing
