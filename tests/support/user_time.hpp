// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/consign.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <utility>

#include "velostream/async/time_source.hpp"

namespace velostream::testing {

/// A clock as a user may write it, of Asio's timers and nothing else. Its sleepers never wake, and it knows whether one
/// was cancelled after its context had destroyed it.
class UserTime {
  public:
    TimePoint now() const noexcept { return TimePoint{std::chrono::hours{1}}; }
    TimePoint coarse_now() const noexcept { return now(); }

    void sleep_until(const asio::any_io_executor& executor, TimePoint, SleepHandler handler) {
        const auto timer = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
        ++seen_->sleepers;
        auto cancelled = [seen = seen_, weak = std::weak_ptr{timer}](asio::cancellation_type) {
            if (weak.expired()) seen->touched_a_destroyed_sleeper = true;
        };
        asio::get_associated_cancellation_slot(handler).assign(std::move(cancelled));
        timer->async_wait(
            asio::bind_cancellation_slot(asio::cancellation_slot{}, asio::consign(std::move(handler), timer)));
    }

    int sleepers() const noexcept { return seen_->sleepers; }
    bool touched_a_destroyed_sleeper() const noexcept { return seen_->touched_a_destroyed_sleeper; }

  private:
    struct Seen {
        int sleepers = 0;
        bool touched_a_destroyed_sleeper = false;
    };
    std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
};

} // namespace velostream::testing
