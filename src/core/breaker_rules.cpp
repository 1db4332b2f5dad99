// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_rules.hpp"

#include <algorithm>
#include <cmath>

namespace velostream {

// Continued fraction expansion: its convergents are the best approximations of their size, so the first one that rounds
// to `value` is the fraction that was written down (0.1, 2.0 / 3), not the nearest binary one.
ExactFraction::ExactFraction(double value) noexcept {
    std::uint64_t numerators[2] = {0, 1}; // one convergent back, and this one
    std::uint64_t denominators[2] = {1, 0};
    long double rest = value;
    for (;;) {
        const auto whole = std::floor(rest);
        if (whole > static_cast<long double>(largest)) return;
        const auto digit = static_cast<std::uint64_t>(whole);
        if (denominators[1] != 0 && digit > (largest - denominators[0]) / denominators[1]) return;
        const auto numerator = digit * numerators[1] + numerators[0];
        const auto denominator = digit * denominators[1] + denominators[0];
        if (numerator != 0) {
            numerator_ = numerator;
            denominator_ = denominator;
        }
        if (static_cast<double>(numerator) / static_cast<double>(denominator) == value) return;
        numerators[0] = numerators[1];
        numerators[1] = numerator;
        denominators[0] = denominators[1];
        denominators[1] = denominator;
        rest = 1.0L / (rest - whole);
    }
}

namespace {

std::size_t default_rate_minimum(const CircuitBreakerConfig& config) noexcept {
    constexpr std::size_t usual = 10;
    return config.sliding_window_duration ? usual : std::min(usual, config.sliding_window_size);
}

} // namespace

BreakerRules::BreakerRules(const CircuitBreakerConfig& config) noexcept
    : count_minimum_(static_cast<std::uint32_t>(config.minimum_throughput.value_or(1))),
      rate_minimum_(static_cast<std::uint32_t>(config.minimum_throughput.value_or(default_rate_minimum(config)))),
      slow_minimum_(static_cast<std::uint32_t>(config.slow_call_minimum_throughput.value_or(rate_minimum_))),
      last_minimum_(std::max(count_minimum_, rate_minimum_)),
      failure_threshold_(static_cast<std::uint32_t>(config.failure_threshold)) {
    if (config.failure_rate_threshold) failure_rate_.emplace(*config.failure_rate_threshold);
    if (!config.slow_call_threshold) return;
    slow_call_rate_.emplace(config.slow_call_rate_threshold);
    last_minimum_ = std::max(last_minimum_, slow_minimum_);
}

std::optional<BreakerRule> BreakerRules::judge(const OutcomeCounts& counts) const noexcept {
    if (counts.calls >= count_minimum_ && counts.failures >= failure_threshold_) return BreakerRule::failure_count;
    if (failure_rate_ && counts.calls >= rate_minimum_ && failure_rate_->is_reached(counts.failures, counts.calls))
        return BreakerRule::failure_rate;
    if (slow_call_rate_ && counts.calls >= slow_minimum_ && slow_call_rate_->is_reached(counts.slow, counts.calls))
        return BreakerRule::slow_call_rate;
    return std::nullopt;
}

double BreakerRules::threshold(BreakerRule rule) const noexcept {
    switch (rule) {
        case BreakerRule::failure_count:
            return failure_threshold_;
        case BreakerRule::failure_rate:
            return failure_rate_ ? failure_rate_->value() : 0;
        case BreakerRule::slow_call_rate:
            return slow_call_rate_ ? slow_call_rate_->value() : 0;
    }
    return 0;
}

} // namespace velostream
