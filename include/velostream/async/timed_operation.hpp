// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "velostream/async/operation.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream {

/// What became of an operation that was given a deadline.
template <class Value>
struct TimedOutcome {
    std::optional<Value> value;   ///< what it returned (`std::monostate` for void), unless it threw
    std::exception_ptr exception; ///< what it threw
    bool timed_out = false;       ///< the deadline cancelled it, before anybody else did

    /// `deadline_exceeded` if it failed once the deadline had cancelled it; else its own error; nothing if it
    /// succeeded.
    std::optional<Error> error() const {
        std::optional<Error> own;
        if (!value) own = Error::from_exception(exception);
        if constexpr (is_result<Value>)
            if (value && value->has_error()) own = value->error();
        return own && timed_out ? Error{Errc::deadline_exceeded} : own;
    }
};

namespace detail {

// Cancels one operation, for its caller or at its deadline, whichever comes first. Operation, timer and every access to
// the members run on the strand, so that a cancellation never meets an operation that is just completing elsewhere.
class DeadlineCancellation : public std::enable_shared_from_this<DeadlineCancellation> {
  public:
    explicit DeadlineCancellation(const asio::any_io_executor& executor) : strand_(asio::make_strand(executor)) {}

    const asio::strand<asio::any_io_executor>& strand() const noexcept { return strand_; }
    asio::cancellation_slot slot() noexcept { return operation_.slot(); }
    bool timed_out() const noexcept { return timed_out_; }

    // On the strand, before the operation starts.
    template <TimeSource Time>
    void arm(Time time, TimePoint at) {
        auto expire = [self = shared_from_this()](boost::system::error_code code) {
            self->asleep_ = false;
            if (code || self->done_ || self->cancelled_) return;
            self->timed_out_ = true;
            self->operation_.emit(asio::cancellation_type::terminal);
        };
        asleep_ = true;
        time.sleep_until(strand_, at,
                         asio::bind_executor(strand_, asio::bind_cancellation_slot(sleep_.slot(), std::move(expire))));
    }

    // From anywhere: the caller cancels.
    void cancel(asio::cancellation_type kind) {
        asio::dispatch(strand_, [self = shared_from_this(), kind] {
            if (self->done_) return;
            self->cancelled_ = true;
            self->operation_.emit(kind);
        });
    }

    // On the strand, when the operation has ended.
    void finish() {
        done_ = true;
        if (asleep_) sleep_.emit(asio::cancellation_type::terminal);
    }

  private:
    asio::strand<asio::any_io_executor> strand_;
    asio::cancellation_signal operation_;
    asio::cancellation_signal sleep_;
    bool asleep_ = false;
    bool done_ = false;
    bool cancelled_ = false;
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

// A coroutine of its own, because a coroutine has one cancellation slot for all that it awaits. It passes every kind of
// cancellation on, as the caller's own would have done.
template <class Value, TimeSource Time, class Operation>
asio::awaitable<TimedOutcome<Value>> run_on_strand(std::shared_ptr<DeadlineCancellation> cancellation, Time time,
                                                   TimePoint deadline, Operation& operation, CallContext& call) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    cancellation->arm(std::move(time), deadline);
    TimedOutcome<Value> outcome;
    try {
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
    outcome.timed_out = cancellation->timed_out();
    cancellation->finish();
    co_return outcome;
}

} // namespace detail

/// Runs `operation`, and cancels it when `deadline` passes. Returns when it has ended: an operation that ignores its
/// cancellation is waited for.
///
/// Cancellation: all kinds go to the operation.
/// Lifetime:     `operation` and `call` must live until then.
template <TimeSource Time, AsyncOperation Operation>
asio::awaitable<TimedOutcome<typename detail::OrMonostate<OperationValue<Operation>>::type>> run_until(
    Time time, TimePoint deadline, Operation& operation, CallContext& call) {
    using Value = typename detail::OrMonostate<OperationValue<Operation>>::type;
    const auto executor = co_await asio::this_coro::executor;
    const auto cancellation = std::make_shared<detail::DeadlineCancellation>(executor);
    // Until this coroutine resumes, its own slot has no other use: what it awaits is bound to the operation's.
    // Weak: whoever may cancel may also live longer than the execution context, and the strand must not.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (auto own = state.slot(); own.is_connected())
        own.assign([weak = std::weak_ptr{cancellation}](asio::cancellation_type kind) {
            if (const auto alive = weak.lock()) alive->cancel(kind);
        });

    auto running = detail::run_on_strand<Value>(cancellation, std::move(time), deadline, operation, call);
    auto spawn = [&](auto handler) {
        asio::co_spawn(cancellation->strand(), std::move(running),
                       asio::bind_cancellation_slot(cancellation->slot(), std::move(handler)));
    };
    auto token = asio::as_tuple(asio::deferred);
    auto ended = asio::async_initiate<decltype(token), void(std::exception_ptr, TimedOutcome<Value>)>(spawn, token);
    auto [exception, outcome] = co_await std::move(ended);
    if (exception) outcome.exception = exception;
    co_return std::move(outcome);
}

} // namespace velostream
