// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "velostream/async/operation.hpp"
#include "velostream/async/policy.hpp"
#include "velostream/async/timed_operation.hpp"

namespace velostream {

/// What a caller may say about one call.
struct CallOptions {
    /// When the answer is no longer wanted, over all tries. A plain operation is cancelled then; one that takes the
    /// `CallContext` is expected to bound itself.
    TimePoint deadline = CallContext::no_deadline;
};

namespace detail {

// The guards of one call, outermost first.
template <class... Policies>
class GuardChain {
  public:
    static constexpr std::size_t size = sizeof...(Policies);
    static constexpr bool may_wait = (WaitingGuard<typename Policies::Guard> || ...);

    explicit GuardChain(Policies&... policies) : guards_(policies...) {}

    // Asks the guards from `from` inwards. Sets `reached` to the first that does not let the try proceed, with what it
    // said in `stopped`, or else to `size`.
    template <std::size_t Index = 0>
    void enter(CallContext& call, std::size_t from, std::size_t& reached, std::optional<Decision>& stopped) {
        if constexpr (Index < size) {
            if (Index >= from) {
                reached = Index;
                auto decision = std::get<Index>(guards_).before(call);
                if (!decision.proceeds()) [[unlikely]] {
                    stopped.emplace(std::move(decision));
                    return;
                }
            }
            enter<Index + 1>(call, from, reached, stopped);
        } else {
            reached = size;
        }
    }

    // The wait that guard `index` asked for.
    template <std::size_t Index = 0>
    asio::awaitable<Decision> wait(CallContext& call, std::size_t index) {
        if constexpr (Index + 1 < size)
            if (index != Index) return wait<Index + 1>(call, index);
        auto& guard = std::get<Index>(guards_);
        if constexpr (WaitingGuard<std::remove_reference_t<decltype(guard)>>)
            return guard.wait(call);
        else
            std::terminate(); // only a guard with a `wait` asks for one: a mistake in a policy
    }

    // Tells all guards, innermost first.
    template <std::size_t Left = size>
    void leave_with_success(CallContext& call) noexcept {
        if constexpr (Left > 0) {
            std::get<Left - 1>(guards_).after_success(call);
            leave_with_success<Left - 1>(call);
        }
    }

    // Tells the guards before `from`, innermost first, until one wants another try. Returns that one and sets `again`,
    // or 0 when all were told.
    template <std::size_t Left = size>
    std::size_t leave_with_failure(CallContext& call, std::size_t from, Error& error, std::optional<TimePoint>& again) {
        if constexpr (Left == 0) {
            return 0;
        } else {
            if (Left <= from) {
                again = std::get<Left - 1>(guards_).after_failure(call, error).again();
                if (again) return Left - 1;
            }
            return leave_with_failure<Left - 1>(call, from, error, again);
        }
    }

  private:
    std::tuple<typename Policies::Guard...> guards_;
};

template <class First, class... Rest>
auto time_of(const First& first, const Rest&... rest) {
    if constexpr (TimedPolicy<First>)
        return first.time();
    else if constexpr (sizeof...(Rest) > 0)
        return time_of(rest...);
    else
        return SteadyTime{};
}

template <class... Policies>
using CallTime = decltype(time_of(std::declval<const Policies&>()...));

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
    return call.call_deadline() == CallContext::no_deadline || time.now() < call.call_deadline();
}

// Sleeps; false if the caller cancels, or did so before. A coroutine of its own: few calls sleep, and every suspension
// point in `guarded_call` makes all calls slower.
template <TimeSource Time>
asio::awaitable<bool> sleep_unless_cancelled(Time time, TimePoint until) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return false;
    const auto executor = co_await asio::this_coro::executor;
    auto sleep = async_sleep_until(std::move(time), executor, until, asio::as_tuple(asio::deferred));
    const auto [code] = co_await std::move(sleep);
    co_return !code;
}

// One call under its policies, in this one frame: forward through the guards, the operation, back through the guards;
// a guard that wants another try makes it start again from there.
//
// Cancellation: whoever holds something holds it in a guard, in this frame. However the frame ends, it is given back.
template <class Operation, class... Policies>
asio::awaitable<OperationResult<Operation>> guarded_call(Operation operation, CallOptions options,
                                                         Policies&... policies) {
    using Value = OperationValue<Operation>;
    using Success = OperationResult<Operation>;
    using Chain = GuardChain<Policies...>;
    static_assert((runs_by<CallTime<Policies...>, Policies> && ...),
                  "all policies of one pipeline must run by the same kind of time: give each the same TimeSource");

    Chain guards{policies...};
    CallContext call{options.deadline};
    call.set_idempotent(is_idempotent<Operation>);
    if constexpr (ContextOperation<Operation>) {
        const auto state = co_await asio::this_coro::cancellation_state;
        call.set_cancellation_slot(state.slot());
    }

    std::size_t next = 0; // the guard from which the next try starts
    for (;;) {
        std::optional<Error> error;
        std::size_t reached = next;
        bool told = false;
        try {
            std::optional<Decision> stopped;
            if (!is_in_time(call, time_of(policies...))) [[unlikely]]
                stopped = Decision::refuse(Errc::deadline_exceeded);
            else
                guards.enter(call, next, reached, stopped);
            if constexpr (Chain::may_wait) {
                while (stopped && stopped->waits()) {
                    auto waiting = guards.wait(call, reached);
                    const auto decision = co_await std::move(waiting);
                    stopped.reset();
                    if (decision.proceeds())
                        guards.enter(call, reached + 1, reached, stopped);
                    else
                        stopped = decision;
                }
            }

            bool is_run = !stopped;
            if (stopped) [[unlikely]]
                error = stopped->error();
            if constexpr (!ContextOperation<Operation>) {
                if (is_run && call.has_deadline()) {
                    auto running = run_until(time_of(policies...), call.deadline(), operation, call);
                    auto outcome = co_await std::move(running);
                    error = outcome.error();
                    if (!error) {
                        told = true;
                        guards.leave_with_success(call);
                        if constexpr (std::is_void_v<Value>)
                            co_return Success{};
                        else
                            co_return std::move(*outcome.value);
                    }
                    is_run = false;
                }
            }
            if (is_run) [[likely]] {
                if constexpr (std::is_void_v<Value>) {
                    auto running = start(operation, call);
                    co_await std::move(running);
                    told = true;
                    guards.leave_with_success(call);
                    co_return Success{};
                } else {
                    auto running = start(operation, call);
                    Value value = co_await std::move(running);
                    if (!is_failure(value)) [[likely]] {
                        told = true;
                        guards.leave_with_success(call);
                        co_return std::move(value);
                    }
                    if constexpr (is_result<Value>) error = value.error();
                }
            }
        } catch (...) {
            if (told) throw; // not the operation: its value could not be moved to the caller
            error = Error::from_exception(std::current_exception());
        }

        std::optional<TimePoint> again;
        next = guards.leave_with_failure(call, reached, *error, again);
        while (again) {
            bool slept = false;
            try {
                auto sleep = sleep_unless_cancelled(time_of(policies...), *again);
                slept = co_await std::move(sleep);
            } catch (const boost::system::system_error&) {
                // the first await after a cancellation throws
            }
            if (slept && is_in_time(call, time_of(policies...))) break;
            if (slept) { // woken too late: the guard that wanted another try hears the failure again, with no time left
                again.reset();
                next = guards.leave_with_failure(call, next + 1, *error, again);
                continue;
            }
            error = Error{Errc::cancelled}.with_attempts(call.attempt());
            again.reset();
            next = guards.leave_with_failure(call, next, *error, again);
        }
        if (!again) co_return std::move(*error);
    }
}

} // namespace detail

} // namespace velostream
