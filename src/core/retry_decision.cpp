// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_decision.hpp"

#include <algorithm>

namespace velostream {

namespace {

constexpr std::uint32_t bit(ErrorType type) noexcept {
    return std::uint32_t{1} << static_cast<unsigned>(type);
}

std::uint32_t bits(const std::vector<ErrorType>& types) noexcept {
    std::uint32_t set = 0;
    for (const auto type : types) set |= bit(type);
    return set;
}

constexpr std::uint32_t retried_by_default =
    bit(ErrorType::network) | bit(ErrorType::timeout) | bit(ErrorType::service_unavailable);

} // namespace

std::string_view to_string(RetryChoice choice) noexcept {
    switch (choice) {
        case RetryChoice::again:
            return "again";
        case RetryChoice::not_retryable:
            return "not retryable";
        case RetryChoice::exhausted:
            return "retries exhausted";
        case RetryChoice::no_time:
            return "no time before the deadline";
    }
    return "unknown";
}

RetryPolicy::RetryPolicy(const RetryConfig& config)
    : max_retries_(config.max_retries),
      schedule_(config.backoff_strategy, config.jitter),
      retried_types_(config.retry_on.empty() ? retried_by_default : bits(config.retry_on)),
      refused_types_(bits(config.no_retry_on)) {}

bool RetryPolicy::lists(ErrorType type) const noexcept {
    return (retried_types_ & ~refused_types_ & bit(type)) != 0;
}

bool RetryPolicy::is_retryable(const Error& error, bool idempotent) const noexcept {
    const auto type = error.type();
    if (type != ErrorType::outcome_unknown) return lists(type);
    if (!idempotent || (refused_types_ & bit(type)) != 0) return false;
    return lists(type) || lists(ErrorType::timeout);
}

RetryDecision RetryPolicy::decide(const Error& error, const RetryProgress& progress,
                                  std::uint64_t random) const noexcept {
    if (!is_retryable(error, progress.idempotent)) return {RetryChoice::not_retryable, {}};
    if (progress.attempts > max_retries_) return {RetryChoice::exhausted, {}};
    const auto retry = std::max(progress.attempts, std::uint32_t{1}) - 1;
    const auto delay = std::max(schedule_.delay(retry, progress.previous_delay, random),
                                error.retry_after().value_or(Duration::zero()));
    if (delay >= progress.remaining) return {RetryChoice::no_time, {}};
    return {RetryChoice::again, delay};
}

} // namespace velostream
