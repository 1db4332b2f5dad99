// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// A request for bytes that waits until its account has room: what `async_reserve` is made of, without the part that
/// completes a handler.
///
/// Threads: `leave` from any thread; `on_end` is called by whichever thread makes room, or gives up hope.
class MemoryWaiter : private BudgetWaiter<MachineAtomics> {
  public:
    /// Allocates all that waiting needs.
    MemoryWaiter(MemoryAccount account, Bytes bytes);

    /// The bytes, if there is room for them now; the refusal, if waiting could not help; nothing if it could. Once.
    std::optional<Result<MemoryReservation>> try_now() noexcept;

    /// Waits, after `try_now` has answered nothing: `on_end` is called once, perhaps before this returns, unless
    /// `leave` is faster.
    static void wait(const std::shared_ptr<MemoryWaiter>& waiter) noexcept;

    /// Ends the wait. True if `on_end` was not called and will not be.
    static bool leave(const std::shared_ptr<MemoryWaiter>& waiter) noexcept;

    /// What a call would be told that was refused now as this one was.
    Error why_waiting() const noexcept;

    const MemoryAccount& account() const noexcept { return account_; }
    Bytes bytes() const noexcept { return demand.units; }

  private:
    /// The bytes, or `Errc::memory_limit_exceeded` if a limit was lowered so far that waiting cannot help. Must not
    /// block.
    virtual void on_end(Result<MemoryReservation> result) noexcept = 0;

    void on_granted() noexcept final;
    void on_refused(const Outcome& outcome) noexcept final;

    const MemoryAccount account_;
};

} // namespace velostream
