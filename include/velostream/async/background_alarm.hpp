// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>

#include "velostream/async/alarm.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream {

/// An alarm that is no reason for its execution context to go on, for upkeep that only matters while something else
/// goes on there: `run()` of an `io_context`, or `join()` of a `thread_pool`, returns though it is set. It rings while
/// its context runs, and if that is late, when it runs again.
///
/// That holds for `SteadyTime` and executors of these contexts, strands on them included; with any other it is work
/// like an `Alarm`.
///
/// Threads:  `set` and `stop` one at a time; it may ring on any thread meanwhile.
/// Lifetime: its destruction stops it. What it calls at that moment goes on.
class BackgroundAlarm {
  public:
    using OnRing = std::function<void()>;

    BackgroundAlarm() = default;
    BackgroundAlarm(const BackgroundAlarm&) = delete;
    BackgroundAlarm& operator=(const BackgroundAlarm&) = delete;
    ~BackgroundAlarm() { stop(); }

    /// Calls `on_ring` on `executor` when `at` has come, unless its context ends before that. Replaces what was set
    /// before. Throws `std::bad_alloc`, and then nothing is set.
    template <TimeSource Time>
    void set(const Time& time, const asio::any_io_executor& executor, TimePoint at, OnRing on_ring) {
        stop();
        alarm_.set(time, executor, at, [on_ring = std::move(on_ring)](AlarmEnd end) {
            if (end == AlarmEnd::rang) on_ring();
        });
    }
    void set(const SteadyTime& time, const asio::any_io_executor& executor, TimePoint at, OnRing on_ring);
    void stop() noexcept;

  private:
    class Sleep;

    std::shared_ptr<Sleep> sleep_;
    Alarm alarm_; // where it has to be work
};

} // namespace velostream
