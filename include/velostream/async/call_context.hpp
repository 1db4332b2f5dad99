// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>

#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// What a caller may say about one call.
struct CallOptions {
    /// When the answer is no longer wanted, over all tries. An operation is cancelled then; one that takes the
    /// `CallContext` through its `cancellation_slot()`. By the machine's clock that comes up to 8 ms late, never early,
    /// while the executor and a thread of the context are free.
    TimePoint deadline = TimePoint::max();

    /// What the caller holds for this call, such as the record that it is about: policies charge it to their accounts
    /// while they let the call wait.
    Bytes held_bytes = 0;
};

/// What a guarded operation may know about the call that it is part of. An operation that takes a `CallContext&` costs
/// no coroutine frame of ours. It ends by `deadline()`: by itself, or because it awaits things bound to
/// `cancellation_slot()`.
///
/// Threads:  belongs to the coroutine of the operation. Who asks for the slot where several threads run the context
///           needs a strand, as Asio does for everything that is cancelled.
/// Lifetime: valid while the operation runs. A copy knows all but the deadline's cancellation.
class CallContext {
  public:
    /// The deadline of a call that has none.
    static constexpr TimePoint no_deadline = TimePoint::max();

    CallContext() = default;
    explicit CallContext(TimePoint deadline) noexcept : deadline_(deadline) {}
    CallContext(const CallOptions& options) noexcept : deadline_(options.deadline), held_bytes_(options.held_bytes) {}

    /// Which try this is, from 1.
    std::uint32_t attempt() const noexcept { return attempt_; }
    /// When the answer is no longer wanted: the earlier of the call's deadline and this try's.
    TimePoint deadline() const noexcept { return std::min(deadline_, attempt_deadline_); }
    bool has_deadline() const noexcept { return deadline() != no_deadline; }
    /// The deadline of the call over all its tries.
    TimePoint call_deadline() const noexcept { return deadline_; }

    /// Emits when the caller cancels, with his kind, and `terminal` when the deadline passes, or soon if it has passed.
    /// Ask for it again for each thing that is awaited:
    /// `co_await timer.async_wait(asio::bind_cancellation_slot(call.cancellation_slot(), …))`.
    /// `is_connected()` is false where neither can happen.
    ///
    /// For the coroutine of the operation, which awaits one such thing at a time. What has ended is not cancelled any
    /// more: the slot forgets it when the coroutine goes on. It cannot tell where another coroutine, one that was
    /// spawned, awaits: before what was bound is destroyed there, and the deadline may still come, `clear()` the slot.
    /// An operation that resets its cancellation state with filters that hold something, which may move what this is
    /// connected to, does so in a coroutine that it spawns.
    asio::cancellation_slot cancellation_slot() {
        return cancellation_ && has_deadline() ? cancellation_->slot(deadline()) : slot_;
    }
    /// Connected to the caller only, for who sees to the deadline himself. What is awaited without a slot of its own
    /// is cancelled by the caller anyhow.
    asio::cancellation_slot caller_slot() const noexcept { return slot_; }

    /// Set by `idempotent(operation)`: the operation may safely happen more than once.
    bool is_idempotent() const noexcept { return idempotent_; }
    /// What the caller holds for this call as long as it lasts.
    Bytes held_bytes() const noexcept { return held_bytes_; }

    /// For who runs the call: cancels an operation at its deadline.
    class Cancellation {
      public:
        virtual asio::cancellation_slot slot(TimePoint deadline) = 0;

      protected:
        ~Cancellation() = default;
    };

    // For policies.
    void begin_attempt(std::uint32_t attempt, TimePoint attempt_deadline) noexcept {
        attempt_ = attempt;
        attempt_deadline_ = attempt_deadline;
    }
    void tighten_deadline(TimePoint deadline) noexcept { deadline_ = std::min(deadline_, deadline); }
    /// Back to what it was before `tighten_deadline`.
    void restore_deadline(TimePoint deadline) noexcept { deadline_ = deadline; }
    void set_cancellation_slot(asio::cancellation_slot slot) noexcept { slot_ = slot; }
    void set_cancellation(Cancellation* cancellation) noexcept { cancellation_.of_this_call = cancellation; }
    void set_idempotent(bool idempotent) noexcept { idempotent_ = idempotent; }
    void set_held_bytes(Bytes bytes) noexcept { held_bytes_ = bytes; }

  private:
    // Does not go with copies.
    struct Uncopied {
        Uncopied() = default;
        Uncopied(const Uncopied&) noexcept {}
        Uncopied& operator=(const Uncopied&) noexcept {
            of_this_call = nullptr;
            return *this;
        }
        explicit operator bool() const noexcept { return of_this_call != nullptr; }
        Cancellation* operator->() const noexcept { return of_this_call; }

        Cancellation* of_this_call = nullptr;
    };

    TimePoint deadline_ = no_deadline;
    TimePoint attempt_deadline_ = no_deadline;
    asio::cancellation_slot slot_;
    Bytes held_bytes_ = 0;
    Uncopied cancellation_;
    std::uint32_t attempt_ = 1;
    bool idempotent_ = false;
};

} // namespace velostream
