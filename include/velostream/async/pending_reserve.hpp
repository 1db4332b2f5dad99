// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <concepts>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/result.hpp"

namespace velostream::detail {

namespace asio = boost::asio;

/// What a wait that is given up ends with: a deadline has what was waited for inside, as `why_waiting()` tells, unless
/// there is no memory for that.
template <std::invocable Why>
Error given_up(Errc why, Why why_waiting) noexcept {
    Error error{why};
    if (why != Errc::deadline_exceeded) return error;
    try {
        error = error.with_inner(why_waiting());
    } catch (const std::bad_alloc&) { // the wait has left its queue: it must end
    }
    return error;
}

/// A wait for something of the core that ends once: granted, by its deadline, by a cancellation, or with its execution
/// context. What all of these share: the handler, and who may end it.
///
/// Threads: two meet at its mutex only when a deadline or a context ends. No user code runs under it.
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
            if (slot.is_connected()) slot.clear();
            drop();
            membership_.leave();
            throw;
        }
        return true;
    }

    /// Ends a wait that is being watched: posts its handler. noexcept: without memory for it the program ends.
    void finish(Result<Granted> result) noexcept {
        {
            const std::scoped_lock lock{mutex_};
            alarm_.stop();
        }
        complete(std::move(result));
        membership_.leave();
    }
    /// The same for one that nobody watches yet. Throws where there is no memory for it.
    // Posting runs no user code. It happens under the mutex so that a context which ends finds the wait either with its
    // handler, or posted and without any other tie to it.
    void complete(Result<Granted> result) {
        const std::scoped_lock lock{mutex_};
        if (!handler_) return; // gone with its context
        const auto executor = std::exchange(executor_, {});
        asio::post(executor, [handler = std::move(handler_), handed = std::move(result)]() mutable {
            std::move(handler)(std::move(handed));
        });
    }

  private:
    template <TimeSource Time>
    void tell_when_over(asio::cancellation_slot& slot, TimePoint deadline, const Time& time) {
        const std::weak_ptr<ContextMember> weak = weak_from_this();
        const auto end = [weak](Errc why) {
            if (const auto alive = weak.lock()) static_cast<PendingReserve&>(*alive).give_up(why);
        };
        if (slot.is_connected()) slot.assign([end](asio::cancellation_type) { end(Errc::cancelled); });
        if (deadline == TimePoint::max()) return;
        const std::scoped_lock lock{mutex_}; // it may ring before it is set
        alarm_.set(time, executor_, deadline, [end](AlarmEnd how) {
            if (how == AlarmEnd::rang) end(Errc::deadline_exceeded);
        });
    }

    virtual void give_up(Errc why) = 0;
    /// Ends the wait, whose handler goes uncalled.
    virtual void leave_queue() noexcept = 0;

    bool detach() noexcept override {
        {
            const std::scoped_lock lock{mutex_};
            if (!handler_) return false;
        }
        leave_queue();
        return true;
    }
    void drop() noexcept override {
        asio::any_io_executor executor;
        asio::any_completion_handler<Signature> handler; // ends without the mutex, and with it a coroutine
        const std::scoped_lock lock{mutex_};
        alarm_.stop();
        handler.swap(handler_);
        executor.swap(executor_);
    }

    ContextMembership membership_;
    std::mutex mutex_; // guards what follows
    Alarm alarm_;
    asio::any_io_executor executor_;
    asio::any_completion_handler<Signature> handler_;
};

} // namespace velostream::detail
