// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/this_coro.hpp>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "velostream/async/call_cancellation.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/guard_chain.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/async/policy.hpp"
#include "velostream/async/timed_operation.hpp"

namespace velostream {

namespace detail {

template <class First, class... Rest>
decltype(auto) time_of(const First& first, const Rest&... rest) {
    if constexpr (TimedPolicy<First>)
        return first.time();
    else if constexpr (sizeof...(Rest) > 0)
        return time_of(rest...);
    else
        return SteadyTime{};
}

template <class... Policies>
using CallTime = std::remove_cvref_t<decltype(time_of(std::declval<const Policies&>()...))>;

template <class Time, class Policy>
inline constexpr bool runs_by = true;
template <class Time, TimedPolicy Policy>
inline constexpr bool runs_by<Time, Policy> =
    std::same_as<Time, std::remove_cvref_t<decltype(std::declval<const Policy&>().time())>>;

template <class Value>
bool is_failure(const Value& value) noexcept {
    if constexpr (is_result<Value>)
        return value.has_error();
    else
        return false;
}

template <class Time>
bool is_in_time(const CallContext& call, const Time& time) noexcept {
    return call.call_deadline() == CallContext::no_deadline || !has_come(time, call.call_deadline());
}

// Sets `error` to what a try threw. One that was not `entered` ended in a guard.
template <class Chain>
void catch_error(const Chain& guards, std::optional<Error>& error, bool entered, const CallContext& call) noexcept {
    auto thrown = Error::from_exception(std::current_exception());
    if (!entered && error) thrown = guards.stopped_by(std::move(thrown).with_attempts(call.attempt()), error);
    error = std::move(thrown);
}

// Sleeps; false if the caller cancels, or did so before.
template <TimeSource Time>
asio::awaitable<bool> sleep_unless_cancelled(OwnFrame, Time time, TimePoint until) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return false;
    const auto executor = co_await asio::this_coro::executor;
    auto sleep = async_sleep_until(std::move(time), executor, until, asio::as_tuple(asio::deferred));
    const auto [code] = co_await std::move(sleep);
    co_return !code && state.cancelled() == asio::cancellation_type::none; // also when the sleep had just ended
}

// Only of an operation that takes the context, where there is a deadline.
template <class Time, class Operation>
using OperationCancellation =
    std::conditional_t<ContextOperation<Operation>, std::optional<CancellationOnDemand<Time>>, std::monostate>;

// Operations that know whether their deadline was before their caller, who may have cancelled as well.
template <class Operation>
inline constexpr bool knows_who_was_first = false;

// No guard judges a call whose caller has cancelled: it hears of that, not of what the operation made of it, unless
// that is `of_deadline`, which was first.
inline void blame_caller(Error& error, bool of_deadline) noexcept {
    if (error == ErrorType::cancelled || (of_deadline && error == Errc::deadline_exceeded)) return;
    try {
        error = Error{Errc::cancelled}.with_inner(std::move(error));
    } catch (const std::bad_alloc&) {
        error = Errc::cancelled;
    }
}

// Nothing can be awaited any more for a caller who has cancelled: the guards before `next` are told of that.
template <class Chain>
void give_up_cancelled(Chain& guards, CallContext& call, std::size_t next, std::optional<Error>& error) {
    auto verdict = Verdict::pass_on();
    do {
        error = Error{Errc::cancelled}.with_attempts(call.attempt());
        next = guards.leave_with_failure(call, next, *error, verdict);
    } while (!verdict.passes_on());
}

// Does what guard `next` asks for with `verdict`, until all guards have been told of the failure, or there is something
// `recovered` in its place, or it is time for another try from `next` on: only then true.
//
// A coroutine of its own: few calls come here, and all that `guarded_call` has in its frame makes all calls slower.
template <class Success, class Chain, TimeSource Time, class Recovered>
asio::awaitable<bool> recover_or_try_again(OwnFrame, Chain& guards, CallContext& call, Time time, std::size_t& next,
                                           std::optional<Error>& error, Verdict verdict, Recovered& recovered) {
    while (!verdict.passes_on()) {
        const auto state = co_await asio::this_coro::cancellation_state;
        bool goes_on = state.cancelled() == asio::cancellation_type::none;
        if constexpr (Chain::template may_recover<Success>) {
            if (goes_on && verdict.recovers()) {
                bool was_cut_off = false;
                auto recovery = [&] { return guards.template recover<Success>(call, next, *error); };
                if (call.call_deadline() == CallContext::no_deadline) {
                    auto recovering = recovery();
                    recovered.emplace(co_await std::move(recovering));
                } else {
                    auto recovering = run_until(time, call.call_deadline(), recovery, call);
                    auto& outcome = co_await recovering;
                    const auto failure = outcome.error();
                    was_cut_off = outcome.timed_out;
                    recovered.emplace(failure ? Success{*failure} : std::move(*outcome.value));
                }
                if (recovered->has_value()) {
                    guards.leave_with_success(call, next);
                    co_return false;
                }
                error = recovered->error();
                recovered.reset();
                const auto after = co_await asio::this_coro::cancellation_state;
                if (after.cancelled() != asio::cancellation_type::none) blame_caller(*error, was_cut_off);
                next = guards.leave_with_failure(call, next, *error, verdict);
                continue;
            }
        }
        const bool has_time = verdict.again() < call.call_deadline();
        if (goes_on && has_time) {
            auto sleep = sleep_unless_cancelled(own_frame, time, verdict.again());
            goes_on = co_await std::move(sleep);
        }
        if (!goes_on) {
            give_up_cancelled(guards, call, next, error);
            co_return false;
        }
        if (has_time && is_in_time(call, time)) co_return true;
        // Too late: the guard that wanted another try hears the failure again, and that there is none.
        const auto late = next;
        next = guards.leave_with_failure(call, late + 1, *error, verdict);
        if (next == late && verdict.tries_again()) next = guards.leave_with_failure(call, late, *error, verdict);
    }
    co_return false;
}

// What `co_await` takes of what an operation has returned.
template <class Running>
decltype(auto) awaited(Running& running) noexcept {
    if constexpr (AwaitedInFrame<Running>)
        return (running);
    else
        return std::move(running);
}

// The end of a call that somebody awaits.
struct ReturnsAnswer {
    template <class Success>
    using Returned = Success;

    template <class Answer>
    Answer&& operator()(Answer&& answer) const noexcept {
        return std::forward<Answer>(answer);
    }
};

// One call under its policies, in this one frame: forward through the guards, the operation, back through the guards;
// a guard that wants another try makes it start again from there. `end` is called with what it came to.
//
// Cancellation: whoever holds something holds it in a guard, in this frame. However the frame ends, it is given back.
template <class End, class Operation, class... Policies>
asio::awaitable<typename End::template Returned<OperationResult<Operation>>> guarded_call_to(OwnFrame, End end,
                                                                                             Operation operation,
                                                                                             CallContext call,
                                                                                             Policies&... policies) {
    using Value = OperationValue<Operation>;
    using Success = OperationResult<Operation>;
    using Chain = GuardChain<Policies...>;
    static_assert((runs_by<CallTime<Policies...>, Policies> && ...),
                  "all policies of one pipeline must run by the same kind of time: give each the same TimeSource");

    Chain guards{policies...};
    call.set_idempotent(is_idempotent<Operation>);
    OperationCancellation<CallTime<Policies...>, Operation> cancellation;
    asio::cancellation_state caller;
    if constexpr (ContextOperation<Operation>) {
        caller = co_await asio::this_coro::cancellation_state;
        call.set_cancellation_slot(caller.slot());
    }

    // Later tries come from `recover_or_try_again`, which has looked: if the time ran out between two looks, the error
    // of the try before would be lost.
    if (!is_in_time(call, time_of(policies...))) [[unlikely]]
        co_return end(Error{Errc::deadline_exceeded});
    std::size_t next = 0;       // the guard from which the next try starts
    std::optional<Error> error; // of the last try
    for (;;) {
        std::size_t reached = next;
        bool told = false;
        bool was_cut_off = false;
        try {
            auto entry = guards.enter(call, next, reached, error);
            if constexpr (Chain::may_wait) {
                while (entry == TryEntry::waits) {
                    auto waiting = guards.wait(call, reached);
                    entry = guards.enter_after(co_await std::move(waiting), call, reached, error);
                }
            }
            if constexpr (Chain::template may_answer<Success>) {
                if (entry == TryEntry::answered) {
                    Success answer = guards.template answer<Success>(call, reached);
                    if (answer.has_value()) {
                        told = true;
                        guards.leave_with_success(call, reached);
                        co_return end(std::move(answer));
                    }
                    error = answer.error();
                }
            }
            bool is_run = entry == TryEntry::proceeds;
            if constexpr (!ContextOperation<Operation>) {
                if (is_run && call.has_deadline()) {
                    auto running = run_until(time_of(policies...), call.deadline(), operation, call);
                    auto& outcome = co_await running;
                    error = outcome.error();
                    was_cut_off = outcome.timed_out;
                    if (!error) {
                        told = true;
                        guards.leave_with_success(call);
                        if constexpr (std::is_void_v<Value>)
                            co_return end(Success{});
                        else
                            co_return end(std::move(*outcome.value));
                    }
                    is_run = false;
                }
            }
            if (is_run) [[likely]] {
                if constexpr (ContextOperation<Operation>) {
                    if (call.has_deadline() && !cancellation) {
                        auto& chain = co_await this_chain;
                        cancellation.emplace(time_of(policies...), caller, chain);
                        call.set_cancellation(&*cancellation);
                    }
                }
                if constexpr (std::is_void_v<Value>) {
                    auto running = start_operation(operation, call);
                    co_await awaited(running);
                    guards.leave_with_success(call);
                    co_return end(Success{});
                } else {
                    auto running = start_operation(operation, call);
                    Value value = co_await awaited(running);
                    if (!is_failure(value)) [[likely]] {
                        told = true;
                        guards.leave_with_success(call);
                        co_return end(std::move(value));
                    }
                    if constexpr (is_result<Value>) error = value.error();
                }
            }
        } catch (...) {
            if (told) throw; // not the operation: its value could not be moved to the caller
            catch_error(guards, error, reached == Chain::size, call);
        }
        if constexpr (ContextOperation<Operation>)
            if (cancellation && cancellation->finish()) {
                error = cut_off_with(std::move(*error));
                was_cut_off = true;
            }
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            blame_caller(*error, was_cut_off || (knows_who_was_first<Operation> && reached == Chain::size));

        guards.note_failure(reached);
        auto verdict = Verdict::pass_on();
        next = guards.leave_with_failure(call, reached, *error, verdict);
        if (verdict.passes_on()) co_return end(std::move(*error));

        std::conditional_t<Chain::template may_recover<Success>, std::optional<Success>, std::monostate> recovered;
        bool is_again = false;
        if (state.cancelled() == asio::cancellation_type::none) { // else the first await would throw
            auto going_on = recover_or_try_again<Success>(own_frame, guards, call, time_of(policies...), next, error,
                                                          verdict, recovered);
            is_again = co_await std::move(going_on);
        } else {
            give_up_cancelled(guards, call, next, error);
        }
        if constexpr (Chain::template may_recover<Success>)
            if (recovered) co_return end(std::move(*recovered));
        if (!is_again) co_return end(std::move(*error));
    }
}

template <class Operation, class... Policies>
auto guarded_call(OwnFrame, Operation&& operation, const CallContext& call, Policies&... policies) {
    return guarded_call_to(own_frame, ReturnsAnswer{}, std::forward<Operation>(operation), call, policies...);
}

} // namespace detail

} // namespace velostream
