// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_decision.hpp"

#include <algorithm>
#include <limits>
#include <utility>

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
        case RetryChoice::no_budget:
            return "retry budget exhausted";
        case RetryChoice::no_memory:
            return "no memory to wait";
        case RetryChoice::callback_threw:
            return "a callback threw";
    }
    return "unknown";
}

std::optional<Errc> limit_of(RetryChoice choice) noexcept {
    if (choice == RetryChoice::no_time) return Errc::deadline_exceeded;
    if (choice == RetryChoice::no_budget) return Errc::budget_exhausted;
    if (choice == RetryChoice::no_memory) return Errc::memory_limit_exceeded;
    return std::nullopt;
}

RetryPolicy::RetryPolicy(const RetryConfig& config, RetryPredicate retry_if)
    : max_retries_(config.max_retries),
      schedule_(config.backoff_strategy, config.jitter),
      retry_if_(std::move(retry_if)),
      retried_types_(config.retry_on.empty() ? retried_by_default : bits(config.retry_on)),
      refused_types_(bits(config.no_retry_on)) {}

bool RetryPolicy::lists(ErrorType type) const noexcept {
    return (retried_types_ & ~refused_types_ & bit(type)) != 0;
}

bool RetryPolicy::is_retryable(const Error& error, bool idempotent) const {
    const auto type = error.type();
    if ((refused_types_ & bit(type)) != 0) return false;
    if (error.has_unknown_outcome() && (!idempotent || (refused_types_ & bit(ErrorType::outcome_unknown)) != 0))
        return false;
    const auto refused_by = error.retry_refused_by();
    if (refused_by == Errc::budget_exhausted || refused_by == Errc::memory_limit_exceeded)
        return lists(ErrorType::resource_exhausted);
    if (retry_if_ && type != ErrorType::cancelled)
        if (const auto answer = retry_if_(error)) return *answer;
    return lists(type) || (type == ErrorType::outcome_unknown && lists(ErrorType::timeout));
}

RetryDecision RetryPolicy::decide(const Error& error, const RetryProgress& progress,
                                  std::uint64_t random) const noexcept {
    constexpr auto last_try = std::numeric_limits<std::uint32_t>::max();
    try {
        if (!is_retryable(error, progress.idempotent)) return {RetryChoice::not_retryable, {}};
    } catch (...) {
        return {RetryChoice::callback_threw, {}};
    }
    if (progress.attempts > max_retries_ || progress.attempts == last_try) return {RetryChoice::exhausted, {}};
    const auto retry = std::max(progress.attempts, std::uint32_t{1}) - 1;
    const auto delay = std::max(schedule_.delay(retry, progress.previous_delay, random),
                                error.retry_after().value_or(Duration::zero()));
    if (delay >= progress.remaining) return {RetryChoice::no_time, {}};
    return {RetryChoice::again, delay};
}

} // namespace velostream
