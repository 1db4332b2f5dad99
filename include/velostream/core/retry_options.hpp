// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/retry_budget.hpp"
#include "velostream/core/retry_decision.hpp"

namespace velostream {

/// A try that ended, and what follows from it. The reference is valid during the call only.
struct RetryAttempt {
    std::uint32_t number = 1;                          ///< from 1
    const Error* error = nullptr;                      ///< null: it succeeded
    std::optional<RetryChoice> choice = std::nullopt;  ///< of a failure: what it means for the call
    std::optional<Duration> next_delay = std::nullopt; ///< until the next try; empty if there is none
};

/// What a retry executor is given beside its config.
///
/// Threads: the functions are called from any thread that runs a call, under no lock.
struct RetryOptions {
    /// How many of all calls may be tried again, shared with other executors. Instead of the config's own, if that has
    /// one. Unset: only `max_retries` of each call limits them.
    std::optional<RetryBudget> budget = std::nullopt;

    /// Charged with the `held_bytes` of every call while it waits for its next try, and with the budget of the config,
    /// if that has one and none is given here: one without room for that, about 1.5 KiB, lets the constructor throw
    /// `MemoryRefusedException`. Unlimited unless given.
    MemoryAccount account = {};

    /// Asked about an error before `retry_on` is, and after `no_retry_on`: see `RetryPolicy::is_retryable`. What it
    /// throws ends the call with the error that it was asked about.
    RetryPredicate retry_if = nullptr;

    /// Instead of `RetryConfig::attempt_timeout`: how long try `attempt` (from 1) may take, if `remaining` is left
    /// until the deadline of the call; `Duration::max()` stands for none, in both. An answer of less than a nanosecond
    /// counts as one. What it throws ends the call, which makes no further try, with the last error inside; a call that
    /// it ends before the first try is not counted.
    std::function<Duration(std::uint32_t attempt, Duration remaining)> attempt_timeout = nullptr;

    /// Told of every try that ended, also of one that another policy refused, before the wait for the next. Not told
    /// of tries that were destroyed. It must not throw: that ends the program.
    std::function<void(const RetryAttempt&)> on_attempt = nullptr;
};

} // namespace velostream
