// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/config/retry_config.hpp"
#include "velostream/core/backoff_schedule.hpp"

namespace velostream {

/// What a failed try means for its call.
enum class RetryChoice : std::uint8_t {
    again,         ///< after the delay
    not_retryable, ///< an error that another try would not mend
    exhausted,     ///< all tries that are allowed were made
    no_time,       ///< the deadline would pass before the next try
};

/// For logs: `retries exhausted`.
std::string_view to_string(RetryChoice choice) noexcept;

struct RetryDecision {
    RetryChoice choice = RetryChoice::not_retryable;
    Duration delay{}; ///< of `again`
};

/// The state of one call that is decided about.
struct RetryProgress {
    std::uint32_t attempts = 0;           ///< tries made so far
    bool idempotent = false;              ///< the operation may happen more than once
    Duration previous_delay{};            ///< the delay before the last try
    Duration remaining = Duration::max(); ///< until the deadline of the call
};

/// Decides after which errors, how often and when a call is tried again.
///
/// Threads: safe; it holds no state.
class RetryPolicy {
  public:
    explicit RetryPolicy(const RetryConfig& config);

    /// `no_retry_on` wins over `retry_on`; a non-empty `retry_on` is the whole list, else network, timeout and
    /// service_unavailable are retried. An error of unknown outcome is retried if the operation is idempotent, and
    /// `timeout` or `outcome_unknown` would be.
    bool is_retryable(const Error& error, bool idempotent) const noexcept;

    /// `error`'s Retry-After is a lower bound of the delay. `random` is uniform over all 64-bit values.
    RetryDecision decide(const Error& error, const RetryProgress& progress, std::uint64_t random) const noexcept;

    std::uint32_t max_retries() const noexcept { return max_retries_; }

  private:
    bool lists(ErrorType type) const noexcept;

    std::uint32_t max_retries_;
    BackoffSchedule schedule_;
    std::uint32_t retried_types_ = 0; // one bit for each ErrorType
    std::uint32_t refused_types_ = 0;
};

} // namespace velostream
