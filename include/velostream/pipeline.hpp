// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tuple>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream {

namespace detail {

template <class Policy>
inline constexpr bool is_retry = false;
template <class Time>
inline constexpr bool is_retry<RetryExecutor<Time>> = true;

} // namespace detail

/// Several policies around a call, written outermost first: `Pipeline{retry, breaker}` is retry(breaker(call)).
///
/// It runs in one coroutine frame, whatever the number of policies, and allocates nothing of its own. Policies are
/// referred to: any object that fits `CallPolicy` will do (see `async/policy.hpp`), shared by as many pipelines as you
/// like.
///
/// Which order? Retry outside the breaker: each try is judged, and a try that finds the circuit open ends the call. The
/// breaker outside of retry judges the call after all its tries, and holds a probe permit through their backoff.
///
/// Threads:  safe, as its policies are. A pipeline is a few references: copy it where you want.
/// Lifetime: the policies must outlive it and every call.
template <CallPolicy... Policies>
class Pipeline {
    static_assert(sizeof...(Policies) > 0, "a pipeline needs a policy");
    static_assert((0 + ... + int{detail::is_retry<Policies>}) <= 1,
                  "two retry executors in one pipeline multiply their tries: configure one of them for both");

  public:
    /// Takes lvalues: a temporary would be gone before the first call.
    explicit Pipeline(Policies&... policies) noexcept : policies_(policies...) {}

    /// Runs `operation` under all policies.
    ///
    /// Completes with: its result, or the error that the policies made of it.
    /// Cancellation:   all kinds, in every wait and in the operation; leaves no permit behind.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) const {
        return std::apply(
            [&](Policies&... policies) { return detail::guarded_call(std::move(operation), options, policies...); },
            policies_);
    }

    /// The same with a deadline for the whole call, waits and all tries included.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, TimePoint deadline) const {
        return execute(std::move(operation), CallOptions{.deadline = deadline});
    }

  private:
    std::tuple<Policies&...> policies_;
};

template <class... Policies>
Pipeline(Policies&...) -> Pipeline<Policies...>;

} // namespace velostream
