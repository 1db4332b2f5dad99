// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream::kafka {

/// What a loop asks a circuit breaker of any type. Made from the breaker itself:
///
///     const ForEachOptions options{.max_in_flight = 500, .gate = breaker};
///
/// Threads:  as the breaker.
/// Lifetime: the breaker must outlive the loop.
class CircuitGate {
  public:
    using Handler = std::function<void(boost::system::error_code)>;

    /// No gate.
    CircuitGate() = default;

    template <TimeSource Time, class Memory>
    explicit(false) CircuitGate(CircuitBreaker<Time, Memory>& breaker) noexcept
        : breaker_(&breaker), questions_(&questions_to<CircuitBreaker<Time, Memory>>) {}

    explicit operator bool() const noexcept { return breaker_ != nullptr; }

    /// Only with a breaker.
    CircuitState state() const { return questions_->state(breaker_); }
    /// `CircuitBreaker::async_ready`; only with a breaker.
    void async_ready(const asio::any_io_executor& executor, asio::cancellation_slot slot, Handler handler) const {
        questions_->async_ready(breaker_, executor, slot, std::move(handler));
    }

  private:
    struct Questions {
        CircuitState (*state)(const void* breaker);
        void (*async_ready)(void* breaker, const asio::any_io_executor& executor, asio::cancellation_slot slot,
                            Handler handler);
    };
    template <class Breaker>
    static constexpr Questions questions_to{
        [](const void* breaker) { return static_cast<const Breaker*>(breaker)->state(); },
        [](void* breaker, const asio::any_io_executor& executor, asio::cancellation_slot slot, Handler handler) {
            static_cast<Breaker*>(breaker)->async_ready(
                asio::bind_cancellation_slot(slot, asio::bind_executor(executor, std::move(handler))));
        }};

    void* breaker_ = nullptr;
    const Questions* questions_ = nullptr;
};

} // namespace velostream::kafka
