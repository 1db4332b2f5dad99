// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <type_traits>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

template <class T>
inline constexpr bool is_awaitable = false;
template <class T, class Executor>
inline constexpr bool is_awaitable<asio::awaitable<T, Executor>> = true;

/// An `awaitable`, or what an asynchronous function of Asio returns for `asio::deferred`, which saves the coroutine
/// around it. That one gives what `co_await` makes of it: an `error_code` in front becomes an exception. (Or what our
/// own coroutines await in their frames.)
template <class T>
concept Awaitable = is_awaitable<T> || asio::is_async_operation<T>::value || detail::AwaitedInFrame<T>;

/// `(CallContext&) -> Awaitable`
template <class Operation>
concept ContextOperation =
    std::invocable<Operation&, CallContext&> && Awaitable<std::invoke_result_t<Operation&, CallContext&>>;

/// `() -> Awaitable`
template <class Operation>
concept PlainOperation = std::invocable<Operation&> && Awaitable<std::invoke_result_t<Operation&>>;

/// What `execute` runs: a callable, called once for every try, that returns an `Awaitable` of `T` or of `Result<T>`.
/// A thrown exception counts as a failure and becomes an `Error`.
template <class Operation>
concept AsyncOperation = ContextOperation<Operation> || PlainOperation<Operation>;

namespace detail {

template <class T>
struct AwaitableValue {
    using Signature = typename asio::completion_signature_of<T>::type;
    using type = typename asio::async_result<asio::use_awaitable_t<>, Signature>::return_type::value_type;
};
template <class T, class Executor>
struct AwaitableValue<asio::awaitable<T, Executor>> {
    using type = T;
};

template <AwaitedInFrame T>
struct AwaitableValue<T> {
    using type = std::remove_cvref_t<decltype(std::declval<T&>().end())>;
};

template <class Operation>
struct OperationAwaitable {
    using type = std::invoke_result_t<Operation&>;
};
template <ContextOperation Operation>
struct OperationAwaitable<Operation> {
    using type = std::invoke_result_t<Operation&, CallContext&>;
};

} // namespace detail

/// What awaiting the operation gives, as written by the user.
template <AsyncOperation Operation>
using OperationValue = typename detail::AwaitableValue<
    typename detail::OperationAwaitable<std::remove_reference_t<Operation>>::type>::type;

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
