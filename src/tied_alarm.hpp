// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_tie.hpp"

namespace velostream {

/// An alarm on an executor whose context may end before it. Not for a strand where memory may fail: see `Alarm`.
///
/// Threads: safe. On a context with several, `ring` may be called by two at once.
class TiedAlarm {
  public:
    using SetAlarm = std::function<void(Alarm&, const asio::any_io_executor&, TimePoint, Alarm::OnEnd)>;

    TiedAlarm(asio::any_io_executor executor, SetAlarm set_alarm, std::function<void()> ring)
        : set_alarm_(std::move(set_alarm)), ring_(std::move(ring)), tie_(std::move(executor)) {}

    /// Rings on the executor at `at`; if it is set already, at the time that was wanted first, and whoever finds that
    /// too early sets it again. False where there is no memory for it, or no context any more.
    bool set(TimePoint at) noexcept {
        const std::scoped_lock lock{mutex_};
        if (has_ended_) return false;
        if (*setting_ != 0) return true;
        const auto number = ++settings_;
        *setting_ = number; // first: it may ring before it is set
        try {
            const bool is_there = tie_.with_executor([&](const asio::any_io_executor& executor) {
                set_alarm_(alarm_, executor, at, [ring = ring_, setting = setting_, number](AlarmEnd end) {
                    auto mine = number;
                    setting->compare_exchange_strong(mine, 0); // another may have been set since
                    if (end == AlarmEnd::rang) ring();
                });
            });
            if (is_there) return true;
        } catch (const std::bad_alloc&) {
        }
        *setting_ = 0;
        return false;
    }
    bool is_set() const noexcept { return *setting_ != 0; }
    void stop() noexcept {
        const std::scoped_lock lock{mutex_};
        *setting_ = 0;
        alarm_.stop();
    }
    /// For good.
    void end() noexcept {
        const std::scoped_lock lock{mutex_};
        has_ended_ = true;
        alarm_.stop();
    }

  private:
    const SetAlarm set_alarm_;
    const std::function<void()> ring_;
    const std::shared_ptr<std::atomic<std::uint64_t>> setting_ = std::make_shared<std::atomic<std::uint64_t>>(0);
    ContextTie tie_;
    std::mutex mutex_; // guards what follows
    std::uint64_t settings_ = 0;
    bool has_ended_ = false;
    Alarm alarm_;
};

} // namespace velostream
