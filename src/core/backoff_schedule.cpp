// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/backoff_schedule.hpp"

#include <algorithm>
#include <cmath>

#include "velostream/core/backoff_random.hpp"

namespace velostream {

namespace {

constexpr Duration shortest{1};

Duration saturated_product(Duration value, std::uint64_t factor) noexcept {
    Duration::rep product = 0;
    if (factor > static_cast<std::uint64_t>(Duration::max().count()) ||
        __builtin_mul_overflow(value.count(), static_cast<Duration::rep>(factor), &product))
        return Duration::max();
    return Duration{product};
}

Duration saturated_sum(Duration a, Duration b) noexcept {
    Duration::rep sum = 0;
    return __builtin_add_overflow(a.count(), b.count(), &sum) ? Duration::max() : Duration{sum};
}

// Powers by `powl`, not by repeated multiplication: retry four billion costs no more than the first.
Duration base_delay(const ExponentialBackoff& strategy, std::uint32_t retry) noexcept {
    const auto factor = std::pow(static_cast<long double>(strategy.multiplier), static_cast<long double>(retry));
    const auto nanoseconds = static_cast<long double>(strategy.initial_delay.count()) * factor;
    const auto cap = static_cast<long double>(strategy.max_delay.count());
    return nanoseconds < cap ? Duration{std::llround(nanoseconds)} : strategy.max_delay;
}

Duration base_delay(const FixedInterval& strategy, std::uint32_t) noexcept {
    return strategy.interval;
}

Duration base_delay(const LinearBackoff& strategy, std::uint32_t retry) noexcept {
    const auto delay = saturated_sum(strategy.initial_delay, saturated_product(strategy.increment, retry));
    return std::min(delay, strategy.max_delay.value_or(Duration::max()));
}

// Uniform in [low, high]: the upper half of a 64 x 64 bit product, whose bias is below 2^-32 for any sensible span.
Duration uniform(Duration low, Duration high, std::uint64_t random) noexcept {
    if (high <= low) return low;
    __extension__ using Wide = unsigned __int128;
    const auto span = static_cast<std::uint64_t>(high.count() - low.count()) + 1;
    return low + Duration{static_cast<Duration::rep>(Wide{random} * span >> 64)};
}

} // namespace

Duration BackoffSchedule::delay(std::uint32_t retry) const noexcept {
    const std::variant<ExponentialBackoff, FixedInterval, LinearBackoff>& strategy = strategy_;
    return std::visit([&](const auto& chosen) { return std::max(base_delay(chosen, retry), shortest); }, strategy);
}

Duration BackoffSchedule::delay(std::uint32_t retry, Duration previous, std::uint64_t random) const noexcept {
    const auto base = delay(retry);
    const auto quarter = base / 4;
    auto chosen = base;
    switch (jitter_) {
        case Jitter::none:
            break;
        case Jitter::full:
            chosen = uniform(shortest, base, random);
            break;
        case Jitter::equal:
            chosen = uniform(base - base / 2, base, random);
            break;
        case Jitter::decorrelated: {
            const auto first = delay(0);
            const auto most = saturated_product(retry == 0 ? first : std::max(previous, first), 3);
            const auto limit = cap() == Duration::max() ? saturated_product(base, 3) : cap();
            chosen = uniform(first, std::min(most, limit), random);
            break;
        }
        case Jitter::proportional:
            chosen = uniform(base - quarter, std::min(saturated_sum(base, quarter), cap()), random);
            break;
    }
    return std::clamp(chosen, shortest, cap());
}

Duration BackoffSchedule::cap() const noexcept {
    if (const auto* exponential = std::get_if<ExponentialBackoff>(&strategy_)) return exponential->max_delay;
    if (const auto* linear = std::get_if<LinearBackoff>(&strategy_)) return linear->max_delay.value_or(Duration::max());
    return Duration::max();
}

} // namespace velostream
