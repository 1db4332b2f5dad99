// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/append.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <concepts>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/context_membership.hpp"
#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// Whether somebody who comes to a `WaitQueue` has nothing to wait for.
template <class Ready>
concept QueueReady = std::predicate<Ready&> || std::predicate<Ready&, std::size_t>;

/// Coroutines that wait for their turn, first come first served.
///
/// Whoever has something to give calls `wake_one`; the waiter resumes through its own executor, never inside the call.
///
/// Threads:      safe. No user code runs under the lock.
/// Errors:       a wait that finds no memory to begin throws. A waiter whose turn comes and for whom there is no memory
///               to say so ends the program: it must not be lost.
/// Cancellation: all kinds, O(1); a cancelled waiter is no longer counted and takes no turn.
/// Lifetime:     destruction completes everybody with `operation_aborted`. An execution context that ends takes its
///               waiters with it, as it does with everything that waits inside of it.
class WaitQueue {
  public:
    using Signature = void(boost::system::error_code);

    WaitQueue() : state_(std::make_shared<State>()) {}
    WaitQueue(const WaitQueue&) = delete;
    WaitQueue& operator=(const WaitQueue&) = delete;
    ~WaitQueue() { wake_all(asio::error::operation_aborted); }

    /// Waits for a turn, unless `ready()` says, under the queue's lock, that there is nothing to wait for: then it
    /// completes at once (through the executor). `ready` must be quick, must not throw and must not call this queue. If
    /// it takes a number it is told how many wait already: so that it lets nobody overtake them.
    ///
    /// Completes with: `error_code`: success for a turn, `operation_aborted` for cancellation, or what `wake_all` was
    ///                 given.
    template <QueueReady Ready, asio::completion_token_for<Signature> Token>
    auto async_wait_unless(Ready ready, Token&& token) {
        return async_wait_unless(std::move(ready), []() noexcept {}, std::forward<Token>(token));
    }

    /// The same, and calls `begun()` without the lock once it waits. What that throws ends the wait, as if it had not
    /// begun, and is passed on; unless the turn has come meanwhile.
    template <QueueReady Ready, std::invocable Begun, asio::completion_token_for<Signature> Token>
    auto async_wait_unless(Ready ready, Begun begun, Token&& token) {
        return async_wait_unless(std::move(ready), std::move(begun), nullptr, std::forward<Token>(token));
    }

    /// The same, and keeps `kept` for as long as it waits.
    template <QueueReady Ready, std::invocable Begun, asio::completion_token_for<Signature> Token>
    auto async_wait_unless(Ready ready, Begun begun, std::shared_ptr<void> kept, Token&& token) {
        return asio::async_initiate<Token, Signature>(
            [](auto handler, std::shared_ptr<State> state, Ready is_ready, Begun has_begun,
               std::shared_ptr<void> keeps) {
                auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
                auto slot = asio::get_associated_cancellation_slot(handler);
                // On this stack: the coroutine may be resumed, and gone, before it has run.
                auto call = std::move(has_begun);
                const auto waiter = std::make_shared<Waiter>(std::move(state), std::move(executor), std::move(handler));
                waiter->kept = std::move(keeps);
                enqueue(waiter, slot, is_ready);
                try {
                    call();
                } catch (...) {
                    if (!leave_queue(*waiter)) return;
                    if (slot.is_connected()) slot.clear(); // before the handler goes, and perhaps its signal with it
                    forget(*waiter);
                    throw;
                }
            },
            token, state_, std::move(ready), std::move(begun), std::move(kept));
    }

    template <asio::completion_token_for<Signature> Token>
    auto async_wait(Token&& token) {
        return async_wait_unless([]() noexcept { return false; }, std::forward<Token>(token));
    }

    /// For who has nothing to wait for, whatever the queue: completes at once with `code`, through the executor.
    template <asio::completion_token_for<Signature> Token>
    static auto async_no_wait(Token&& token, boost::system::error_code code = {}) {
        return asio::async_initiate<Token, Signature>(
            [](auto handler, boost::system::error_code with) { asio::post(asio::append(std::move(handler), with)); },
            token, code);
    }

    /// Gives the turn to the one who waits longest. False if nobody waits.
    bool wake_one();

    /// Completes everybody who waits now with `code`. Returns how many.
    std::size_t wake_all(boost::system::error_code code = {});

    /// How many wait now.
    std::size_t size() const;

    /// The executor of the one who waits longest; nothing if nobody waits.
    std::optional<asio::any_io_executor> first_executor() const;

    /// About what one who waits takes, with a handler of so many bytes.
    static constexpr Bytes size_of_waiter(std::size_t handler) noexcept;

  private:
    struct State;

    struct Waiter final : ContextMember {
        template <class Handler>
        Waiter(std::shared_ptr<State> queue, asio::any_io_executor on, Handler&& then)
            : state(std::move(queue)),
              executor(asio::prefer(std::move(on), asio::execution::outstanding_work.tracked)),
              handler(std::forward<Handler>(then)) {}

        bool detach() noexcept override;
        void drop() noexcept override;

        const std::shared_ptr<State> state;
        std::shared_ptr<void> kept; // ends with the wait
        ContextMembership membership;
        // Guarded by State::mutex from here on. Whoever makes `queued` false owns executor and handler.
        asio::any_io_executor executor;
        asio::any_completion_handler<Signature> handler;
        std::list<std::shared_ptr<Waiter>>::iterator place; // valid while queued
        bool queued = false;
    };

    struct State {
        std::mutex mutex;
        std::list<std::shared_ptr<Waiter>> waiters;
    };

    template <class Ready>
    static bool is_ready(Ready& ready, std::size_t waiting) {
        if constexpr (std::predicate<Ready&>)
            return ready();
        else
            return ready(waiting);
    }

    template <class Slot, class Ready>
    static void enqueue(const std::shared_ptr<Waiter>& waiter, Slot slot, Ready& ready) {
        // The handler must be in its slot before another thread can complete the wait.
        if (slot.is_connected()) {
            slot.assign([weak = std::weak_ptr{waiter}](asio::cancellation_type) {
                if (const auto cancelled = weak.lock()) cancel(*cancelled);
            });
        }
        {
            const std::lock_guard lock{waiter->state->mutex};
            if (!is_ready(ready, waiter->state->waiters.size())) return append(waiter);
        }
        // Nobody else knows of it, and there is nothing left to cancel. Not under the lock, and after the slot: posting
        // may throw, and then its handler goes, and perhaps its signal with it.
        if (slot.is_connected()) slot.clear();
        post(*waiter, {});
    }

    static void post(Waiter& waiter, boost::system::error_code code);

    // The three of them need the lock.
    static void append(const std::shared_ptr<Waiter>& waiter);
    static std::shared_ptr<Waiter> take(Waiter& waiter);
    static void complete(Waiter& waiter, boost::system::error_code code) noexcept;

    static void cancel(Waiter& waiter);
    // Takes it out of the queue. False if its turn came first.
    static bool leave_queue(Waiter& waiter) noexcept;
    // Lets go of the handler, uncalled, of one that has left.
    static void forget(Waiter& waiter) noexcept;

    std::shared_ptr<State> state_;
};

constexpr Bytes WaitQueue::size_of_waiter(std::size_t handler) noexcept {
    return sizeof(Waiter) + sizeof(std::shared_ptr<Waiter>) + handler;
}

} // namespace velostream
