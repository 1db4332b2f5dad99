// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <chrono>
#include <concepts>
#include <ctime>
#include <utility>

#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// What a sleep completes with: success when the time has come, `operation_aborted` when it was cancelled.
using SleepSignature = void(boost::system::error_code);
using SleepHandler = asio::any_completion_handler<SleepSignature>;

/// A clock that coroutines can wait on. Components hold a copy, so an instance is a small handle.
///
/// `now()` is cheap and never goes backwards; `sleep_until(executor, at, handler)` completes the handler through its
/// associated executor (`executor` where it has none), once, and honours the handler's cancellation slot.
template <class Time>
concept TimeSource = std::copyable<Time> && requires(Time time, const Time& constant, TimePoint at,
                                                     SleepHandler handler, const asio::any_io_executor& executor) {
    { constant.now() } noexcept -> std::same_as<TimePoint>;
    { constant.coarse_now() } noexcept -> std::same_as<TimePoint>;
    time.sleep_until(executor, at, std::move(handler));
};

/// The machine's monotonic clock and Asio's timers.
class SteadyTime {
  public:
    /// About 25 ns.
    TimePoint now() const noexcept { return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()); }

    /// How far `coarse_now()` is behind `now()`, as a rule at most: two ticks of a kernel with 100 of them a second.
    static constexpr Duration coarse_step = std::chrono::milliseconds{20};

    /// The same clock in steps of a few milliseconds, about 5 ns: for thresholds of 100 ms and more.
    TimePoint coarse_now() const noexcept {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return TimePoint{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
    }

    /// Throws where there is no memory for it: on an executor of an `io_context` or a `thread_pool`, for a handler of
    /// that executor. With any other, such as a strand, Boost 1.81 ends the program then.
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler);
};

/// Whether `at` has come. Reads the clock exactly only where it matters, for a source that says how coarse its
/// `coarse_now()` is (as `coarse_step`); where that is further behind for once, it is told so much later.
template <TimeSource Time>
bool has_come(const Time& time, TimePoint at) noexcept {
    if constexpr (requires { Time::coarse_step; })
        if (time.coarse_now() + Time::coarse_step < at) return false;
    return time.now() >= at;
}

/// Waits until `at` by `time`'s clock.
///
/// Completes with: `error_code`: success, or `operation_aborted`.
/// Cancellation:   all kinds; leaves nothing behind.
template <TimeSource Time, asio::completion_token_for<SleepSignature> Token>
auto async_sleep_until(Time time, const asio::any_io_executor& executor, TimePoint at, Token&& token) {
    return asio::async_initiate<Token, SleepSignature>(
        [](SleepHandler handler, Time clock, const asio::any_io_executor& on, TimePoint until) {
            clock.sleep_until(on, until, std::move(handler));
        },
        token, std::move(time), executor, at);
}

} // namespace velostream
