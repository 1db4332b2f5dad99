// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

// A coroutine that a test has started: what it returned, and a way to cancel it.
template <class T>
class Started {
  public:
    // The returned value; fails the test by an exception if the coroutine threw or has not ended.
    T& value() const {
        if (state_->exception) std::rethrow_exception(state_->exception);
        return state_->value.value();
    }
    bool ended() const noexcept { return state_->value || state_->exception; }
    void cancel(asio::cancellation_type kind) const { state_->signal.emit(kind); }

  private:
    template <class U>
    friend Started<U> start(asio::io_context& context, asio::awaitable<U> coroutine);

    struct State {
        std::optional<T> value;
        std::exception_ptr exception;
        asio::cancellation_signal signal;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A spawned coroutine accepts only terminal cancellation; tests want all kinds to arrive.
template <class T>
asio::awaitable<T> accept_every_cancellation(asio::awaitable<T> coroutine) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_return co_await std::move(coroutine);
}

template <class T>
Started<T> start(asio::io_context& context, asio::awaitable<T> coroutine) {
    Started<T> started;
    auto ended = [state = started.state_](std::exception_ptr exception, T value) {
        state->exception = exception;
        if (!exception) state->value.emplace(std::move(value));
    };
    asio::co_spawn(context, accept_every_cancellation(std::move(coroutine)),
                   asio::bind_cancellation_slot(started.state_->signal.slot(), std::move(ended)));
    context.restart();
    context.poll();
    return started;
}

// Runs `coroutine` to its end, with as much time as it sleeps for, but not more than an hour.
template <class T>
T run(asio::io_context& context, ManualTime time, asio::awaitable<T> coroutine) {
    auto started = start(context, std::move(coroutine));
    const auto end = time.now() + std::chrono::hours{1};
    while (!started.ended()) {
        const auto next = time.next_wake();
        if (!next || *next > end) break;
        time.advance_to(*next);
        context.restart();
        context.poll();
    }
    return std::move(started.value());
}

} // namespace velostream::testing
