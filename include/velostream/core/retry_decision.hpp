// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/config/retry_config.hpp"
#include "velostream/core/backoff_schedule.hpp"

namespace velostream {

/// What a failed try means for its call.
enum class RetryChoice : std::uint8_t {
    again,          ///< after the delay
    not_retryable,  ///< an error that another try would not mend
    exhausted,      ///< all tries that are allowed were made
    no_time,        ///< the deadline would pass before the next try, or that would never come
    no_budget,      ///< the retry budget has nothing left
    no_memory,      ///< the account has no room for what the call would hold while it waits
    callback_threw, ///< a predicate or a generator of timeouts threw
};
inline constexpr std::size_t retry_choices = 7;

/// For logs: `retries exhausted`.
std::string_view to_string(RetryChoice choice) noexcept;

/// The limit that refused another try, for `Error::retry_refused_by`; empty for other choices.
std::optional<Errc> limit_of(RetryChoice choice) noexcept;

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

/// Says of an error whether another try may help, or nothing where `retry_on` and `no_retry_on` shall decide. A
/// function that returns `bool` decides about every error that it is asked about.
using RetryPredicate = std::function<std::optional<bool>(const Error&)>;

/// Decides after which errors, how often and when a call is tried again.
///
/// Threads: safe, if the predicate is; it holds no state.
class RetryPolicy {
  public:
    explicit RetryPolicy(const RetryConfig& config, RetryPredicate retry_if = nullptr);

    /// The first rule that applies decides:
    /// 1. What `no_retry_on` lists is not retried.
    /// 2. An error of unknown outcome, or one with such an error inside, is not, unless the operation is idempotent,
    ///    and `no_retry_on` does not list `outcome_unknown`.
    /// 3. What an inner retry had to give up, because its budget or memory was used up, is retried only where
    ///    `resource_exhausted` is listed.
    /// 4. `retry_if`, if it has an answer. It is not asked about `cancelled`.
    /// 5. A non-empty `retry_on` is the whole list, else network, timeout and service_unavailable are retried. An error
    ///    of unknown outcome is retried wherever `timeout` or `outcome_unknown` would be.
    ///
    /// Errors: throws what `retry_if` throws.
    bool is_retryable(const Error& error, bool idempotent) const;

    /// `error`'s Retry-After is a lower bound of the delay. One that comes to `Duration::max()` never ends, so there is
    /// no time for a further try, with a deadline and without. `random` is uniform over all 64-bit values. Tries are
    /// counted up to 2³² − 1: after so many a call has no further one.
    RetryDecision decide(const Error& error, const RetryProgress& progress, std::uint64_t random) const noexcept;

    std::uint32_t max_retries() const noexcept { return max_retries_; }

  private:
    bool lists(ErrorType type) const noexcept;

    std::uint32_t max_retries_;
    BackoffSchedule schedule_;
    RetryPredicate retry_if_;
    std::uint32_t retried_types_ = 0; // one bit for each ErrorType
    std::uint32_t refused_types_ = 0;
};

} // namespace velostream
