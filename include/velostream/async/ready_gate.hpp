// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/consign.hpp>
#include <boost/asio/error.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_alarms.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

/// Lets callers wait until a call would be admitted, without trying: first come first served, one waiter for each call
/// that would be admitted, everybody where nothing limits them.
///
/// Being ready reserves nothing. A waiter that was told so counts as *invited* until it makes its call; one that makes
/// none keeps the others waiting for `patience` at most.
///
/// A component derives from this, answers the questions below and says `update` when the answers change. What time
/// alone changes needs no traffic: one alarm is set, while somebody waits, in the context of who waits longest. Where
/// that stands still, the others hear it `patience` later, in theirs.
///
/// Threads:      safe.
/// Lifetime:     held by a `shared_ptr`; `close` before it goes.
template <TimeSource Time>
class ReadyGate : public std::enable_shared_from_this<ReadyGate<Time>> {
  public:
    static constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();

    ReadyGate(Time time, Duration patience) : time_(std::move(time)), patience_(patience.count()) {}
    ReadyGate(const ReadyGate&) = delete;
    ReadyGate& operator=(const ReadyGate&) = delete;
    virtual ~ReadyGate() = default;

    /// Throws, and then nobody waits, if the heap has no memory for it.
    ///
    /// Completes with: success when a call would be admitted; `operation_aborted` for cancellation or `close`; at once
    ///                 with why there is no room for one who waits.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<WaitQueue::Signature> Token>
    auto async_ready(Token&& token) {
        return asio::async_initiate<Token, WaitQueue::Signature>(
            [](auto handler, std::shared_ptr<ReadyGate> gate) {
                if (gate->queue_.size() == 0 && gate->invite()) {
                    try {
                        WaitQueue::async_no_wait(std::move(handler));
                    } catch (...) {
                        gate->withdraw_invitation();
                        throw;
                    }
                    return;
                }
                auto room = gate->make_room(WaitQueue::size_of_waiter(sizeof(handler)) + sizeof(Departure));
                if (!room) {
                    WaitQueue::async_no_wait(std::move(handler), room.error().code());
                    return;
                }
                auto departure = gate->arrive(asio::any_io_executor{asio::get_associated_executor(handler)});
                // Who comes while others wait is not served before them.
                gate->queue_.async_wait_unless(
                    [&](std::size_t waiting) noexcept { return waiting == 0 && gate->invite(); },
                    [&] { gate->begin_wait(); }, std::move(*room),
                    asio::consign(std::move(handler), std::move(departure)));
            },
            token, this->shared_from_this());
    }

    /// Invites whoever can be invited by now. Where there is no memory to go on, the next call does, and the next wait.
    void update() noexcept {
        try {
            invite_all();
        } catch (...) { // nothing throws but for want of memory, which Asio may tell in another way
        }
    }

    /// A call was admitted where their number is limited: probably of one who was invited.
    void withdraw_invitation() noexcept {
        auto invited = invited_.load(std::memory_order_relaxed);
        while (invited > 0 && !invited_.compare_exchange_weak(invited, invited - 1, std::memory_order_relaxed)) {
        }
    }

    /// The limit is another one: nobody who was invited before counts.
    void forget_invitations() noexcept { invited_.store(0, std::memory_order_relaxed); }

    /// Of the waits that begin from now on.
    void set_patience(Duration patience) noexcept { patience_.store(patience.count(), std::memory_order_relaxed); }

    /// Completes everybody with `operation_aborted`.
    void close() { queue_.wake_all(asio::error::operation_aborted); }

    const Time& time() const noexcept { return time_; }
    std::size_t waiting() const { return queue_.size(); }

  private:
    /// How many calls would be admitted at `now`, or `unlimited`.
    virtual std::uint32_t admissible(TimePoint now) const = 0;
    /// When that changes next with time alone; nothing if it does not.
    virtual std::optional<TimePoint> next_change(TimePoint now) const = 0;
    /// Makes the changes for which it is time.
    virtual void settle(TimePoint now) = 0;
    /// Room for so many bytes, for one who has to wait, until what it returns ends; or why there is none.
    virtual Result<std::shared_ptr<void>> make_room(Bytes) { return nullptr; }

    // Destroyed with the handler: when it is called, or lost.
    class Departure {
      public:
        Departure(std::weak_ptr<ReadyGate> gate, ContextAlarms::Place& from) noexcept
            : gate_(std::move(gate)), from_(&from) {}
        Departure(Departure&&) noexcept = default;
        Departure& operator=(Departure&&) = delete;
        ~Departure() {
            const auto gate = gate_.lock();
            if (!gate) return;
            try {
                gate->depart(*from_);
            } catch (...) { // as in `update`
            }
        }

      private:
        std::weak_ptr<ReadyGate> gate_;
        ContextAlarms::Place* from_;
    };

    Departure arrive(const asio::any_io_executor& executor) {
        const std::lock_guard lock{mutex_};
        return {this->weak_from_this(), alarms_.enter(executor)};
    }
    void depart(ContextAlarms::Place& from) {
        {
            const std::lock_guard lock{mutex_};
            alarms_.leave(from);
        }
        watch();
    }

    // relaxed: the waiters' order is kept by the queue's lock, and an invitation promises nothing.
    bool invite() noexcept {
        const auto limit = admissible(time_.now());
        if (limit == unlimited) return true;
        auto invited = invited_.load(std::memory_order_relaxed);
        while (invited < limit)
            if (invited_.compare_exchange_weak(invited, invited + 1, std::memory_order_relaxed)) return true;
        return false;
    }

    void invite_all() {
        do {
            while (queue_.size() > 0 && invite())
                if (admissible(time_.now()) == unlimited)
                    queue_.wake_all();
                else if (!queue_.wake_one())
                    withdraw_invitation();
        } while (!set_alarm());
    }

    void watch() {
        if (!set_alarm()) invite_all();
    }

    // An alarm that is due and has not rung yet is as good as one that rings now.
    void begin_wait() {
        if (stop_due_alarm()) begin_round();
        watch();
    }

    // The time has come for which the alarm was set: perhaps patience has ended.
    void begin_round() {
        forget_invitations();
        settle(time_.now());
    }

    Duration patience() const noexcept { return Duration{patience_.load(std::memory_order_relaxed)}; }

    // Sets the alarm for the next change, or stops it when nobody waits for one. False if the change has come: it may
    // have done so after somebody was told to wait, and no later one need follow.
    bool set_alarm() {
        const std::lock_guard lock{mutex_};
        const auto executor = queue_.first_executor();
        if (!executor) return stop_alarm();
        const auto now = time_.now();
        const auto invited = invited_.load(std::memory_order_relaxed);
        if (admissible(now) > invited) return false;
        auto at = next_change(now);
        if (invited > 0) at = std::min(at.value_or(TimePoint::max()), now + patience());
        if (!at) return stop_alarm();
        if (alarm_at_) at = std::min(*at, *alarm_at_); // one that rings early does no harm
        alarm_at_ = at;
        alarms_.set(time_, *executor, *at, patience(), [this](std::uint64_t number) -> Alarm::OnEnd {
            return [weak = this->weak_from_this(), number](AlarmEnd end) {
                if (const auto gate = weak.lock()) gate->on_alarm(end, number);
            };
        });
        return true;
    }

    // Always true. Needs the mutex.
    bool stop_alarm() noexcept {
        alarms_.stop();
        alarm_at_.reset();
        return true;
    }

    bool stop_due_alarm() {
        const std::lock_guard lock{mutex_};
        return alarm_at_ && time_.now() >= *alarm_at_ && stop_alarm();
    }

    void on_alarm(AlarmEnd end, std::uint64_t number) {
        bool is_due = false; // not where it was left from an earlier time
        {
            const std::lock_guard lock{mutex_};
            if (!alarms_.take(number)) return;
            is_due = end == AlarmEnd::rang && alarm_at_ && time_.now() >= *alarm_at_;
            if (is_due) alarm_at_.reset();
        }
        if (is_due) begin_round();
        update();
    }

    Time time_;
    std::atomic<Duration::rep> patience_;
    WaitQueue queue_;
    std::atomic<std::uint32_t> invited_{0};

    std::mutex mutex_; // before the queue's lock and the component's
    ContextAlarms alarms_;
    std::optional<TimePoint> alarm_at_; // for when they are set; nothing if they are not
};

} // namespace velostream
