// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>

#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// What a guarded operation may know about the call that it is part of. An operation that takes a `CallContext&` bounds
/// its own waits by `deadline()`; that costs no coroutine frame and no timer of ours.
///
/// Lifetime: valid while the operation runs.
class CallContext {
  public:
    /// The deadline of a call that has none.
    static constexpr TimePoint no_deadline = TimePoint::max();

    CallContext() = default;
    explicit CallContext(TimePoint deadline) noexcept : deadline_(deadline) {}

    /// Which try this is, from 1.
    std::uint32_t attempt() const noexcept { return attempt_; }
    /// When the answer is no longer wanted: the earlier of the call's deadline and this try's.
    TimePoint deadline() const noexcept { return std::min(deadline_, attempt_deadline_); }
    bool has_deadline() const noexcept { return deadline() != no_deadline; }
    /// The deadline of the call over all its tries.
    TimePoint call_deadline() const noexcept { return deadline_; }
    /// Connected to whoever cancels the call; `is_connected()` is false where nobody can.
    asio::cancellation_slot cancellation_slot() const noexcept { return slot_; }
    /// Set by `idempotent(operation)`: the operation may safely happen more than once.
    bool is_idempotent() const noexcept { return idempotent_; }

    // For policies.
    void begin_attempt(std::uint32_t attempt, TimePoint attempt_deadline) noexcept {
        attempt_ = attempt;
        attempt_deadline_ = attempt_deadline;
    }
    void tighten_deadline(TimePoint deadline) noexcept { deadline_ = std::min(deadline_, deadline); }
    void set_cancellation_slot(asio::cancellation_slot slot) noexcept { slot_ = slot; }
    void set_idempotent(bool idempotent) noexcept { idempotent_ = idempotent; }

  private:
    TimePoint deadline_ = no_deadline;
    TimePoint attempt_deadline_ = no_deadline;
    asio::cancellation_slot slot_;
    std::uint32_t attempt_ = 1;
    bool idempotent_ = false;
};

} // namespace velostream
