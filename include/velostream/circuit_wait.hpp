// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <functional>
#include <memory>
#include <utility>

#include "velostream/async/wait_queue.hpp"
#include "velostream/base/observer.hpp"

namespace velostream {

namespace asio = boost::asio;

namespace detail {

// A coroutine that waits for a breaker. The wait is begun by the coroutine itself, not where it suspends: what throws
// there leaves the context's `run` with Boost 1.81, and the coroutine never hears of it.
struct CircuitWaitEnd {
    asio::cancellation_signal cancel; // the breaker's wait
    std::atomic<bool> has_come{false};
    WaitQueue coroutine;
};

template <class Breaker>
asio::awaitable<void> wait_for_circuit(Breaker& breaker) {
    const auto executor = co_await asio::this_coro::executor;
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
    const auto end = std::make_shared<CircuitWaitEnd>();
    auto on_end = [end](boost::system::error_code) {
        end->has_come.store(true, std::memory_order_relaxed); // published by the queue's lock
        end->coroutine.wake_all();
    };
    breaker.async_ready(
        asio::bind_cancellation_slot(end->cancel.slot(), asio::bind_executor(executor, std::move(on_end))));
    // Until this coroutine resumes, its own slot has no other use.
    if (auto own = state.slot(); own.is_connected()) {
        own.assign([weak = std::weak_ptr{end}](asio::cancellation_type kind) {
            if (const auto alive = weak.lock()) alive->cancel.emit(kind);
        });
    }
    auto waiting = end->coroutine.async_wait_unless(
        [&end]() noexcept { return end->has_come.load(std::memory_order_relaxed); },
        asio::bind_cancellation_slot(asio::cancellation_slot{}, asio::as_tuple(asio::use_awaitable)));
    co_await std::move(waiting);
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

    /// Returns when a call would be admitted, when it is cancelled, or when the breaker ends.
    ///
    /// Errors:       throws what `async_ready` throws, and then nobody waits and nothing is charged: of a
    ///               `CircuitBreaker` whose account has no room for one who waits, a `MemoryRefusedException`.
    /// Cancellation: all kinds; leaves nothing behind.
    asio::awaitable<void> until_ready() const { return until_ready_(); }

  private:
    std::function<bool()> is_open_;
    std::function<asio::awaitable<void>()> until_ready_;
};

} // namespace velostream
