// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
#include <optional>

#include "velostream/async/time_source.hpp"

namespace velostream::testing {

/// A clock that stands still until a test advances it. Components get a copy; all copies show the same time.
///
/// ```cpp
/// ManualTime time;
/// CircuitBreaker breaker{"orders", config, nullptr, time};
/// time.advance(60s); // the breaker's timeout has passed
/// ```
///
/// Threads:  safe.
/// Lifetime: whoever still sleeps when the last copy goes completes with `operation_aborted`.
class ManualTime {
  public:
    /// Starts at `start`. Independent of every other instance, and of the real clock.
    explicit ManualTime(TimePoint start = TimePoint{std::chrono::hours{1}});

    TimePoint now() const noexcept;
    /// The same as `now()`.
    TimePoint coarse_now() const noexcept { return now(); }

    /// Completes `handler` when the time has come: in the order of the deadlines, those of one moment in the order in
    /// which they came. Completes through the handler's executor, never inside the call.
    ///
    /// Cancellation: all kinds; a cancelled sleeper completes with `operation_aborted`.
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler);

    /// Lets `by` pass, and wakes everybody whose time comes within it. Coroutines that wake run when their
    /// `io_context` does; what they sleep for after that counts from the new time. `Duration::max()` is until the last
    /// moment there is.
    void advance(Duration by);
    /// Lets time pass until `at`; does nothing if that is past.
    void advance_to(TimePoint at);

    /// Lets `by` pass in steps, from one sleeper to the next, and runs what is ready in `context` at each of them: for
    /// code that sleeps several times.
    void run_for(asio::io_context& context, Duration by);

    /// How many sleep now.
    std::size_t sleepers() const;
    /// When the next of them wakes; empty if nobody sleeps.
    std::optional<TimePoint> next_wake() const;

  private:
    struct Sleeper;
    class Sleepers;

    std::shared_ptr<Sleepers> sleepers_;
};

static_assert(TimeSource<ManualTime>);

} // namespace velostream::testing
