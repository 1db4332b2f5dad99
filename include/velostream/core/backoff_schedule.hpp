// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/config/retry_config.hpp"

namespace velostream {

/// How long to wait before each retry. Retries are counted from 0; the arithmetic saturates, so every number is legal.
class BackoffSchedule {
  public:
    explicit BackoffSchedule(const BackoffStrategy& strategy, Jitter jitter = Jitter::none)
        : strategy_(strategy), jitter_(jitter) {}

    /// The delay before retry `retry` as the strategy says, without jitter. Never falls as `retry` grows, never exceeds
    /// `cap()`.
    Duration delay(std::uint32_t retry) const noexcept;

    /// The delay with jitter. `previous` is the delay before, as returned (only `decorrelated` looks at it; anything
    /// for the first); `random` is uniform over all 64-bit values.
    ///
    /// Always > 0 and ≤ `cap()`. A strategy without a cap is held to 1.25 times its own delay by `proportional` and to
    /// 3 times by `decorrelated`.
    Duration delay(std::uint32_t retry, Duration previous, std::uint64_t random) const noexcept;

    /// What no delay exceeds: `max_delay` where the strategy has one, else the largest duration.
    Duration cap() const noexcept;

  private:
    BackoffStrategy strategy_;
    Jitter jitter_;
};

} // namespace velostream
