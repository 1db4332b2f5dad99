// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/open_wait.hpp"

#include <algorithm>
#include <cmath>

namespace velostream {

namespace {

constexpr auto largest = static_cast<long double>(Duration::max().count());

Duration saturated(long double nanoseconds) noexcept {
    return nanoseconds < largest ? Duration{static_cast<Duration::rep>(nanoseconds)} : Duration::max();
}

Duration ten_times(Duration wait) noexcept {
    return wait > Duration::max() / 10 ? Duration::max() : 10 * wait;
}

} // namespace

OpenWait::OpenWait(const CircuitBreakerConfig& config) noexcept
    : first_(config.timeout),
      longest_(config.max_timeout.value_or(ten_times(config.timeout))),
      multiplier_(config.timeout_multiplier),
      jitter_(config.timeout_jitter) {}

// One power, not repeated multiplication: the four billionth opening costs no more than the second.
Duration OpenWait::step(std::uint32_t reopenings) const noexcept {
    const auto factor = std::pow(static_cast<long double>(multiplier_), static_cast<long double>(reopenings));
    return std::clamp(saturated(static_cast<long double>(first_.count()) * factor), first_, longest_);
}

Duration OpenWait::wait(std::uint32_t reopenings, std::uint64_t random,
                        std::optional<Duration> retry_after) const noexcept {
    const auto least = step(reopenings);
    const auto part = std::ldexp(static_cast<long double>(random), -64); // below 1
    const auto added = saturated(static_cast<long double>(least.count()) * static_cast<long double>(jitter_) * part);
    const auto wait = added > Duration::max() - least ? Duration::max() : least + added;
    return std::max(wait, retry_after.value_or(Duration::zero()));
}

} // namespace velostream
