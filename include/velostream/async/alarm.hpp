// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "velostream/async/context_membership.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream {

/// How an alarm that was set came to its end, unless it was stopped.
enum class AlarmEnd : std::uint8_t {
    rang,    ///< the time has come
    dropped, ///< its execution context ended first
};

/// One sleep that can be set again and stopped, for a component that has no executor of its own.
///
/// Threads:      `set` and `stop` one at a time; the sleep itself may end on any thread meanwhile.
/// Lifetime:     its destruction stops it. An `OnEnd` that is being called at that moment goes on.
class Alarm {
  public:
    using OnEnd = std::function<void(AlarmEnd)>;

    Alarm() = default;
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm() { stop(); }

    /// Calls `on_end` when `at` has come, on `executor`; or, if its context ends before that, while it shuts down.
    /// Replaces what was set before. Until then the context has work. If it throws, nothing is set. On a strand Boost
    /// 1.81 ends the program where there is no memory; on the executor of a context it throws, and rings without any.
    template <TimeSource Time>
    void set(Time time, const asio::any_io_executor& executor, TimePoint at, OnEnd on_end) {
        stop();
        auto sleep = std::make_shared<Sleep>(executor, std::move(on_end));
        if (!sleep->membership.join(executor, sleep)) return; // ending already: nobody could be called there
        auto wake = [sleep](boost::system::error_code code) { sleep->wake(code); };
        try {
            time.sleep_until(executor, at, asio::bind_cancellation_slot(sleep->signal.slot(), std::move(wake)));
        } catch (...) {
            if (sleep->end()) sleep->membership.leave();
            throw;
        }
        sleep_ = std::move(sleep);
    }

    /// `on_end` is not called any more, unless that has begun. Without memory to wake the sleep it goes on, for nobody.
    void stop() noexcept {
        if (const auto sleep = std::exchange(sleep_, nullptr)) sleep->stop();
    }

  private:
    struct Sleep final : ContextMember {
        Sleep(asio::any_io_executor on, OnEnd then) : executor(std::move(on)), on_end(std::move(then)) {}

        // Whoever gets the function ends the sleep, and with it the tie to the context.
        OnEnd end() {
            const std::lock_guard lock{mutex};
            executor = {};
            return std::exchange(on_end, nullptr);
        }
        void wake(boost::system::error_code code) {
            {
                const std::lock_guard lock{signal_mutex};
                is_woken = true;
            }
            const auto call = end();
            if (!call) return; // stopped or dropped: the tie is theirs to end, and they may be at it
            membership.leave();
            if (!code) call(AlarmEnd::rang);
        }
        void stop() noexcept {
            {
                // Under the lock, so that a context which ends finds the sleep either here or stopped.
                const std::lock_guard lock{mutex};
                if (!on_end) return;
                on_end = nullptr;
                try { // in the context, which cannot end then
                    asio::post(executor, [self = std::static_pointer_cast<Sleep>(shared_from_this())] {
                        const std::lock_guard waking_waits{self->signal_mutex};
                        if (!self->is_woken) self->signal.emit(asio::cancellation_type::terminal);
                    });
                } catch (const std::bad_alloc&) {
                }
                executor = {};
            }
            membership.leave();
        }
        bool detach() noexcept override {
            dropped = end();
            return static_cast<bool>(dropped);
        }
        void drop() noexcept override { std::exchange(dropped, nullptr)(AlarmEnd::dropped); }

        ContextMembership membership;
        OnEnd dropped;
        // The clock may have several threads, and a sleep that is over must not be cancelled. Recursive: one that is
        // may wake at once.
        std::recursive_mutex signal_mutex;
        asio::cancellation_signal signal; // guarded by signal_mutex, as the next
        bool is_woken = false;
        std::mutex mutex;
        asio::any_io_executor executor; // guarded by mutex, as the next
        OnEnd on_end;
    };

    std::shared_ptr<Sleep> sleep_;
};

} // namespace velostream
