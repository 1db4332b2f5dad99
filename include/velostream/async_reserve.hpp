// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <memory>
#include <utility>

#include "velostream/async/pending_reserve.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream {

/// What waits for memory completes with.
using ReserveSignature = void(Result<MemoryReservation>);

namespace detail {

/// One `async_reserve`. Whoever ends it (the tree, a cancellation, its deadline) also posts its handler.
class ReserveOperation final : public MemoryWaiter, public PendingReserve<MemoryReservation> {
  public:
    template <class Handler>
    ReserveOperation(MemoryAccount account, Bytes bytes, asio::any_io_executor executor, Handler&& handler)
        : MemoryWaiter(std::move(account), bytes),
          PendingReserve(std::move(executor), std::forward<Handler>(handler)) {}

    /// Begins the operation, whose handler and its `slot` are in place.
    template <TimeSource Time>
    static void start(const std::shared_ptr<ReserveOperation>& operation, asio::cancellation_slot slot,
                      TimePoint deadline, const Time& time) {
        if (auto now = operation->try_now()) return operation->complete(std::move(*now));
        if (operation->watch(slot, deadline, time)) wait(operation);
    }

  private:
    std::shared_ptr<MemoryWaiter> self();
    void give_up(Errc why) override;
    void leave_queue() noexcept override;
    void on_end(Result<MemoryReservation> result) noexcept override { finish(std::move(result)); }
};

} // namespace detail

/// Reserves `bytes` of `account` and of every account above it, waiting for room until `deadline` at most.
///
/// First come first served, at each account that lacks room: nobody who came later overtakes, neither with a smaller
/// request nor with `try_reserve`. Who waits for a query's limit does not hold up other queries.
///
/// Completes with: the reservation; or
///                 Errc::memory_limit_exceeded at once if `bytes` are above a limit, or when a limit was lowered so
///                 far that waiting cannot help;
///                 Errc::deadline_exceeded, with that error inside, which says who held what then;
///                 Errc::cancelled.
///                 Always through the handler's executor, never inside of this call or of somebody's release.
/// Threads:        safe. No thread waits for another. What one that is stopped in the middle of a call left undone,
///                 whoever comes by next does, with any call that takes, gives back, waits or leaves at that account or
///                 below; only whom it is just telling, at most one for each tree, is told when it goes on. Locks of
///                 Asio's remain, each held for a few instructions: a context's registry, where a wait begins, its
///                 queue, where a completion is posted, and its timers; and one of the alarm's own, which only threads
///                 that run that wait's context take.
/// Errors:         a wait that finds none to begin throws `std::bad_alloc`. On a strand that ends the program, by a
///                 fault of Boost 1.81; so does a grant, anywhere, for which there is no memory to tell.
/// Cancellation:   all kinds, at any moment; leaves nothing behind. Bytes on their way to a handler that is destroyed
///                 uncalled come back.
/// Lifetime:       the account's handles may go; an execution context that ends takes its waiters with it, and waits
///                 for one whose completion is just being posted to it.
template <TimeSource Time, asio::completion_token_for<ReserveSignature> Token>
auto async_reserve(const MemoryAccount& account, Bytes bytes, TimePoint deadline, Time time, Token&& token) {
    return asio::async_initiate<Token, ReserveSignature>(
        [](auto handler, const MemoryAccount& from, Bytes wanted, TimePoint until, const Time& clock) {
            auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
            const auto slot = asio::get_associated_cancellation_slot(handler);
            const auto operation =
                std::make_shared<detail::ReserveOperation>(from, wanted, std::move(executor), std::move(handler));
            detail::ReserveOperation::start(operation, slot, until, clock);
        },
        token, account, bytes, deadline, std::move(time));
}

/// The same without a deadline.
template <asio::completion_token_for<ReserveSignature> Token>
auto async_reserve(const MemoryAccount& account, Bytes bytes, Token&& token) {
    return async_reserve(account, bytes, TimePoint::max(), SteadyTime{}, std::forward<Token>(token));
}

} // namespace velostream
