// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>
#include <memory>
#include <mutex>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream {

/// What waits for memory completes with.
using ReserveSignature = void(Result<MemoryReservation>);

namespace detail {

/// One `async_reserve`. Whoever ends it (the tree, a cancellation, its deadline) also posts its handler.
class ReserveOperation final : public MemoryWaiter, public ContextMember {
  public:
    template <class Handler>
    ReserveOperation(MemoryAccount account, Bytes bytes, asio::any_io_executor executor, Handler&& handler)
        : MemoryWaiter(std::move(account), bytes),
          executor_(asio::prefer(std::move(executor), asio::execution::outstanding_work.tracked)),
          handler_(std::forward<Handler>(handler)) {}

    /// Begins the operation, whose handler and its `slot` are in place.
    template <TimeSource Time>
    static void start(const std::shared_ptr<ReserveOperation>& operation, asio::cancellation_slot slot,
                      TimePoint deadline, const Time& time) {
        if (auto now = operation->try_now()) return operation->complete(std::move(*now));
        if (!operation->membership_.join(operation->executor_, operation)) return; // its context ends: so does it
        if (slot.is_connected())
            slot.assign([weak = std::weak_ptr{operation}](asio::cancellation_type) {
                if (const auto cancelled = weak.lock()) give_up(cancelled, Errc::cancelled);
            });
        if (deadline != TimePoint::max()) {
            const std::scoped_lock lock{operation->mutex_}; // it may ring before it is set
            operation->alarm_.set(time, operation->executor_, deadline,
                                  [weak = std::weak_ptr{operation}](AlarmEnd end) {
                                      const auto late = weak.lock();
                                      if (late && end == AlarmEnd::rang) give_up(late, Errc::deadline_exceeded);
                                  });
        }
        wait(operation);
    }

  private:
    static void give_up(const std::shared_ptr<ReserveOperation>& operation, Errc why);
    void on_end(Result<MemoryReservation> result) noexcept override;
    void complete(Result<MemoryReservation> result) noexcept;

    bool detach() noexcept override;
    void drop() noexcept override;

    ContextMembership membership_;
    std::mutex mutex_; // guards what follows; two threads meet at it only when a deadline or a context ends
    Alarm alarm_;
    asio::any_io_executor executor_;
    asio::any_completion_handler<ReserveSignature> handler_;
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
/// Threads:        safe. No thread waits for another.
/// Cancellation:   all kinds, at any moment; leaves nothing behind. Bytes on their way to a handler that is destroyed
///                 uncalled come back.
/// Lifetime:       the account's handles may go; an execution context that ends takes its waiters with it.
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
