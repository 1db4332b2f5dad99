// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "velostream/async/guarded_call.hpp"

namespace velostream {

namespace detail {

Duration checked_timeout(Duration timeout);

} // namespace detail

/// What a timeout did so far.
struct TimeoutStats {
    std::uint64_t timed_out = 0; ///< calls, or tries where it stands inside of a retry, that it ended
};

/// Ends what lies inside of it after a time: the whole call where it is the outermost policy, each try by itself where
/// it stands inside of a retry.
///
/// ```cpp
/// Timeout whole{10s}, each{2s};
/// Pipeline guarded{whole, retry, each, breaker};
/// ```
///
/// By the machine's clock it cancels at most 8 ms late and never early, while its executor and a thread of the context
/// are free: all deadlines of a context go by ticks of 4 ms.
///
/// Waits of other policies end by then, too. The operation is cancelled, not abandoned: the call ends when it has, with
/// `Errc::deadline_exceeded`; or as the caller's cancellation, if that came first. A result that it comes to
/// nevertheless stands. An operation that takes the `CallContext` sees the deadline there, and is cancelled through
/// `cancellation_slot()`.
///
/// Errors:   the constructor throws `std::invalid_argument` unless the timeout is above 0.
/// Threads:  safe.
/// Lifetime: must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class Timeout {
  public:
    explicit Timeout(Duration timeout, Time time = {})
        : timeout_(detail::checked_timeout(timeout)), time_(std::move(time)) {}
    Timeout(const Timeout&) = delete;
    Timeout& operator=(const Timeout&) = delete;

    /// Runs `operation`, and cancels it after the timeout.
    ///
    /// Completes with: its result, or `Errc::deadline_exceeded`.
    /// Cancellation:   all kinds go to the operation.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    Duration timeout() const noexcept { return timeout_; }
    TimeoutStats get_stats() const noexcept { return {timed_out_.load(std::memory_order_relaxed)}; }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The timeout's part in one call.
    class Guard {
      public:
        explicit Guard(Timeout& timeout) noexcept : timeout_(timeout) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

        Decision before(CallContext& call) {
            outer_ = call.call_deadline();
            call.tighten_deadline(saturating_add(timeout_.time_.now(), timeout_.timeout_));
            own_ = call.call_deadline();
            return Decision::proceed();
        }
        void after_success(CallContext& call) noexcept { call.restore_deadline(outer_); }
        Verdict after_failure(CallContext& call, const Error& error) noexcept {
            call.restore_deadline(outer_);
            // relaxed: a count, publishes nothing.
            if (own_ < outer_ && error == Errc::deadline_exceeded && timeout_.time_.now() >= own_)
                timeout_.timed_out_.fetch_add(1, std::memory_order_relaxed);
            return Verdict::pass_on();
        }

      private:
        Timeout& timeout_;
        TimePoint outer_ = CallContext::no_deadline; // without this timeout
        TimePoint own_ = CallContext::no_deadline;   // with it
    };

  private:
    const Duration timeout_;
    const Time time_;
    std::atomic<std::uint64_t> timed_out_{0};
};

} // namespace velostream
