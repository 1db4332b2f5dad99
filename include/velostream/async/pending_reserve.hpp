// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/result.hpp"

namespace velostream::detail {

namespace asio = boost::asio;

/// What a wait that is given up ends with: a deadline has what was waited for inside, as `why_waiting()` tells (an
/// `optional` where that may not be known), unless there is no memory for that.
template <std::invocable Why>
Error given_up(Errc why, Why why_waiting) noexcept {
    Error error{why};
    if (why != Errc::deadline_exceeded) return error;
    try {
        if (const std::optional<Error> waited_for = why_waiting()) error = error.with_inner(*waited_for);
    } catch (const std::bad_alloc&) { // the wait has left its queue: it must end
    }
    return error;
}

/// A wait for something of the core that ends once: granted, by its deadline, by a cancellation, or with its execution
/// context. What all of these share: the handler, and who may end it.
///
/// Who ends it swaps `phase_` from `waiting`: then the handler is his, to post or to destroy. Nobody waits for him but
/// a context that ends while its handler is just being posted. What else belongs to a wait, its alarm, is stopped by
/// its posted handler, by who drops it, or by who sets it, whoever comes second.
///
/// Threads: safe. No user code runs under a lock.
template <class Granted>
class PendingReserve : public ContextMember {
  public:
    using Signature = void(Result<Granted>);

    template <class Handler>
    PendingReserve(asio::any_io_executor executor, Handler&& handler)
        : executor_(asio::prefer(std::move(executor), asio::execution::outstanding_work.tracked)),
          handler_(std::forward<Handler>(handler)) {}

  protected:
    /// Lets the context, `slot` and `deadline` end the wait. False if the context ends already, and the wait with it.
    /// If it throws, nobody ends the wait, and its handler is gone.
    template <TimeSource Time>
    bool watch(asio::cancellation_slot slot, TimePoint deadline, const Time& time) {
        if (!membership_.join(executor_, shared_from_this())) return false;
        try {
            tell_when_over(slot, deadline, time);
        } catch (...) {
            if (!claim(Phase::dropped)) return true; // it has ended meanwhile
            if (slot.is_connected()) slot.clear();
            drop();
            membership_.leave();
            throw;
        }
        return true;
    }

    /// Ends a wait that is being watched: posts its handler. noexcept: without memory for it the program ends.
    void finish(Result<Granted> result) noexcept {
        complete(std::move(result));
        membership_.leave();
    }
    /// The same for one that nobody watches yet. Throws where there is no memory for it.
    void complete(Result<Granted> result) {
        if (!claim(Phase::posting)) return; // gone with its context
        // Nothing of ours refers to the context any more when it may end: the executor goes with this statement.
        asio::post(std::exchange(executor_, {}),
                   [self = shared_from_this(), handler = std::move(handler_), handed = std::move(result)]() mutable {
                       static_cast<PendingReserve&>(*self).forget_alarm();
                       self.reset();
                       std::move(handler)(std::move(handed));
                   });
        phase_.store(Phase::posted);
        phase_.notify_all();
    }

    /// Only of a wait that has not ended, for who sees to it that it does not end meanwhile.
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    enum class Phase : std::uint8_t { waiting, posting, posted, dropped };
    static constexpr unsigned alarm_is_set = 1, alarm_is_needless = 2;

    bool claim(Phase phase) noexcept {
        auto seen = Phase::waiting;
        return phase_.compare_exchange_strong(seen, phase);
    }

    template <TimeSource Time>
    void tell_when_over(asio::cancellation_slot& slot, TimePoint deadline, const Time& time) {
        const std::weak_ptr<ContextMember> weak = weak_from_this();
        const auto end = [weak](Errc why) {
            if (const auto alive = weak.lock()) static_cast<PendingReserve&>(*alive).give_up(why);
        };
        const auto assign = [&] {
            if (slot.is_connected()) slot.assign([end](asio::cancellation_type) { end(Errc::cancelled); });
        };
        if (deadline == TimePoint::max()) return assign();
        // Before anybody can end the wait; the alarm is work by itself.
        const asio::any_io_executor executor = asio::prefer(executor_, asio::execution::outstanding_work.untracked);
        assign();
        alarm_.set(time, executor, deadline, [end](AlarmEnd how) {
            if (how == AlarmEnd::rang) end(Errc::deadline_exceeded);
        });
        if ((alarm_state_.fetch_or(alarm_is_set) & alarm_is_needless) != 0) alarm_.stop();
    }
    void forget_alarm() noexcept {
        if ((alarm_state_.fetch_or(alarm_is_needless) & alarm_is_set) != 0) alarm_.stop();
    }

    virtual void give_up(Errc why) = 0;
    /// Ends the wait, whose handler goes uncalled.
    virtual void leave_queue() noexcept = 0;

    bool detach() noexcept override {
        if (claim(Phase::dropped)) return leave_queue(), true;
        phase_.wait(Phase::posting); // not beneath him: the context would be gone
        return false;
    }
    void drop() noexcept override {
        forget_alarm();
        asio::any_io_executor executor; // ends last, after a coroutine with the handler
        asio::any_completion_handler<Signature> handler;
        handler.swap(handler_);
        executor.swap(executor_);
    }

    ContextMembership membership_;
    std::atomic<Phase> phase_{Phase::waiting};
    std::atomic<unsigned> alarm_state_{0};
    Alarm alarm_;
    asio::any_io_executor executor_;
    asio::any_completion_handler<Signature> handler_;
};

} // namespace velostream::detail
