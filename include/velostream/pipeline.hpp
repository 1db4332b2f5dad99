// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <tuple>
#include <utility>

#include "velostream/adaptive_limit.hpp"
#include "velostream/async/guarded_call.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/fallback.hpp"
#include "velostream/hedge.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream {

namespace detail {

template <class Policy>
inline constexpr bool is_retry = false;
template <class Time>
inline constexpr bool is_retry<RetryExecutor<Time>> = true;
template <class Policy>
inline constexpr bool is_fallback = false;
template <class Function>
inline constexpr bool is_fallback<Fallback<Function>> = true;
template <class Policy>
inline constexpr bool is_adaptive_limit = false;
template <class Time>
inline constexpr bool is_adaptive_limit<AdaptiveLimit<Time>> = true;
template <class Policy>
inline constexpr bool is_hedge = false;
template <class Time>
inline constexpr bool is_hedge<Hedge<Time>> = true;

template <class Policy, class Hedge>
bool shares_budget(const Policy& policy, const Hedge& hedge) noexcept {
    if constexpr (is_retry<Policy>)
        return hedge.budget() && policy.budget() == hedge.budget();
    else
        return false;
}

// Whether one of the first kind stands somewhere outside of one of the second.
template <std::size_t Count>
constexpr bool is_outside(const std::array<bool, Count>& outer, const std::array<bool, Count>& inner) {
    bool seen = false;
    for (std::size_t index = 0; index < Count; ++index) {
        if (seen && inner[index]) return true;
        seen = seen || outer[index];
    }
    return false;
}

} // namespace detail

/// Several policies around a call, written outermost first: `Pipeline{retry, breaker}` is retry(breaker(call)).
///
/// It runs in one coroutine frame, whatever the number of policies. An operation that does not take the `CallContext`
/// runs in one more under a deadline, and each attempt of a `Hedge` in one of its own, so that it can be cancelled by
/// itself. Frames are used again: once there have been a few calls, one takes nothing from the heap on a strand or on a
/// context for one thread, unless it waits in a line, is hedged under a deadline, or waits with three cancellation
/// slots at once (its caller's, a hedge's and a deadline's), of which Asio keeps memory for two; on other contexts a
/// deadline or a hedge takes two or three allocations for a strand. The guide has a table.
///
/// Policies are referred to: any object that fits `CallPolicy` will do (see `async/policy.hpp`), shared by as many
/// pipelines as you like.
///
/// Which order? Retry outside the breaker: each try is judged, and a try that finds the circuit open ends the call. The
/// breaker outside of retry judges the call after all its tries, and holds a probe permit through their backoff. A
/// `Timeout` outermost bounds the call, inside of retry each try. A `Bulkhead` inside of retry is free during the
/// backoff. A `Fallback` outermost sees what all others could not mend. What stands inside of a `Hedge` guards each of
/// its attempts. Orders that make no sense do not compile.
///
/// Threads:  safe, as its policies are. A pipeline is a few references: copy it where you want. A call with a deadline
///           whose operation takes the `CallContext` belongs on a strand where several threads run the context.
/// Lifetime: the policies must outlive it and every call.
template <CallPolicy... Policies>
class Pipeline {
    static_assert(sizeof...(Policies) > 0, "a pipeline needs a policy");
    static_assert((std::constructible_from<typename Policies::Guard, Policies&> && ...),
                  "a policy of this pipeline is const, but changes with its calls");
    static_assert((0 + ... + int{detail::is_retry<Policies>}) <= 1,
                  "two retry executors in one pipeline multiply their tries: configure one of them for both");
    static_assert((0 + ... + int{detail::is_hedge<Policies>}) <= 1,
                  "two hedges in one pipeline multiply their attempts: raise max_hedges of one of them");

    static constexpr std::array<bool, sizeof...(Policies)> is_retry{detail::is_retry<Policies>...};
    static constexpr std::array<bool, sizeof...(Policies)> is_fallback{detail::is_fallback<Policies>...};
    static constexpr std::array<bool, sizeof...(Policies)> is_adaptive_limit{detail::is_adaptive_limit<Policies>...};
    static constexpr std::array<bool, sizeof...(Policies)> is_hedge{detail::is_hedge<Policies>...};
    static_assert(!detail::is_outside(is_retry, is_fallback),
                  "a fallback inside of a retry hides the failures that should be tried again: write it outside");
    static_assert(!detail::is_outside(is_hedge, is_retry),
                  "a retry inside of a hedge tries again what another attempt has in hand: write it outside");
    static_assert(!detail::is_outside(is_hedge, is_fallback),
                  "a fallback inside of a hedge answers before another attempt can: write it outside");
    static_assert(!detail::is_outside(is_adaptive_limit, is_retry),
                  "a retry inside of an adaptive limit makes its backoff count as latency: write it outside");

  public:
    /// Takes lvalues: a temporary would be gone before the first call.
    explicit Pipeline(Policies&... policies) noexcept : policies_(policies...) {}

    /// Runs `operation` under all policies.
    ///
    /// Completes with: its result, or the error that the policies made of it.
    /// Cancellation:   all kinds, in every wait and in the operation; leaves no permit behind.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) const {
        constexpr auto hedge = index_of_hedge();
        if constexpr (hedge == sizeof...(Policies))
            return call(std::move(operation), options, std::make_index_sequence<hedge>{});
        else
            return call_hedged<hedge>(std::move(operation), options, std::make_index_sequence<hedge>{},
                                      std::make_index_sequence<sizeof...(Policies) - hedge - 1>{});
    }

    /// The same with a deadline for the whole call, waits and all tries included.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, TimePoint deadline) const {
        return execute(std::move(operation), CallOptions{.deadline = deadline});
    }

  private:
    static constexpr std::size_t index_of_hedge() {
        std::size_t index = 0;
        while (index < sizeof...(Policies) && !is_hedge[index]) ++index;
        return index;
    }

    template <class Operation, std::size_t... All>
    auto call(Operation operation, CallOptions options, std::index_sequence<All...>) const {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, std::get<All>(policies_)...);
    }
    // What is inside of the hedge goes with each of its attempts.
    template <std::size_t Hedge, class Operation, std::size_t... Outer, std::size_t... Inner>
    auto call_hedged(Operation operation, CallOptions options, std::index_sequence<Outer...>,
                     std::index_sequence<Inner...>) const {
        auto& hedge = std::get<Hedge>(policies_);
        auto inner = std::tie(std::get<Hedge + 1 + Inner>(policies_)...);
        const bool shares_budget = (detail::shares_budget(std::get<Outer>(policies_), hedge) || ...);
        detail::HedgedOperation hedged{std::move(operation), hedge, shares_budget, inner};
        return detail::guarded_call(detail::own_frame, std::move(hedged), options, std::get<Outer>(policies_)...,
                                    hedge);
    }

    std::tuple<Policies&...> policies_;
};

template <class... Policies>
Pipeline(Policies&...) -> Pipeline<Policies...>;

} // namespace velostream
