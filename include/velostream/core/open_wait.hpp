// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream {

/// How long a circuit stays open. The arithmetic saturates, so every number is legal.
class OpenWait {
  public:
    explicit OpenWait(const CircuitBreakerConfig& config) noexcept;

    /// The wait after the circuit has opened again `reopenings` times without having been closed, without jitter.
    /// Never falls as `reopenings` grows, never exceeds `max_timeout`, never below `timeout`.
    Duration step(std::uint32_t reopenings) const noexcept;

    /// The wait with jitter: at least `step(reopenings)` and at least `retry_after`, at most the larger of
    /// `retry_after` and `step(reopenings) × (1 + timeout_jitter)`. `random` is uniform over all 64-bit values.
    Duration wait(std::uint32_t reopenings, std::uint64_t random,
                  std::optional<Duration> retry_after = std::nullopt) const noexcept;

    bool has_jitter() const noexcept { return jitter_ > 0; }

  private:
    Duration first_;
    Duration longest_;
    double multiplier_;
    double jitter_;
};

} // namespace velostream
