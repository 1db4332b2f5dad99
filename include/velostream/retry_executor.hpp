// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/backoff_random.hpp"
#include "velostream/core/retry_decision.hpp"
#include "velostream/core/sharded_count.hpp"

namespace velostream {

/// What a retry executor did so far. A call that made a first try ends in one of four ways, or succeeds in that try: of
/// calls that have ended, `calls` − `succeeded_after_retry` − `exhausted` − `given_up` − `cancelled` needed no retry.
struct RetryStats {
    std::uint64_t calls = 0;                 ///< calls that made a first try
    std::uint64_t retries = 0;               ///< further tries that were scheduled, over all calls
    std::uint64_t succeeded_after_retry = 0; ///< calls that succeeded, but not in the first try
    std::uint64_t exhausted = 0;             ///< calls that failed in every try that was allowed
    std::uint64_t given_up = 0;              ///< calls that failed with tries left: not retryable, or no time
    std::uint64_t cancelled = 0;             ///< calls that were cancelled, or destroyed before they ended
};

/// Calls again what failed, if another try may help: so often, so patiently and after such errors as its config says.
///
/// ```cpp
/// RetryExecutor retry{RetryConfig{.max_retries = 3}};
/// auto send = [&] { return producer.send(record); };
/// auto sent = co_await retry.execute_with_retry(send);
/// ```
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe.
/// Lifetime: must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class RetryExecutor {
  public:
    explicit RetryExecutor(const RetryConfig& config, std::shared_ptr<Observer> observer = nullptr, Time time = {},
                           std::optional<std::uint64_t> seed = std::nullopt)
        : policy_(validated(config)),
          jitters_(config.jitter != Jitter::none),
          attempt_timeout_(config.attempt_timeout),
          observer_(std::move(observer)),
          time_(std::move(time)) {
        if (seed) random_.seed(*seed);
    }
    RetryExecutor(const RetryExecutor&) = delete;
    RetryExecutor& operator=(const RetryExecutor&) = delete;

    /// Runs `operation` until it succeeds, or another try is not allowed, or would not help, or would come too late.
    ///
    /// Completes with: its result. A failure that is not retryable is returned as itself; so is the last one if the
    ///                 deadline of the call would pass before the next try. When all tries failed
    ///                 `Errc::retries_exhausted`, with the last error inside. Each of them says the `attempts`.
    /// Cancellation:   all kinds go to the operation, and end the wait before the next try; the call is then over.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute_with_retry(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(std::move(operation), options, *this);
    }

    RetryStats get_stats() const noexcept {
        return {.calls = calls_.sum(),
                .retries = retries_.load(std::memory_order_relaxed),
                .succeeded_after_retry = succeeded_after_retry_.load(std::memory_order_relaxed),
                .exhausted = exhausted_.load(std::memory_order_relaxed),
                .given_up = given_up_.load(std::memory_order_relaxed),
                .cancelled = cancelled_.load(std::memory_order_relaxed)};
    }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The executor's part in one call.
    class Guard {
      public:
        explicit Guard(RetryExecutor& retry) noexcept : retry_(retry) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (is_open_) [[unlikely]]
                count(retry_.cancelled_);
        }

        Decision before(CallContext& call) {
            if (++attempts_ == 1) retry_.calls_.add();
            is_open_ = true;
            call.begin_attempt(attempts_,
                               retry_.attempt_timeout_ ? retry_.attempt_deadline() : CallContext::no_deadline);
            return Decision::proceed();
        }
        void after_success(CallContext&) noexcept {
            is_open_ = false;
            if (attempts_ > 1) [[unlikely]]
                count(retry_.succeeded_after_retry_);
        }
        Verdict after_failure(CallContext& call, Error& error) {
            const auto verdict = retry_.after_failure(call, attempts_, previous_delay_, error);
            is_open_ = verdict.again().has_value();
            return verdict;
        }

      private:
        RetryExecutor& retry_;
        std::uint32_t attempts_ = 0;
        bool is_open_ = false; // the call has made a try and did not end
        Duration previous_delay_{};
    };

  private:
    using Count = std::atomic<std::uint64_t>;

    static void count(Count& which) noexcept { which.fetch_add(1, std::memory_order_relaxed); }

    TimePoint attempt_deadline() const noexcept { return saturating_add(time_.now(), *attempt_timeout_); }

    Verdict after_failure(CallContext& call, std::uint32_t attempts, Duration& previous_delay, Error& error) {
        const auto now = time_.now();
        const RetryProgress progress{.attempts = attempts,
                                     .idempotent = call.is_idempotent(),
                                     .previous_delay = previous_delay,
                                     .remaining = call.call_deadline() == CallContext::no_deadline
                                                      ? Duration::max()
                                                      : call.call_deadline() - now};
        const auto decision = policy_.decide(error, progress, jitters_ ? random_.next() : 0);
        error = error.with_attempts(attempts);
        if (decision.choice != RetryChoice::again) {
            give_up(decision.choice, attempts, error);
            return Verdict::pass_on();
        }
        previous_delay = decision.delay;
        count(retries_);
        if (observer_) observer_->on_retry_scheduled({attempts, decision.delay, error});
        return Verdict::again_at(saturating_add(now, decision.delay));
    }

    void give_up(RetryChoice choice, std::uint32_t attempts, Error& error) {
        const bool exhausted = choice == RetryChoice::exhausted;
        count(exhausted ? exhausted_ : error == ErrorType::cancelled ? cancelled_ : given_up_);
        if (observer_) observer_->on_retry_given_up({attempts, to_string(choice), error});
        if (exhausted) error = Error{Errc::retries_exhausted}.with_inner(error).with_attempts(attempts);
    }

    const RetryPolicy policy_;
    const bool jitters_;
    const std::optional<Duration> attempt_timeout_;
    const std::shared_ptr<Observer> observer_;
    const Time time_;
    BackoffRandom random_;

    // relaxed: counts only. Calls that succeed at once touch only the first.
    ShardedCount calls_;
    Count retries_{0}, succeeded_after_retry_{0}, exhausted_{0}, given_up_{0}, cancelled_{0};
};

} // namespace velostream
