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

namespace velostream {

/// What a retry executor did so far.
struct RetryStats {
    std::uint64_t retries = 0;   ///< tries after the first, over all calls
    std::uint64_t exhausted = 0; ///< calls that failed in every try that was allowed
    std::uint64_t given_up = 0;  ///< calls that failed with tries left: not retryable, or no time
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
        return {retries_.load(std::memory_order_relaxed), exhausted_.load(std::memory_order_relaxed),
                given_up_.load(std::memory_order_relaxed)};
    }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The executor's part in one call.
    class Guard {
      public:
        explicit Guard(RetryExecutor& retry) noexcept : retry_(retry) {}

        Decision before(CallContext& call) {
            ++attempts_;
            call.begin_attempt(attempts_,
                               retry_.attempt_timeout_ ? retry_.attempt_deadline() : CallContext::no_deadline);
            return Decision::proceed();
        }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext& call, Error& error) {
            return retry_.after_failure(call, attempts_, previous_delay_, error);
        }

      private:
        RetryExecutor& retry_;
        std::uint32_t attempts_ = 0;
        Duration previous_delay_{};
    };

  private:
    TimePoint attempt_deadline() const noexcept {
        const auto now = time_.now();
        return *attempt_timeout_ > TimePoint::max() - now ? TimePoint::max() : now + *attempt_timeout_;
    }

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
        retries_.fetch_add(1, std::memory_order_relaxed);
        if (observer_) observer_->on_retry_scheduled({attempts, decision.delay, error});
        return Verdict::again_at(decision.delay > TimePoint::max() - now ? TimePoint::max() : now + decision.delay);
    }

    void give_up(RetryChoice choice, std::uint32_t attempts, Error& error) {
        const bool exhausted = choice == RetryChoice::exhausted;
        (exhausted ? exhausted_ : given_up_).fetch_add(1, std::memory_order_relaxed);
        if (observer_) observer_->on_retry_given_up({attempts, to_string(choice), error});
        if (exhausted) error = Error{Errc::retries_exhausted}.with_inner(error).with_attempts(attempts);
    }

    const RetryPolicy policy_;
    const bool jitters_;
    const std::optional<Duration> attempt_timeout_;
    const std::shared_ptr<Observer> observer_;
    const Time time_;
    BackoffRandom random_;

    // relaxed: counts only. Calls that succeed at once touch none of them.
    std::atomic<std::uint64_t> retries_{0}, exhausted_{0}, given_up_{0};
};

} // namespace velostream
