// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <utility>

#include "velostream/base/observer.hpp"

namespace velostream {

namespace asio = boost::asio;

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
          until_ready_([&breaker]() -> asio::awaitable<void> {
              auto waiting = breaker.async_ready(asio::as_tuple(asio::use_awaitable));
              co_await std::move(waiting);
          }) {}

    bool is_open() const { return is_open_(); }

    /// Returns when a call would be admitted, or when it is cancelled.
    asio::awaitable<void> until_ready() const { return until_ready_(); }

  private:
    std::function<bool()> is_open_;
    std::function<asio::awaitable<void>()> until_ready_;
};

} // namespace velostream
