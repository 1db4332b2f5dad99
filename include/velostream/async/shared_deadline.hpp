// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>

#include "velostream/async/deadline_wheel.hpp"

namespace velostream {

/// A deadline of the machine's clock among all those of an execution context: they share one wheel and one timer, so
/// that arming and disarming one costs two short locks and no memory.
///
/// Rings late by at most 8 ms while its executor and a thread of the context are free: handlers of other strands do not
/// hold it up, where the strands are those of Asio's executors. A context that runs out of other work goes on for up to
/// `linger` after its last deadline was armed.
///
/// Threads:  it belongs to its executor: arm and disarm it there. Where that runs on several threads at once it must be
///           a strand.
/// Lifetime: disarms itself when destroyed. May outlive its execution context.
class SharedDeadline : private Deadline {
  public:
    /// Called on the executor, once for each arming that is not disarmed before.
    using Ring = void (*)(SharedDeadline&);
    static constexpr Duration linger = std::chrono::milliseconds{50};

    explicit SharedDeadline(Ring ring) noexcept : Deadline(&expired), ring_(ring) {}
    SharedDeadline(const SharedDeadline&) = delete;
    SharedDeadline& operator=(const SharedDeadline&) = delete;
    ~SharedDeadline() { disarm(); }

    /// Also if it is armed already. Never rings inside this call. On a context that is ending it never rings.
    void arm(const asio::any_io_executor& executor, TimePoint at);
    void disarm() noexcept {
        if (home_) leave_home();
    }

  private:
    class Home;
    class Service;

    static void expired(Deadline& deadline);
    void leave_home() noexcept;

    const Ring ring_;
    std::shared_ptr<Home> home_; // while it is armed or about to ring
    asio::any_io_executor executor_;
    std::uint64_t ringing_ = 0; // its number among those that are about to ring
};

} // namespace velostream
