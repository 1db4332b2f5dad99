// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <cstdint>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What a call does where its account has no room.
enum class WhenFull : std::uint8_t {
    refuse, ///< fails at once
    wait,   ///< waits for its turn, until its deadline
};

/// Lets a call run only with the memory that it needs: takes so many bytes of an account before, and gives them back
/// after it. Inside of a retry it holds them for each try, outside for the whole call, backoff included.
///
/// ```cpp
/// MemoryLimit buffer{resources.traffic(), 64_KiB, WhenFull::wait};
/// Pipeline guarded{retry, buffer, breaker};
/// ```
///
/// A call that waits has what it asks for still to come, and so nothing of it is charged: neither these bytes nor its
/// `held_bytes`. Put a `Bulkhead` with an account outside of it where many may wait.
///
/// Refuses with:  the error of `MemoryAccount::try_reserve`, at the deadline of the wait too, so that a breaker further
///                out does not take it for a timeout of the service; or as `async_reserve`. None is retried by default.
/// Cancellation:  all kinds end the wait; leaves nothing behind.
/// Threads:       safe.
/// Lifetime:      must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class MemoryLimit {
  public:
    MemoryLimit(MemoryAccount account, Bytes bytes, WhenFull when_full = WhenFull::refuse, Time time = {})
        : account_(std::move(account)), bytes_(bytes), when_full_(when_full), time_(std::move(time)) {}
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;

    const MemoryAccount& account() const noexcept { return account_; }
    Bytes bytes() const noexcept { return bytes_; }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The part in one call.
    class Guard {
      public:
        explicit Guard(MemoryLimit& limit) noexcept : limit_(limit) {}

        Decision before(CallContext&) {
            auto reserved = limit_.account_.try_reserve(limit_.bytes_);
            if (reserved) [[likely]] {
                held_ = std::move(*reserved);
                return Decision::proceed();
            }
            return limit_.when_full_ == WhenFull::wait ? Decision::wait() : Decision::refuse(reserved.error());
        }
        asio::awaitable<Decision> wait(CallContext& call) {
            auto room = async_reserve(limit_.account_, limit_.bytes_, call.deadline(), limit_.time_, asio::deferred);
            auto reserved = co_await std::move(room);
            if (!reserved) co_return Decision::refuse(why(reserved.error()));
            // Its executor may have been busy: what begins now would be late. The bytes go back at the end of this.
            if (call.has_deadline() && has_come(limit_.time_, call.deadline()))
                co_return Decision::refuse(Errc::memory_limit_exceeded);
            held_ = std::move(*reserved);
            co_return Decision::proceed();
        }
        void after_success(CallContext&) noexcept { held_.release(); }
        Verdict after_failure(CallContext&, const Error&) noexcept {
            held_.release();
            return Verdict::pass_on();
        }

      private:
        // A wait that ended at its deadline says inside what it lacked.
        static Error why(const Error& error) {
            if (error != Errc::deadline_exceeded) return error;
            return error.inner() ? *error.inner() : Error{Errc::memory_limit_exceeded};
        }

        MemoryLimit& limit_;
        MemoryReservation held_;
    };

  private:
    const MemoryAccount account_;
    const Bytes bytes_;
    const WhenFull when_full_;
    const Time time_;
};

} // namespace velostream
