// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "velostream/async/call_cancellation.hpp"
#include "velostream/async/chain_signal.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/strand_work.hpp"
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

// Cancels one operation, for its caller and at its deadline, and resumes the caller when it has ended.
template <TimeSource Time>
class DeadlineCancellation : public StrandWork, public std::enable_shared_from_this<DeadlineCancellation<Time>> {
  public:
    // `cancelled`: the caller has cancelled before, and goes on.
    DeadlineCancellation(const asio::any_io_executor& executor, bool is_callers, bool cancelled)
        : StrandWork(executor, is_callers), cancelled_(cancelled) {}

    // For the chain of the operation.
    ChainSignal& signal() noexcept { return operation_; }
    bool timed_out() const noexcept { return timed_out_; }

    // On the strand, unless the operation has ended. Where there is no memory for it the operation is cancelled, and
    // has failed for that.
    void arm(Time time, TimePoint at) noexcept {
        if (has_ended()) return;
        try {
            alarm_.arm(std::move(time), strand(), at);
        } catch (...) {
            failure_ = std::current_exception();
        }
        if (!failure_ || !is_callers()) return; // else it has not begun
        try {
            operation_.emit(asio::cancellation_type::terminal);
        } catch (...) { // by what the operation awaits: it goes on
        }
    }
    const std::exception_ptr& failure() const noexcept { return failure_; }

    // From anywhere: the caller cancels.
    void cancel(asio::cancellation_type kind) {
        asio::dispatch(strand(), [self = this->shared_from_this(), kind] {
            if (self->has_ended()) return;
            self->cancelled_ = true;
            self->operation_.emit(kind);
        });
    }

    // On the strand, when the operation has ended.
    void finish(bool has_waited) {
        alarm_.disarm();
        StrandWork::finish(has_waited);
    }

  private:
    void expire() {
        timed_out_ = !cancelled_;
        // Also where the caller was first: the operation may not have listened to him.
        operation_.emit(asio::cancellation_type::terminal);
    }

    ChainSignal operation_;
    std::exception_ptr failure_;
    CallAlarm<Time> alarm_{[](void* self) { static_cast<DeadlineCancellation*>(self)->expire(); }, this};
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
auto start_operation(Operation& operation, CallContext& call) {
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

// An operation that is cancelled at its deadline, to be awaited in the frame of its caller. It runs in a chain of its
// own, because a chain has one cancellation slot for all that it awaits: one more frame, that in which the chain
// begins.
template <class Value, TimeSource Time, class Operation>
class TimedOperation : public AwaitedOnStrand<TimedOperation<Value, Time, Operation>, DeadlineCancellation<Time>> {
    using Cancellation = DeadlineCancellation<Time>;
    friend AwaitedOnStrand<TimedOperation, Cancellation>;

  public:
    TimedOperation(Time time, TimePoint deadline, Operation& operation, CallContext& call)
        : time_(std::move(time)), deadline_(deadline), operation_(operation), call_(call) {}

    TimedOutcome<Value>& end() noexcept { return outcome_; }

  private:
    std::shared_ptr<Cancellation> make(const asio::any_io_executor& executor, bool is_callers, bool is_cancelled) {
        auto cancellation = std::allocate_shared<Cancellation>(asio::recycling_allocator<Cancellation>{}, executor,
                                                               is_callers, is_cancelled);
        // It passes every kind of cancellation on, as the caller's own would have done.
        auto& signal = cancellation->signal();
        chain_.emplace(run(own_frame, cancellation, operation_, call_, outcome_), cancellation->strand(), signal.slot(),
                       signal.state());
        return cancellation;
    }
    void launch(Cancellation& cancellation) {
        chain_->launch();
        // Only now: most operations that are ready at once have ended.
        cancellation.arm(time_, deadline_);
    }
    auto launcher(const std::shared_ptr<Cancellation>& cancellation) {
        return [cancellation, chain = std::move(*chain_), time = std::move(time_), at = deadline_]() mutable {
            cancellation->arm(std::move(time), at);
            chain.launch();
        };
    }
    void fail(std::exception_ptr exception) noexcept { outcome_.exception = std::move(exception); }

    static asio::awaitable<ChainEntry> run(OwnFrame, std::shared_ptr<Cancellation> cancellation, Operation& operation,
                                           CallContext& call, TimedOutcome<Value>& outcome) {
        try {
            if (cancellation->failure()) std::rethrow_exception(cancellation->failure());
            if constexpr (std::is_same_v<Value, std::monostate>) {
                auto running = start_operation(operation, call);
                co_await std::move(running);
                outcome.value.emplace();
            } else {
                auto running = start_operation(operation, call);
                outcome.value.emplace(co_await std::move(running));
            }
        } catch (...) {
            outcome.exception = std::current_exception();
        }
        const bool has_waited = co_await asio::detail::awaitable_thread_has_context_switched{};
        if (has_waited && !runs_here(cancellation->strand())) { // the operation may have gone elsewhere
            co_await asio::this_coro::throw_if_cancelled(false);
            auto back = asio::dispatch(asio::deferred);
            co_await std::move(back);
        }
        if (cancellation->failure() && (outcome.exception || has_failed(outcome.value))) {
            outcome.value.reset();
            outcome.exception = cancellation->failure();
        }
        outcome.timed_out = cancellation->timed_out();
        cancellation->finish(has_waited);
    }

    Time time_;
    const TimePoint deadline_;
    Operation& operation_;
    CallContext& call_;
    TimedOutcome<Value> outcome_;
    std::optional<RunningChain> chain_; // until it runs
};

} // namespace detail

/// What runs `operation` when a coroutine of ours awaits it, and cancels it when `deadline` passes. It ends, with a
/// reference to its `TimedOutcome`, when the operation has ended: one that ignores its cancellation is waited for.
///
/// Cancellation: all kinds go to the operation.
/// Lifetime:     `operation` and `call` must live until then.
template <TimeSource Time, AsyncOperation Operation>
auto run_until(Time time, TimePoint deadline, Operation& operation, CallContext& call) {
    using Value = typename detail::OrMonostate<OperationValue<Operation>>::type;
    return detail::TimedOperation<Value, Time, Operation>{std::move(time), deadline, operation, call};
}

} // namespace velostream
