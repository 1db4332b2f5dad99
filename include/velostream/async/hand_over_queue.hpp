// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/context_membership.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// Coroutines that each wait to be handed a `T`, such as a connection, first come first served.
///
/// What is handed over travels with the completion: a coroutine that is gone when its turn comes destroys it there, and
/// its destructor brings it back. So nothing is lost between a giver and a taker, whoever cancels when.
///
/// The owner keeps what the decision to wait depends on under this queue's mutex: members whose name says `locked` need
/// it.
///
/// Threads:      safe. No user code runs under the mutex.
/// Cancellation: all kinds, O(1): the waiter completes with `Errc::cancelled`, unless something is on its way to it.
/// Lifetime:     waiters keep the queue alive; an execution context that ends takes its waiters with it.
template <class T>
class HandOverQueue : public std::enable_shared_from_this<HandOverQueue<T>> {
  public:
    using Signature = void(Result<T>);

    enum class Place {
        last,  ///< behind all
        first, ///< its turn had come: only those are before it whose deadline is earlier
    };

    std::mutex& mutex() const noexcept { return mutex_; }

    /// Waits to be handed something, until `deadline`. `decide()` runs under the mutex and may return a `Result<T>`:
    /// then it completes with that and does not wait. `then()` runs without the mutex after that, before this call
    /// returns. The owner watches the deadlines (`locked_front_deadline`, `locked_expire`).
    ///
    /// Completes with: what was handed over, or `Errc::cancelled`.
    template <std::invocable Decide, std::invocable Then, asio::completion_token_for<Signature> Token>
    auto async_wait(TimePoint deadline, Place place, Decide decide, Then then, Token&& token) {
        return asio::async_initiate<Token, Signature>(
            [](auto handler, std::shared_ptr<HandOverQueue> queue, TimePoint until, Place at, Decide deciding,
               Then following) {
                auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
                auto slot = asio::get_associated_cancellation_slot(handler);
                // On this stack: the coroutine may be resumed, and gone, before `following` has run.
                auto next = std::move(following);
                const auto waiter =
                    std::make_shared<Waiter>(std::move(queue), std::move(executor), std::move(handler), until);
                enqueue(waiter, slot, at, deciding);
                next();
            },
            token, this->shared_from_this(), deadline, place, std::move(decide), std::move(then));
    }

    /// Waiters that were completed under the mutex. To be destroyed without it.
    class Completed;

    /// Completes the one who waits longest with `result`, through its own executor, never inside this call. If nobody
    /// waits it answers false, and `result` is untouched.
    bool locked_hand_over(Result<T>& result, Completed& completed) noexcept {
        if (waiters_.empty()) return false;
        locked_complete(*waiters_.front(), std::move(result), completed);
        return true;
    }
    std::optional<TimePoint> locked_front_deadline() const {
        return waiters_.empty() ? std::nullopt : std::optional{waiters_.front()->deadline};
    }
    std::size_t locked_size() const noexcept { return waiters_.size(); }

  private:
    struct Waiter;
    using Waiters = std::list<std::shared_ptr<Waiter>>;

    struct Waiter final : ContextMember {
        template <class Handler>
        Waiter(std::shared_ptr<HandOverQueue> in, asio::any_io_executor on, Handler&& then, TimePoint until)
            : queue(std::move(in)),
              deadline(until),
              executor(asio::prefer(std::move(on), asio::execution::outstanding_work.tracked)),
              handler(std::forward<Handler>(then)) {}

        bool detach() noexcept override {
            std::shared_ptr<Waiter> taken; // released after the lock
            const std::scoped_lock lock{queue->mutex_};
            if (queued) taken = queue->locked_take(*this);
            return taken != nullptr;
        }
        void drop() noexcept override {
            handler = nullptr;
            executor = {};
        }

        const std::shared_ptr<HandOverQueue> queue;
        const TimePoint deadline;
        ContextMembership membership;
        // Guarded by the mutex from here on. Whoever makes `queued` false owns executor and handler.
        asio::any_io_executor executor;
        asio::any_completion_handler<Signature> handler;
        typename Waiters::iterator place; // valid while queued
        bool queued = false;
    };

    template <class Slot, class Decide>
    static void enqueue(const std::shared_ptr<Waiter>& waiter, Slot slot, Place at, Decide& decide) {
        // The handler must be in its slot before another thread can complete the wait.
        if (slot.is_connected()) {
            slot.assign([weak = std::weak_ptr{waiter}](asio::cancellation_type) {
                if (const auto cancelled = weak.lock()) cancel(*cancelled);
            });
        }
        auto& queue = *waiter->queue;
        std::optional<Result<T>> decided;
        {
            const std::scoped_lock lock{queue.mutex_};
            decided = decide();
            if (!decided) {
                Waiters place{waiter};                                          // first, since it may throw
                if (!waiter->membership.join(waiter->executor, waiter)) return; // its context is ending: so does it
                waiter->place = place.begin();
                queue.waiters_.splice(queue.locked_place(at, waiter->deadline), place);
                waiter->queued = true;
                return;
            }
        }
        post(*waiter, std::move(*decided));
    }

    typename Waiters::iterator locked_place(Place place, TimePoint deadline) {
        if (place == Place::last) return waiters_.end();
        return std::ranges::find_if(waiters_, [deadline](const auto& other) { return other->deadline >= deadline; });
    }

    std::shared_ptr<Waiter> locked_take(Waiter& waiter) noexcept {
        waiter.queued = false;
        auto taken = std::move(*waiter.place);
        waiters_.erase(waiter.place);
        return taken;
    }

    // Posting runs no user code. It happens under the mutex so that a context which ends finds a waiter either in the
    // queue, or posted and without any other tie to it. noexcept: without memory for it the program ends.
    void locked_complete(Waiter& waiter, Result<T>&& result, Completed& completed) noexcept {
        auto taken = locked_take(waiter);
        post(*taken, std::move(result));
        completed.waiters_.push_back(std::move(taken));
    }

    static void post(Waiter& waiter, Result<T>&& result) noexcept {
        const auto executor = std::exchange(waiter.executor, {});
        asio::post(executor, [handler = std::move(waiter.handler), handed = std::move(result)]() mutable {
            std::move(handler)(std::move(handed));
        });
    }

    static void cancel(Waiter& waiter) {
        Completed completed;
        const std::scoped_lock lock{waiter.queue->mutex_};
        if (waiter.queued) waiter.queue->locked_complete(waiter, Error{Errc::cancelled}, completed);
    }

    mutable std::mutex mutex_;
    Waiters waiters_; // guarded by mutex_
};

template <class T>
class HandOverQueue<T>::Completed {
  public:
    Completed() = default;
    Completed(const Completed&) = delete;
    Completed& operator=(const Completed&) = delete;
    ~Completed() {
        for (const auto& waiter : waiters_) waiter->membership.leave();
    }

  private:
    friend class HandOverQueue;
    Waiters waiters_;
};

} // namespace velostream
