// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/system/errc.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <source_location>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_alarms.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/async/pending_reserve.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

/// When somebody came, and how long his turn may be away.
struct TurnRequest {
    TimePoint since{};
    TimePoint latest = TimePoint::max();
    Bytes held_bytes = 0;         ///< what he holds meanwhile, beside his place in the line
    std::source_location where{}; ///< who asks
};

/// Coroutines that wait for their turn, first come first served; to whom a turn belongs, and when, is the owner's to
/// say.
///
/// The owner derives from this, keeps what it decides by under `mutex()`, and answers the questions below: members
/// whose name says `locked` are called with the mutex, and must not block, throw or run code of users. Turns are given
/// through an `Ended`. Who has to wait takes a `Room` first, which he gives back before he is told anything. One alarm
/// is enough for all who wait in one context: it rings on the executor of the first of them. Where others wait it rings
/// too, four milliseconds later, so that a context that nobody runs holds up only its own.
///
/// Threads:      safe, unless `Mutex` does nothing: then one at a time. No user code runs under the mutex.
/// Errors:       a wait that finds no memory to begin throws, and has not begun. Where there is none for the alarm the
///               first is told so. Where there is none to tell someone of his turn the program ends: he must not be
///               lost.
/// Cancellation: all kinds, O(1), with `Errc::cancelled`, unless a turn is on its way. What was granted to a coroutine
///               that is gone when it comes is destroyed there.
/// Lifetime:     held by a `shared_ptr`; `close` before it goes. An execution context that ends takes its waiters with
///               it.
template <class Granted, TimeSource Time, std::movable Room, class Mutex = std::mutex>
class TurnLine : public std::enable_shared_from_this<TurnLine<Granted, Time, Room, Mutex>> {
  public:
    using Signature = void(Result<Granted>);
    using Answer = std::optional<Result<Granted>>;

    explicit TurnLine(Time time) : time_(std::move(time)) {}
    TurnLine(const TurnLine&) = delete;
    TurnLine& operator=(const TurnLine&) = delete;
    virtual ~TurnLine() = default;

    /// Completes with: what the owner grants or refuses, or `Errc::cancelled`. Always through the handler's executor,
    ///                 never inside this call.
    template <asio::completion_token_for<Signature> Token>
    auto async_turn(TurnRequest request, Token&& token) {
        return asio::async_initiate<Token, Signature>(
            [](auto handler, std::shared_ptr<TurnLine> line, TurnRequest asked) {
                auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
                const auto slot = asio::get_associated_cancellation_slot(handler);
                asked.held_bytes += sizeof(Waiter) + sizeof(handler) + sizeof(std::shared_ptr<Waiter>);
                start(std::make_shared<Waiter>(std::move(line), asked, std::move(executor), std::move(handler)), slot);
            },
            token, this->shared_from_this(), request);
    }

    /// Completes everybody with `Errc::cancelled`.
    void close() noexcept {
        Ended ended;
        const std::scoped_lock lock{mutex_};
        while (!line_.empty()) locked_end_first(Error{Errc::cancelled}, ended);
        locked_watch(ended);
    }

    const Time& time() const noexcept { return time_; }

  protected:
    class Waiter;
    using Line = std::list<std::shared_ptr<Waiter>>;

    /// Waiters that were told something under the mutex: they are completed when this ends, after the mutex.
    class Ended;

    /// What a newcomer is told now; nothing if he would have to wait. If he `joins` and is told nothing, he is in the
    /// line before the mutex is released.
    virtual Answer locked_answer(const TurnRequest& request, bool joins, Ended& ended) noexcept = 0;
    /// `waiter` stands in the line from now on.
    virtual void locked_on_joined(Waiter& waiter) noexcept = 0;
    /// It does so no longer.
    virtual void locked_on_left(Waiter& waiter) noexcept = 0;
    /// It was cancelled.
    virtual void locked_on_cancelled() noexcept = 0;
    /// When the alarm is to ring for those in the line, who are some; `TimePoint::max()` if it is not.
    virtual TimePoint locked_next_alarm() noexcept = 0;
    /// It rang, perhaps too early.
    virtual void locked_on_alarm(TimePoint now, Ended& ended) noexcept = 0;
    /// `waiter`, which is a `Deadline`, has expired in a wheel of the owner's.
    virtual void locked_on_due(Waiter&) noexcept {}
    /// Something was asked of the line, or has happened to it: before its alarm is seen to.
    virtual void locked_on_changed(Ended&) noexcept {}
    /// Room for so many bytes, for one who would have to wait. Without the mutex.
    virtual Result<Room> make_room(Bytes bytes) noexcept = 0;
    /// There is none: he is about to be told `error`. Without the mutex.
    virtual void on_no_room(const Error& error) noexcept = 0;
    /// A newcomer, or one who `waited` in the line, is about to be told `error`. Without the mutex.
    virtual void on_failed(const Error&, bool /*waited*/) noexcept {}

    Mutex& mutex() const noexcept { return mutex_; }
    const Line& locked_line() const noexcept { return line_; }
    void locked_end(Waiter& waiter, Result<Granted> told, Ended& ended) noexcept;
    void locked_end_first(Result<Granted> told, Ended& ended) noexcept {
        locked_end(*line_.front(), std::move(told), ended);
    }
    /// Sees to the alarm: whenever the line or its next alarm is another one. An alarm that rings too early stays.
    void locked_watch(Ended& ended) noexcept;

  private:
    static void start(const std::shared_ptr<Waiter>& waiter, asio::cancellation_slot slot);
    void join(const std::shared_ptr<Waiter>& waiter, Line& place) noexcept;
    void cancel(Waiter& waiter) noexcept;
    void leave(Waiter& waiter) noexcept;
    void locked_take_out(Waiter& waiter, Line& to) noexcept;
    void on_alarm(AlarmEnd end, std::uint64_t number) noexcept;
    static Error no_memory() noexcept {
        return boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }

    const Time time_;
    mutable Mutex mutex_; // guards what follows
    Line line_;
    ContextAlarms alarms_;
};

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
class TurnLine<Granted, Time, Room, Mutex>::Waiter final : public detail::PendingReserve<Granted>, public Deadline {
  public:
    template <class Handler>
    Waiter(std::shared_ptr<TurnLine> line, const TurnRequest& asked, asio::any_io_executor executor, Handler&& handler)
        : detail::PendingReserve<Granted>(std::move(executor), std::forward<Handler>(handler)),
          Deadline([](Deadline& deadline) {
              auto& waiter = static_cast<Waiter&>(deadline);
              waiter.line_->locked_on_due(waiter);
          }),
          request(asked),
          line_(std::move(line)) {}

    const TurnRequest request;
    std::uint64_t ticket = 0; ///< the owner's; guarded by the mutex

  private:
    friend TurnLine;

    void give_up(Errc) override { line_->cancel(*this); }
    void leave_queue() noexcept override { line_->leave(*this); }

    const std::shared_ptr<TurnLine> line_;
    Room room_{}; // of who watches it and is not yet ended, then of whoever ends it
    // Guarded by the mutex of the line.
    typename Line::iterator place_;               // valid while it is in the line
    ContextAlarms::Place* where_rings_ = nullptr; // while it is there, or about to be
    bool is_queued_ = false;
    bool has_ended_ = false; // somebody has told it something, or it has left with its context
    Answer told_;            // then of whoever completes it
};

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
class TurnLine<Granted, Time, Room, Mutex>::Ended {
  public:
    Ended() = default;
    Ended(const Ended&) = delete;
    Ended& operator=(const Ended&) = delete;
    ~Ended() {
        for (const auto& waiter : waiters_) tell(*waiter, true);
        if (unqueued_) tell(*unqueued_, false);
    }

  private:
    friend TurnLine;
    static void tell(Waiter& waiter, bool waited) noexcept {
        if (!*waiter.told_) waiter.line_->on_failed(waiter.told_->error(), waited);
        waiter.room_ = Room{};
        waiter.finish(std::move(*waiter.told_));
    }

    Line waiters_;
    Waiter* unqueued_ = nullptr; // one that has not joined yet; whoever tells it something holds it
};

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::start(const std::shared_ptr<Waiter>& waiter, asio::cancellation_slot slot) {
    auto& line = *waiter->line_;
    Answer answer;
    {
        Ended ended;
        const std::scoped_lock lock{line.mutex_};
        answer = line.locked_answer(waiter->request, false, ended);
        line.locked_watch(ended);
    }
    if (answer) {
        if (!*answer) line.on_failed(answer->error(), false);
        return waiter->complete(std::move(*answer));
    }
    auto room = line.make_room(waiter->request.held_bytes);
    if (!room) {
        line.on_no_room(room.error());
        return waiter->complete(room.error());
    }
    waiter->room_ = std::move(*room);
    Line place{waiter}; // before anybody watches, since it may throw
    if (waiter->watch(slot, TimePoint::max(), line.time_)) line.join(waiter, place);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::join(const std::shared_ptr<Waiter>& waiter, Line& place) noexcept {
    Ended ended;
    const std::scoped_lock lock{mutex_};
    if (waiter->has_ended_) return; // while it began to watch
    try {
        waiter->where_rings_ = &alarms_.enter(waiter->executor());
    } catch (const std::bad_alloc&) {
        locked_end(*waiter, no_memory(), ended);
        return locked_watch(ended);
    }
    if (auto answer = locked_answer(waiter->request, true, ended)) {
        locked_end(*waiter, std::move(*answer), ended);
    } else {
        waiter->place_ = place.begin();
        waiter->is_queued_ = true;
        line_.splice(line_.end(), place);
        locked_on_joined(*waiter);
    }
    locked_watch(ended);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::locked_take_out(Waiter& waiter, Line& to) noexcept {
    waiter.has_ended_ = true;
    if (auto* const where = std::exchange(waiter.where_rings_, nullptr)) alarms_.leave(*where);
    if (!std::exchange(waiter.is_queued_, false)) return;
    to.splice(to.end(), line_, waiter.place_);
    locked_on_left(waiter);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::locked_end(Waiter& waiter, Result<Granted> told, Ended& ended) noexcept {
    waiter.told_.emplace(std::move(told));
    if (!waiter.is_queued_) ended.unqueued_ = &waiter;
    locked_take_out(waiter, ended.waiters_);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::cancel(Waiter& waiter) noexcept {
    Ended ended;
    const std::scoped_lock lock{mutex_};
    if (waiter.has_ended_) return; // its turn came first
    locked_end(waiter, Error{Errc::cancelled}, ended);
    locked_on_cancelled();
    locked_watch(ended);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::leave(Waiter& waiter) noexcept {
    Line left; // released after the mutex
    {
        Ended ended;
        const std::scoped_lock lock{mutex_};
        if (waiter.has_ended_) return;
        locked_take_out(waiter, left);
        locked_watch(ended);
    }
    waiter.room_ = Room{};
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::on_alarm(AlarmEnd end, std::uint64_t number) noexcept {
    Ended ended;
    const std::scoped_lock lock{mutex_};
    if (!alarms_.take(number)) return;
    if (end == AlarmEnd::rang) locked_on_alarm(time_.now(), ended);
    locked_watch(ended);
}

template <class Granted, TimeSource Time, std::movable Room, class Mutex>
void TurnLine<Granted, Time, Room, Mutex>::locked_watch(Ended& ended) noexcept {
    locked_on_changed(ended);
    constexpr Duration grace = DeadlineWheel::default_tick;
    const auto ring = [this](std::uint64_t number) -> Alarm::OnEnd {
        return [weak = this->weak_from_this(), number](AlarmEnd end) {
            if (const auto line = weak.lock()) line->on_alarm(end, number);
        };
    };
    while (!line_.empty()) {
        const auto at = locked_next_alarm();
        if (at == TimePoint::max()) break;
        try {
            return alarms_.set(time_, line_.front()->executor(), at, grace, ring);
        } catch (...) {
            locked_end_first(no_memory(), ended);
        }
    }
    alarms_.stop();
}

} // namespace velostream
