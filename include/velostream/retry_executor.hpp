// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/backoff_random.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/retry_budget.hpp"
#include "velostream/core/retry_decision.hpp"
#include "velostream/core/retry_options.hpp"
#include "velostream/core/sharded_count.hpp"

namespace velostream {

/// What a retry executor did so far. A call that made a first try ends in one of four ways, or succeeds in that try: of
/// calls that have ended, `calls` − `succeeded_after_retry` − `exhausted` − `given_up` − `cancelled` needed no retry.
/// These five, and `succeeded_after_retry` ≤ `retries`, fit each other at any moment: no end is seen without its call.
struct RetryStats {
    std::uint64_t calls = 0;                 ///< calls that made a first try
    std::uint64_t retries = 0;               ///< further tries that were scheduled, over all calls
    std::uint64_t succeeded_after_retry = 0; ///< calls that succeeded, but not in the first try
    std::uint64_t exhausted = 0;             ///< calls that failed in every try that was allowed
    std::uint64_t given_up = 0;              ///< calls that failed with tries left: the sum of the next five
    std::uint64_t cancelled = 0;             ///< calls that were cancelled, or destroyed before they ended

    std::uint64_t not_retryable = 0;  ///< given up: an error that no other try would mend
    std::uint64_t no_time = 0;        ///< given up: the next try would have come after the deadline, or never
    std::uint64_t no_budget = 0;      ///< given up: the retry budget had nothing left
    std::uint64_t no_memory = 0;      ///< given up: the account had no room for what the call would have held
    std::uint64_t callback_threw = 0; ///< given up: a predicate or a generator of timeouts threw
};

/// Calls again what failed, if another try may help: so often, so patiently and after such errors as its config says.
///
/// ```cpp
/// RetryExecutor retry{RetryConfig{.max_retries = 3}};
/// auto send = [&] { return producer.send(record); };
/// auto sent = co_await retry.execute_with_retry(send);
/// ```
///
/// Inside a policy of a pipeline that tries again, each try of that policy is a call here: with all tries that are
/// allowed, and counted as one.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe.
/// Lifetime: must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class RetryExecutor {
  public:
    explicit RetryExecutor(const RetryConfig& config, std::shared_ptr<Observer> observer = nullptr, Time time = {},
                           std::optional<std::uint64_t> seed = std::nullopt)
        : RetryExecutor(config, RetryOptions{}, std::move(observer), std::move(time), seed) {}
    RetryExecutor(const RetryConfig& config, RetryOptions options, std::shared_ptr<Observer> observer = nullptr,
                  Time time = {}, std::optional<std::uint64_t> seed = std::nullopt)
        : policy_(validated(config), std::move(options.retry_if)),
          jitters_(config.jitter != Jitter::none),
          attempt_timeout_(config.attempt_timeout),
          budget_(std::move(options.budget)),
          account_(std::move(options.account)),
          timeout_of_attempt_(std::move(options.attempt_timeout)),
          on_attempt_(std::move(options.on_attempt)),
          observer_(std::move(observer)),
          time_(std::move(time)) {
        if (seed) random_.seed(*seed);
        if (!budget_ && config.budget) budget_.emplace(*config.budget, account_);
        times_tries_ = attempt_timeout_ || timeout_of_attempt_;
        prepares_tries_ = times_tries_ || budget_ || on_attempt_;
    }
    RetryExecutor(const RetryExecutor&) = delete;
    RetryExecutor& operator=(const RetryExecutor&) = delete;

    /// Runs `operation` until it succeeds, or another try is not allowed, or would not help, or would come too late.
    ///
    /// Completes with: its result. A failure that is not retryable is returned as itself; so is the last one if the
    ///                 deadline of the call would pass before the next try, if the budget is used up, or if the account
    ///                 has no room for the call's `held_bytes`; it then says so in `retry_refused_by()`. When all tries
    ///                 failed `Errc::retries_exhausted`, and if `RetryOptions::attempt_timeout` threw what it threw,
    ///                 both with the last error inside; the former says its `retry_after`, too, so that a breaker or a
    ///                 retry further out waits as long. Each of them says the `attempts`, and all but the last one how
    ///                 much time has `elapsed` since the first try began; where the clock was not needed then (no
    ///                 deadline, no budget, no timeouts, no `on_attempt`), since its failure, as time that it took
    ///                 longer than. (By which clock: see `Error::elapsed`.)
    /// Cancellation:   all kinds go to the operation, and end the wait before the next try; the call is then over, and
    ///                 has given back what it took from the budget for a try that it did not make. A coroutine that was
    ///                 cancelled before stays so: a call that it makes then is over after its first try.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute_with_retry(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    RetryStats get_stats() const noexcept {
        // Ends before beginnings, with acquire: whoever sees an end sees the call.
        RetryStats stats;
        const auto ended_by = [this](RetryChoice choice) { return ended_by_[index(choice)].load(acquire); };
        stats.exhausted = ended_by(RetryChoice::exhausted);
        stats.not_retryable = ended_by(RetryChoice::not_retryable);
        stats.no_time = ended_by(RetryChoice::no_time);
        stats.no_budget = ended_by(RetryChoice::no_budget);
        stats.no_memory = ended_by(RetryChoice::no_memory);
        stats.callback_threw = ended_by(RetryChoice::callback_threw);
        stats.given_up = stats.not_retryable + stats.no_time + stats.no_budget + stats.no_memory + stats.callback_threw;
        stats.succeeded_after_retry = succeeded_after_retry_.load(acquire);
        stats.cancelled = cancelled_.load(acquire);
        stats.retries = retries_.load(acquire);
        stats.calls = calls_.sum();
        return stats;
    }

    /// The budget that it takes retries from, if it has one.
    const std::optional<RetryBudget>& budget() const noexcept { return budget_; }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The executor's part in one call.
    class Guard {
      public:
        explicit Guard(RetryExecutor& retry) noexcept : retry_(retry) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (state_ != State::idle) [[unlikely]]
                abandon();
        }

        Decision before(CallContext& call) {
            auto deadline = CallContext::no_deadline;
            if (retry_.prepares_tries_ || attempts_ > 0) [[unlikely]]
                deadline = prepare_try(call);
            else
                begin_plain_try(call);
            if (++attempts_ == 1) retry_.calls_.add();
            call.begin_attempt(attempts_, deadline);
            return Decision::proceed();
        }
        void after_success(CallContext&) noexcept {
            if (state_ != State::in_plain_try) [[unlikely]]
                end_with_success();
            state_ = State::idle;
        }
        Verdict after_failure(CallContext& call, Error& error) noexcept {
            call.begin_attempt(attempts_, CallContext::no_deadline); // that of this try bounds nothing any more
            const auto again = decide(call, error);
            return again ? Verdict::again_at(*again) : Verdict::pass_on();
        }

      private:
        enum class State : std::uint8_t {
            idle,         // the call has made no try, or has ended
            in_plain_try, // its first, of which nobody wants to know
            in_try,
            waiting, // for the next try; only then there is a `backoff_`
        };

        enum class Beginning : std::uint8_t {
            unknown,
            known,         // `began_` is that of the first try
            first_failure, // and here its end
        };

        // What a call holds while it waits, and gives back however the wait ends.
        struct Backoff {
            std::optional<RetryBudget::Withdrawal> withdrawal;
            MemoryReservation memory;
        };

        void begin_plain_try(const CallContext& call) noexcept {
            state_ = State::in_plain_try;
            // Else without the clock, which costs as much as the rest of this.
            if (call.call_deadline() != CallContext::no_deadline) [[unlikely]]
                begin_at(retry_.time_.coarse_now());
        }
        void begin_at(TimePoint now) noexcept {
            began_ = now;
            beginning_ = Beginning::known;
        }
        Error with_elapsed(Error error, TimePoint now) const noexcept;
        TimePoint prepare_try(const CallContext& call);
        TimePoint deadline_of_try(const CallContext& call, TimePoint now) const;
        void end_with_success() noexcept;
        std::optional<TimePoint> decide(const CallContext& call, Error& error) noexcept;
        std::nullopt_t give_up(RetryChoice choice, Error& error, TimePoint now) noexcept;
        RetryChoice begin_backoff(const CallContext& call, TimePoint now) noexcept;
        void end_backoff() noexcept {
            std::destroy_at(&backoff_);
            state_ = State::in_try;
        }
        void abandon() noexcept;
        void tell_attempt(const RetryAttempt& attempt) const noexcept {
            if (retry_.on_attempt_) retry_.on_attempt_(attempt);
        }

        RetryExecutor& retry_;
        std::uint32_t attempts_ = 0;
        State state_ = State::idle;
        Beginning beginning_ = Beginning::unknown;
        Duration previous_delay_{};
        TimePoint began_; // set where the beginning is not unknown
        union {
            Backoff backoff_; // no optional: most calls have none, and pay for what they begin and end
        };
    };

  private:
    using Count = std::atomic<std::uint64_t>;
    static constexpr auto acquire = std::memory_order_acquire;

    static constexpr std::size_t index(RetryChoice choice) noexcept { return static_cast<std::size_t>(choice); }
    // release: whoever counts an end has counted its beginning before.
    static void count(Count& which) noexcept { which.fetch_add(1, std::memory_order_release); }

    static Duration remaining(const CallContext& call, TimePoint now) noexcept {
        return call.call_deadline() == CallContext::no_deadline ? Duration::max() : call.call_deadline() - now;
    }

    const RetryPolicy policy_;
    const bool jitters_;
    bool times_tries_ = false;    // by the exact clock
    bool prepares_tries_ = false; // a first try has more to do than to begin and to end
    const std::optional<Duration> attempt_timeout_;
    std::optional<RetryBudget> budget_;
    const MemoryAccount account_;
    const std::function<Duration(std::uint32_t, Duration)> timeout_of_attempt_;
    const std::function<void(const RetryAttempt&)> on_attempt_;
    const std::shared_ptr<Observer> observer_;
    const Time time_;
    BackoffRandom random_;

    // Calls that succeed at once touch only the first.
    ShardedCount calls_;
    Count retries_{0}, succeeded_after_retry_{0}, cancelled_{0};
    std::array<Count, retry_choices> ended_by_{};
};

// Before a try that is not plain. Returns its deadline.
template <TimeSource Time>
[[gnu::noinline]] TimePoint RetryExecutor<Time>::Guard::prepare_try(const CallContext& call) {
    const auto now = retry_.times_tries_ ? retry_.time_.now() : retry_.time_.coarse_now();
    if (state_ == State::idle) { // also where a policy further out tries again: this call begins anew
        attempts_ = 0;
        begin_at(now);
    }
    auto deadline = CallContext::no_deadline;
    try {
        deadline = deadline_of_try(call, now);
    } catch (...) {
        if (state_ == State::waiting) {
            end_backoff();
            auto error = Error::from_exception(std::current_exception()).with_attempts(attempts_);
            give_up(RetryChoice::callback_threw, error, now);
        }
        throw; // the call adds the last error
    }
    if (state_ == State::waiting) {
        if (backoff_.withdrawal) backoff_.withdrawal->spend();
        end_backoff();
    }
    if (attempts_ == 0 && retry_.budget_) retry_.budget_->record_call(now);
    state_ = State::in_try;
    return deadline;
}

template <TimeSource Time>
TimePoint RetryExecutor<Time>::Guard::deadline_of_try(const CallContext& call, TimePoint now) const {
    if (!retry_.timeout_of_attempt_)
        return retry_.attempt_timeout_ ? saturating_add(now, *retry_.attempt_timeout_) : CallContext::no_deadline;
    const auto timeout = retry_.timeout_of_attempt_(attempts_ + 1, remaining(call, now));
    return saturating_add(now, std::max(timeout, Duration{1}));
}

template <TimeSource Time>
[[gnu::noinline]] void RetryExecutor<Time>::Guard::end_with_success() noexcept {
    if (attempts_ > 1) count(retry_.succeeded_after_retry_);
    tell_attempt({.number = attempts_});
}

// The call was cancelled while it waits, or its frame destroyed.
template <TimeSource Time>
[[gnu::noinline]] void RetryExecutor<Time>::Guard::abandon() noexcept {
    if (state_ == State::waiting) end_backoff();
    count(retry_.cancelled_);
}

// When to try again; empty if the call ends with `error`.
template <TimeSource Time>
[[gnu::noinline]] std::optional<TimePoint> RetryExecutor<Time>::Guard::decide(const CallContext& call,
                                                                              Error& error) noexcept {
    const auto now = retry_.time_.now();
    if (beginning_ == Beginning::unknown) {
        began_ = now;
        beginning_ = Beginning::first_failure;
    }
    error = std::move(error).with_attempts(attempts_);
    if (state_ == State::waiting) { // the failure before this wait again, which lasted beyond the deadline
        end_backoff();
        error = std::move(error).with_retry_refused_by(limit_of(RetryChoice::no_time));
        return give_up(RetryChoice::no_time, error, now);
    }

    const RetryProgress progress{.attempts = attempts_,
                                 .idempotent = call.is_idempotent(),
                                 .previous_delay = previous_delay_,
                                 .remaining = remaining(call, now)};
    auto [choice, delay] = retry_.policy_.decide(error, progress, retry_.jitters_ ? retry_.random_.next() : 0);
    if (choice == RetryChoice::again) choice = begin_backoff(call, now);
    if (const auto limit = limit_of(choice)) error = std::move(error).with_retry_refused_by(limit);
    const bool again = choice == RetryChoice::again;
    tell_attempt({attempts_, &error, choice, again ? std::optional{delay} : std::nullopt});
    if (!again) return give_up(choice, error, now);
    previous_delay_ = delay;
    count(retry_.retries_);
    if (retry_.observer_) retry_.observer_->on_retry_scheduled({attempts_, delay, error});
    return saturating_add(now, delay);
}

template <TimeSource Time>
std::nullopt_t RetryExecutor<Time>::Guard::give_up(RetryChoice choice, Error& error, TimePoint now) noexcept {
    state_ = State::idle;
    const bool exhausted = choice == RetryChoice::exhausted;
    const bool cancelled = !exhausted && error == ErrorType::cancelled;
    count(cancelled ? retry_.cancelled_ : retry_.ended_by_[index(choice)]);
    auto ended = error;
    if (exhausted) {
        try {
            ended = Error{Errc::retries_exhausted}.with_inner(error).with_attempts(attempts_);
            if (const auto wait = error.retry_after()) ended = std::move(ended).with_retry_after(*wait);
        } catch (const std::bad_alloc&) { // it ends with its last error, which says all that decides
        }
    }
    ended = with_elapsed(std::move(ended), now);
    if (retry_.observer_)
        retry_.observer_->on_retry_given_up(
            {attempts_, to_string(choice), error, ended.elapsed(), ended.elapsed_longer()});
    error = std::move(ended);
    return std::nullopt;
}

template <TimeSource Time>
Error RetryExecutor<Time>::Guard::with_elapsed(Error error, TimePoint now) const noexcept {
    const auto elapsed = std::max(now - began_, Duration::zero());
    if (beginning_ == Beginning::known) return std::move(error).with_elapsed(elapsed);
    return elapsed > Duration::zero() ? std::move(error).with_elapsed_longer_than(elapsed) : error;
}

// Takes what waiting for the next try takes: `again`, or what it lacks.
template <TimeSource Time>
RetryChoice RetryExecutor<Time>::Guard::begin_backoff(const CallContext& call, TimePoint now) noexcept {
    Backoff backoff;
    if (retry_.budget_) {
        backoff.withdrawal = retry_.budget_->try_withdraw(now);
        if (!backoff.withdrawal) return RetryChoice::no_budget;
    }
    if (call.held_bytes() > 0) {
        auto memory = retry_.account_.try_reserve(call.held_bytes());
        if (!memory) return RetryChoice::no_memory;
        backoff.memory = std::move(*memory);
    }
    std::construct_at(&backoff_, std::move(backoff));
    state_ = State::waiting;
    return RetryChoice::again;
}

} // namespace velostream
