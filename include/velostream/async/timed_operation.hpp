// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
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

// Cancels one operation, for its caller and at its deadline, and resumes the caller when it has ended. Operation, alarm
// and every access to the members run on the strand, so that a cancellation never meets an operation that is just
// completing elsewhere.
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

    // Before the operation has ended. From now on the caller belongs to whoever has this: not to himself.
    void wait(WaitingChain caller) { caller_.emplace(std::move(caller)); }
    // On the strand, when the operation has ended; it `has_waited`: not since the caller began it, in this thread. A
    // caller who does not wait yet sees by himself that it has.
    void finish(bool has_waited) {
        done_ = true;
        alarm_.disarm();
        if (!caller_) return;
        WaitingChain caller{std::move(*caller_)};
        caller_.reset();
        if (is_callers_)
            caller();
        else if (has_waited)
            asio::dispatch(std::move(caller));
        else
            asio::post(std::move(caller)); // each call would take more of the stack
    }
    bool has_ended() const noexcept { return done_; }

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
    std::optional<WaitingChain> caller_;
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
class TimedOperation {
    using Cancellation = DeadlineCancellation<Time>;

  public:
    TimedOperation(Time time, TimePoint deadline, Operation& operation, CallContext& call)
        : time_(std::move(time)), deadline_(deadline), operation_(operation), call_(call) {}
    TimedOperation(const TimedOperation&) = delete;
    TimedOperation& operator=(const TimedOperation&) = delete;

    bool begin(RunningChain& caller) {
        const auto executor = caller.get_executor();
        const bool is_callers = is_serial(executor);
        is_away_ = is_callers && !runs_here(executor); // its cancellation could come before the operation's start
        return !is_away_ && start(caller, executor, is_callers);
    }
    template <class Detach>
    void wait(Detach detach) {
        if (is_away_)
            go_home(detach());
        else
            leave(detach());
    }
    TimedOutcome<Value>& end() noexcept { return outcome_; }

  private:
    // True if the caller may go on: the operation has ended.
    bool start(RunningChain& caller, const asio::any_io_executor& executor, bool is_callers) {
        const auto state = caller.get_cancellation_state();
        const auto before = state.cancelled();
        cancellation_ = std::allocate_shared<Cancellation>(asio::recycling_allocator<Cancellation>{}, executor,
                                                           is_callers, before != asio::cancellation_type::none);
        // It passes every kind of cancellation on, as the caller's own would have done.
        const auto slot = cancellation_->slot();
        chain_.emplace(run(own_frame, cancellation_, operation_, call_, outcome_), cancellation_->strand(), slot,
                       asio::cancellation_state{slot, asio::enable_total_cancellation()});
        // Until the caller goes on, his own slot has no other use: what he awaits is bound to the operation's.
        // Weak: whoever may cancel may also live longer than the execution context, and the strand must not.
        auto own = state.slot();
        if (own.is_connected())
            own.assign([weak = std::weak_ptr{cancellation_}](asio::cancellation_type kind) {
                if (const auto alive = weak.lock()) alive->cancel(kind);
            });
        if (!is_callers) return false; // to be launched when he waits
        chain_->launch();
        // Only now: most operations that are ready at once have ended.
        cancellation_->arm(time_, deadline_);
        if (!cancellation_->has_ended()) return false;
        cancellation_.reset();
        own.clear();
        // Asio's entry point throws at the end of one who was cancelled and has never waited.
        return state.cancelled() == before;
    }
    void go_home(WaitingChain away) {
        const auto executor = away.get_executor();
        const auto before = away.get_cancellation_state().cancelled();
        asio::dispatch(executor, [this, before, executor, caller = std::move(away)]() mutable {
            bool goes_on = true;
            try {
                if (caller.get_cancellation_state().cancelled() != before)
                    throw boost::system::system_error{asio::error::operation_aborted};
                goes_on = start(caller, executor, true);
            } catch (...) {
                outcome_.exception = std::current_exception();
            }
            if (goes_on)
                caller();
            else
                leave(std::move(caller));
        });
    }
    // To the cancellation, which the caller must not have then: this is in his frame.
    void leave(WaitingChain caller) {
        const auto cancellation = std::exchange(cancellation_, nullptr);
        if (!cancellation) return asio::post(std::move(caller)); // it has ended
        cancellation->wait(std::move(caller));
        if (cancellation->is_callers()) return;
        auto launch = [cancellation, chain = std::move(*chain_), time = std::move(time_), at = deadline_]() mutable {
            cancellation->arm(std::move(time), at);
            chain.launch();
        };
        asio::dispatch(cancellation->strand(), std::move(launch));
    }

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
    std::shared_ptr<Cancellation> cancellation_; // until the caller waits
    std::optional<RunningChain> chain_;          // until it runs
    bool is_away_ = false;                       // the caller, from his executor, when he began
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
