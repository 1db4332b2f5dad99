// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <functional>
#include <utility>

#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

namespace asio = boost::asio;

namespace detail {

template <class Breaker>
asio::awaitable<Result<void>> wait_for_circuit(Breaker& breaker) {
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    // A wait that begins now would not hear of it.
    if (cancellation.cancelled() != asio::cancellation_type::none) co_return Error{Errc::cancelled};
    auto waiting = breaker.async_ready(asio::as_tuple(asio::use_awaitable));
    const auto [interrupted] = co_await std::move(waiting);
    if (interrupted == asio::error::operation_aborted) co_return Error{Errc::cancelled};
    if (interrupted) co_return Error{interrupted};
    co_return Result<void>{};
}

} // namespace detail

/// A circuit breaker for who only wants to know whether it is open, and to wait until it is not, whatever its clock.
///
/// Threads:  as the breaker.
/// Lifetime: the breaker must outlive it.
class CircuitWait {
  public:
    /// Of a `CircuitBreaker`, or of anything else with `state()` and `async_ready(token)`.
    template <class Breaker>
        requires requires(Breaker& breaker) {
            { breaker.state() } -> std::convertible_to<CircuitState>;
            breaker.async_ready(asio::use_awaitable);
        }
    explicit(false) CircuitWait(Breaker& breaker)
        : is_open_([&breaker] {
              const auto state = breaker.state();
              return state == CircuitState::open || state == CircuitState::forced_open;
          }),
          until_ready_([&breaker] { return detail::wait_for_circuit(breaker); }) {}

    bool is_open() const { return is_open_(); }

    /// Waits until a call would be admitted.
    ///
    /// Completes with: success; Errc::cancelled, also where the breaker ends; or, at once, what else `async_ready`
    ///                 completes with: of a `CircuitBreaker`, Errc::memory_limit_exceeded where its account has no room
    ///                 for one who waits.
    /// Cancellation:   all kinds; leaves nothing behind.
    asio::awaitable<Result<void>> until_ready() const { return until_ready_(); }

  private:
    std::function<bool()> is_open_;
    std::function<asio::awaitable<Result<void>>()> until_ready_;
};

} // namespace velostream
