// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "velostream/async/time_source.hpp"

namespace orders {

namespace asio = boost::asio;

/// Waits until the circuit would admit another try. Where the breaker's account has no room for one who waits, for a
/// moment instead: then it is worth asking again.
///
/// Cancellation: as of any coroutine that awaits; throws.
template <class Breaker>
asio::awaitable<void> until_worth_a_try(Breaker& breaker) {
    constexpr std::chrono::milliseconds moment{10};
    auto waiting = breaker.async_ready(asio::as_tuple(asio::use_awaitable));
    const auto [refused] = co_await std::move(waiting);
    if (!refused) co_return;
    const auto executor = co_await asio::this_coro::executor;
    const auto until = breaker.time().now() + moment;
    auto resting = velostream::async_sleep_until(breaker.time(), executor, until, asio::use_awaitable);
    co_await std::move(resting);
}

} // namespace orders
