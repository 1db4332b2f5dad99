// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <type_traits>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

template <class T>
inline constexpr bool is_awaitable = false;
template <class T, class Executor>
inline constexpr bool is_awaitable<asio::awaitable<T, Executor>> = true;

/// `(CallContext&) -> awaitable`
template <class Operation>
concept ContextOperation =
    std::invocable<Operation&, CallContext&> && is_awaitable<std::invoke_result_t<Operation&, CallContext&>>;

/// `() -> awaitable`
template <class Operation>
concept PlainOperation = std::invocable<Operation&> && is_awaitable<std::invoke_result_t<Operation&>>;

/// What `execute` runs: a callable, called once for every try, that returns `awaitable<T>` or `awaitable<Result<T>>`.
/// A thrown exception counts as a failure and becomes an `Error`.
template <class Operation>
concept AsyncOperation = ContextOperation<Operation> || PlainOperation<Operation>;

namespace detail {

template <class Operation>
struct OperationAwaitable {
    using type = std::invoke_result_t<Operation&>;
};
template <ContextOperation Operation>
struct OperationAwaitable<Operation> {
    using type = std::invoke_result_t<Operation&, CallContext&>;
};

} // namespace detail

/// What the operation's coroutine returns, as written by the user.
template <AsyncOperation Operation>
using OperationValue = typename detail::OperationAwaitable<std::remove_reference_t<Operation>>::type::value_type;

/// What `execute` returns for it.
template <AsyncOperation Operation>
using OperationResult = AsResult<OperationValue<Operation>>;

/// An operation that may safely happen twice: it is also tried again when nobody knows whether it happened.
template <class Operation>
struct Idempotent {
    Operation operation;

    auto operator()(CallContext& call)
        requires ContextOperation<Operation>
    {
        return operation(call);
    }
    auto operator()()
        requires(PlainOperation<Operation> && !ContextOperation<Operation>)
    {
        return operation();
    }
};

/// Marks an operation whose effect may happen more than once without harm, such as an upsert.
template <class Operation>
    requires AsyncOperation<std::decay_t<Operation>>
Idempotent<std::decay_t<Operation>> idempotent(Operation&& operation) {
    return {std::forward<Operation>(operation)};
}

template <class Operation>
inline constexpr bool is_idempotent = false;
template <class Operation>
inline constexpr bool is_idempotent<Idempotent<Operation>> = true;

} // namespace velostream
