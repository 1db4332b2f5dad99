// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

class DeadlineWheel;

namespace detail {

struct DeadlineLink {
    DeadlineLink* previous = this;
    DeadlineLink* next = this;
};

} // namespace detail

/// A point in time at which something has to happen unless it is disarmed before. It lives inside whatever waits, so
/// that arming and disarming allocate nothing.
///
/// Threads:  as its wheel.
/// Lifetime: disarms itself when destroyed.
class Deadline : private detail::DeadlineLink {
  public:
    /// Called once for each arming that is not disarmed, with the deadline already disarmed: it may be armed again or
    /// destroyed inside the call.
    using Expired = void (*)(Deadline&);

    explicit Deadline(Expired expired) noexcept : expired_(expired) {}
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;
    ~Deadline();

    bool is_armed() const noexcept { return wheel_ != nullptr; }

  private:
    friend class DeadlineWheel;

    DeadlineWheel* wheel_ = nullptr; // null unless armed
    Expired expired_;
    std::uint64_t tick_ = 0;
    std::uint16_t place_ = 0; // which list of the wheel
};

/// Any number of deadlines at a constant cost each: a hierarchical timing wheel. It reads no clock: `expire` is told
/// the time.
///
/// A deadline expires never early, and late by less than one tick after the `expire` that could have seen it.
///
/// Threads:  one at a time.
/// Lifetime: its destruction disarms all.
class DeadlineWheel {
  public:
    static constexpr Duration default_tick = std::chrono::milliseconds{4};

    explicit DeadlineWheel(TimePoint now, Duration tick = default_tick) noexcept;
    DeadlineWheel(const DeadlineWheel&) = delete;
    DeadlineWheel& operator=(const DeadlineWheel&) = delete;
    ~DeadlineWheel();

    /// Arms `deadline`, also if it is armed already. A time in the past expires at the next tick.
    void arm(Deadline& deadline, TimePoint at) noexcept;

    /// Does nothing if it is not armed.
    void disarm(Deadline& deadline) noexcept;

    /// Calls every deadline that is due at `now`, in the order of their ticks; within a tick in any order.
    void expire(TimePoint now);

    /// When `expire` has something to do next, at the earliest; nothing if no deadline is armed.
    std::optional<TimePoint> next_wake() const noexcept;

    /// How many are armed.
    std::size_t size() const noexcept { return size_; }

  private:
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slots = 1U << slot_bits;
    static constexpr unsigned levels = 8; // 2^48 ticks: longer than the clock runs
    static constexpr std::uint16_t due_place = levels * slots;

    std::uint64_t tick_at(TimePoint at) const noexcept;
    std::optional<std::uint64_t> next_occupied() const noexcept;
    void place(Deadline& deadline) noexcept;
    void link(Deadline& deadline, std::uint16_t place) noexcept;
    void unlink(Deadline& deadline) noexcept;
    void advance_to(std::uint64_t tick) noexcept;

    TimePoint origin_;
    Duration tick_;
    std::uint64_t now_ = 0; // every deadline of an earlier or equal tick is in the list at `due_place`
    std::size_t size_ = 0;
    std::array<std::uint64_t, levels> occupied_{};
    std::array<detail::DeadlineLink, levels * slots + 1> lists_; // circular, each with its head as sentinel
};

/// A `DeadlineWheel` with a clock and one timer: the shared timer of a component that guards many waits.
///
/// Threads:  one at a time: use it from its executor only (a strand where that has several threads).
/// Lifetime: its destruction disarms all; nobody is called any more.
template <TimeSource Time = SteadyTime>
class DeadlineTimer {
  public:
    explicit DeadlineTimer(asio::any_io_executor executor, Time time = {})
        : state_(std::make_shared<State>(std::move(executor), std::move(time))) {}
    DeadlineTimer(const DeadlineTimer&) = delete;
    DeadlineTimer& operator=(const DeadlineTimer&) = delete;
    ~DeadlineTimer() { state_->cancel(); }

    /// Calls the deadline on the executor at `at`, late by a few milliseconds at most while the executor is free. What
    /// it throws leaves through the executor; the deadlines after it have their turns nevertheless.
    ///
    /// If it throws, for want of memory, the deadline is not armed; the others are, and the next `arm` that finds
    /// memory sees to them.
    void arm(Deadline& deadline, TimePoint at) {
        state_->wheel.arm(deadline, at);
        if (state_->wake_at && *state_->wake_at <= at) return;
        try {
            wake_in_time(state_);
        } catch (...) {
            disarm(deadline);
            throw;
        }
    }

    void disarm(Deadline& deadline) noexcept { state_->wheel.disarm(deadline); }

    /// Stops the timer if no deadline is armed. A timer that still runs keeps the execution context running, and
    /// stopping it at every `disarm` would cost more than the wait: call this when there is nothing left to guard.
    void rest() {
        if (state_->wheel.size() == 0) state_->cancel();
    }

    /// Forgets the sleep without touching it, and lets go of the executor: for owners that are told that their
    /// execution context is being destroyed.
    void abandon() noexcept {
        state_->executor = {};
        state_->wake_at.reset();
        ++state_->generation;
    }

    TimePoint now() const noexcept { return state_->time.now(); }
    TimePoint coarse_now() const noexcept { return state_->time.coarse_now(); }
    std::size_t size() const noexcept { return state_->wheel.size(); }

  private:
    struct State {
        State(asio::any_io_executor on, Time clock)
            : executor(std::move(on)), time(std::move(clock)), wheel(time.now()) {}

        void cancel() {
            if (!wake_at) return;
            wake_at.reset();
            ++generation;
            wake.emit(asio::cancellation_type::terminal);
        }

        asio::any_io_executor executor;
        Time time;
        DeadlineWheel wheel;
        asio::cancellation_signal wake;
        std::optional<TimePoint> wake_at;
        std::uint64_t generation = 0; // of the sleep in progress; an older one that completes late is ignored
    };

    static void wake_in_time(const std::shared_ptr<State>& state) {
        const auto next = state->wheel.next_wake();
        if (!next || (state->wake_at && *state->wake_at <= *next)) return;
        state->cancel();
        state->wake_at = next;
        // Weak: the sleep must not keep alive what the component has given up.
        auto woken = [weak = std::weak_ptr{state},
                      generation = state->generation](const boost::system::error_code& code) {
            const auto self = weak.lock();
            if (code || !self || self->generation != generation) return;
            self->wake_at.reset();
            try {
                self->wheel.expire(self->time.now());
            } catch (...) { // by one of them, which has had its turn
                wake_in_time(self);
                throw;
            }
            wake_in_time(self);
        };
        try {
            state->time.sleep_until(state->executor, *next,
                                    asio::bind_cancellation_slot(state->wake.slot(), std::move(woken)));
        } catch (...) {
            state->wake_at.reset();
            ++state->generation;
            throw;
        }
    }

    std::shared_ptr<State> state_;
};

inline Deadline::~Deadline() {
    if (wheel_) wheel_->disarm(*this);
}

} // namespace velostream
