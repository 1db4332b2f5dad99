// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "velostream/async/call_cancellation.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream {

namespace detail {

// The error of what a deadline cut off: `deadline_exceeded`, with what the operation said inside, unless that is only
// that it was cancelled.
Error cut_off_with(Error own) noexcept;

} // namespace detail

/// What became of an operation that was given a deadline.
template <class Value>
struct TimedOutcome {
    std::optional<Value> value;   ///< what it returned (`std::monostate` for void), unless it threw
    std::exception_ptr exception; ///< what it threw
    bool timed_out = false;       ///< the deadline cancelled it, before anybody else did

    /// `deadline_exceeded` if it failed once the deadline had cancelled it, with its own error inside if that says more
    /// than that; else its own error; nothing if it succeeded.
    std::optional<Error> error() const {
        std::optional<Error> own;
        if (!value) own = Error::from_exception(exception);
        if constexpr (is_result<Value>)
            if (value && value->has_error()) own = value->error();
        if (own && timed_out) own = detail::cut_off_with(std::move(*own));
        return own;
    }
};

namespace detail {

// Cancels one operation, for its caller and at its deadline. Operation, alarm and every access to
// the members run on the strand, so that a cancellation never meets an operation that is just completing elsewhere.
template <TimeSource Time>
class DeadlineCancellation : public std::enable_shared_from_this<DeadlineCancellation<Time>> {
  public:
    // `is_callers`: the caller's executor runs one thing after the other, and runs the caller at this moment.
    // `cancelled`: he has cancelled before, and goes on.
    DeadlineCancellation(const asio::any_io_executor& executor, bool is_callers, bool cancelled)
        : strand_(is_callers ? executor : serial_executor(executor)), is_callers_(is_callers), cancelled_(cancelled) {}
    DeadlineCancellation(const DeadlineCancellation&) = delete;
    DeadlineCancellation& operator=(const DeadlineCancellation&) = delete;

    const asio::any_io_executor& strand() const noexcept { return strand_; }
    // Whether who awaits the operation runs on the strand, too, at this moment.
    bool is_callers() const noexcept { return is_callers_; }
    asio::cancellation_slot slot() noexcept { return operation_.slot(); }
    bool timed_out() const noexcept { return timed_out_; }

    // On the strand, unless the operation has ended. Where there is no memory for it the operation is cancelled, and
    // has failed for that.
    void arm(Time time, TimePoint at) noexcept {
        if (done_) return;
        try {
            alarm_.arm(std::move(time), strand_, at);
        } catch (...) {
            failure_ = std::current_exception();
        }
        if (!failure_ || !is_callers_) return; // else it has not begun
        try {
            operation_.emit(asio::cancellation_type::terminal);
        } catch (...) { // by what the operation awaits: it goes on
        }
    }
    const std::exception_ptr& failure() const noexcept { return failure_; }

    // From anywhere: the caller cancels.
    void cancel(asio::cancellation_type kind) {
        asio::dispatch(strand_, [self = this->shared_from_this(), kind] {
            if (self->done_) return;
            self->cancelled_ = true;
            self->operation_.emit(kind);
        });
    }

    // On the strand, when the operation has ended.
    void finish() {
        done_ = true;
        alarm_.disarm();
    }

  private:
    void expire() {
        timed_out_ = !cancelled_;
        // Also where the caller was first: the operation may not have listened to him.
        operation_.emit(asio::cancellation_type::terminal);
    }

    const asio::any_io_executor strand_; // runs one thing after the other
    const bool is_callers_;
    asio::cancellation_signal operation_;
    std::exception_ptr failure_;
    CallAlarm<Time> alarm_{[](void* self) { static_cast<DeadlineCancellation*>(self)->expire(); }, this};
    bool done_ = false;
    bool cancelled_; // by the caller
    bool timed_out_ = false;
};

template <class T>
struct OrMonostate {
    using type = T;
};
template <>
struct OrMonostate<void> {
    using type = std::monostate;
};

template <class Operation>
auto start(Operation& operation, CallContext& call) {
    if constexpr (ContextOperation<Operation>)
        return operation(call);
    else
        return operation();
}

template <class Value>
bool has_failed(const std::optional<Value>& value) noexcept {
    if constexpr (is_result<Value>)
        return value && value->has_error();
    else
        return false;
}

// A coroutine of its own, because a coroutine has one cancellation slot for all that it awaits. It passes every kind of
// cancellation on, as the caller's own would have done.
template <class Value, TimeSource Time, class Operation>
asio::awaitable<void> run_on_strand(OwnFrame, std::shared_ptr<DeadlineCancellation<Time>> cancellation, Time time,
                                    TimePoint deadline, Operation& operation, CallContext& call, bool may_be_cancelled,
                                    TimedOutcome<Value>& outcome) {
    if (may_be_cancelled) co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    if (!cancellation->is_callers()) cancellation->arm(std::move(time), deadline);
    try {
        if (cancellation->failure()) std::rethrow_exception(cancellation->failure());
        if constexpr (std::is_same_v<Value, std::monostate>) {
            auto running = start(operation, call);
            co_await std::move(running);
            outcome.value.emplace();
        } else {
            auto running = start(operation, call);
            outcome.value.emplace(co_await std::move(running));
        }
    } catch (...) {
        outcome.exception = std::current_exception();
    }
    co_await asio::this_coro::throw_if_cancelled(false); // Asio's entry point awaits once more
    if (!runs_here(cancellation->strand())) {            // the operation may have gone elsewhere
        auto back = asio::dispatch(asio::deferred);
        co_await std::move(back);
    }
    if (cancellation->failure() && (outcome.exception || has_failed(outcome.value))) {
        outcome.value.reset();
        outcome.exception = cancellation->failure();
    }
    outcome.timed_out = cancellation->timed_out();
    cancellation->finish();
}

template <class Value, TimeSource Time, class Operation>
asio::awaitable<TimedOutcome<Value>> run_until(OwnFrame, Time time, TimePoint deadline, Operation& operation,
                                               CallContext& call) {
    using Cancellation = DeadlineCancellation<Time>;
    const auto executor = co_await asio::this_coro::executor;
    const bool is_callers = is_serial(executor);
    if (is_callers && !runs_here(executor)) { // else its cancellation could come before the operation's start
        const auto caller = co_await asio::this_coro::cancellation_state;
        const auto before = caller.cancelled();
        auto home = asio::dispatch(asio::deferred);
        co_await std::move(home);
        if (caller.cancelled() != before)
            co_return TimedOutcome<Value>{
                .exception = std::make_exception_ptr(boost::system::system_error{asio::error::operation_aborted})};
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    auto cancellation =
        std::allocate_shared<Cancellation>(asio::recycling_allocator<Cancellation>{}, executor, is_callers,
                                           state.cancelled() != asio::cancellation_type::none);
    // Until this coroutine resumes, its own slot has no other use: what it awaits is bound to the operation's.
    // Weak: whoever may cancel may also live longer than the execution context, and the strand must not.
    auto own = state.slot();
    if (own.is_connected())
        own.assign([weak = std::weak_ptr{cancellation}](asio::cancellation_type kind) {
            if (const auto alive = weak.lock()) alive->cancel(kind);
        });

    TimedOutcome<Value> outcome;
    auto running =
        run_on_strand<Value>(own_frame, cancellation, time, deadline, operation, call, own.is_connected(), outcome);
    auto spawn = [&](auto handler) {
        const auto spawned = cancellation; // the frame may end before this returns, and this before the operation
        const auto at = deadline;
        auto clock = std::move(time);
        asio::co_spawn(spawned->strand(), std::move(running),
                       asio::bind_cancellation_slot(spawned->slot(), std::move(handler)));
        // Only now: most operations that are ready at once have ended.
        if (spawned->is_callers()) spawned->arm(std::move(clock), at);
    };
    auto token = asio::as_tuple(asio::deferred);
    auto ended = asio::async_initiate<decltype(token), void(std::exception_ptr)>(spawn, token);
    const auto [exception] = co_await std::move(ended);
    if (exception) outcome.exception = exception;
    co_return std::move(outcome);
}

} // namespace detail

/// Runs `operation`, and cancels it when `deadline` passes. Returns when it has ended: an operation that ignores its
/// cancellation is waited for.
///
/// Cancellation: all kinds go to the operation.
/// Lifetime:     `operation` and `call` must live until then.
template <TimeSource Time, AsyncOperation Operation>
auto run_until(Time time, TimePoint deadline, Operation& operation, CallContext& call) {
    using Value = typename detail::OrMonostate<OperationValue<Operation>>::type;
    return detail::run_until<Value>(detail::own_frame, std::move(time), deadline, operation, call);
}

} // namespace velostream
