// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <memory>
#include <string>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/rate_limiter_line.hpp"

namespace velostream {

/// Lets so many calls begin per unit of time and no more; the others wait for their turn, or are refused.
///
/// ```cpp
/// RateLimiter limiter{RateLimiterConfig{.permits = 100, .period = 1s, .burst = 10, .max_waiting = 1000}};
/// auto query = [&] { return http_query(); };
/// auto answer = co_await limiter.execute(query);
/// if (!answer && answer.error() == Errc::rate_limited) …
/// ```
///
/// A token bucket: over any interval of length t at most `burst` + t × `permits` / `period` calls begin, exactly; by
/// the times at which they asked, or were woken. First come first served: a newcomer never overtakes a waiter. Since
/// the place in the line says when a turn comes, nobody waits in vain: a call whose turn would come too late for its
/// deadline or for `max_wait` is refused at once. One that leaves the line gives its turn to the one behind it, and so
/// on: all behind it move forward. A call that has had its permit has used it, whatever becomes of it then.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe. Everything takes a mutex for a moment, under which no code of yours runs. The alarm of those who
///           wait rings on the executor of the first of them, and four milliseconds later in the contexts of the
///           others: a context that has calls in the line and is not run wastes their turns, and makes the others'
///           late by so much.
/// Lifetime: must outlive the calls that it guards. Its end completes those who wait with `Errc::cancelled`.
template <TimeSource Time = SteadyTime>
class RateLimiter {
    using Line = detail::RateLimiterLine<Time>;

  public:
    using Signature = void(Result<void>);

    /// `account` is charged with the limiter itself, about 400 bytes, and with what stands in the line: about 400 bytes
    /// for each call, and its `held_bytes`. Where it has no room for them, the call is refused.
    ///
    /// Throws `MemoryRefusedException` if `account` has no room for the limiter itself.
    explicit RateLimiter(const RateLimiterConfig& config, Time time = {}, MemoryAccount account = {})
        : RateLimiter("rate-limiter", config, nullptr, std::move(time), std::move(account)) {}
    /// Tells `observer`, under this name, about every call that it refuses.
    RateLimiter(std::string name, const RateLimiterConfig& config, std::shared_ptr<Observer> observer = nullptr,
                Time time = {}, MemoryAccount account = {})
        : line_(std::allocate_shared<Line>(AccountedAllocator<Line>{account}, validated(config),
                                           detail::LimiterEvents{std::move(name), std::move(observer)}, std::move(time),
                                           std::move(account))) {}
    RateLimiter(const RateLimiter&) = delete;
    RateLimiter& operator=(const RateLimiter&) = delete;
    ~RateLimiter() { line_->close(); }

    /// Runs `operation` when its turn has come.
    ///
    /// Completes with: its result; or `Errc::rate_limited`, of the type `resource_exhausted`, at once if there was no
    ///                 room in the line or the turn would have come too late; `retry_after` says how long it would have
    ///                 been; or the error of the account where that has no room for who has to wait; also where a busy
    ///                 executor lets its turn pass until the deadline, and the permit is lost then. The operation was
    ///                 not called in any of these cases.
    /// Cancellation:   all kinds, in the line and in the operation; leaves nothing behind.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    /// Leave to begin one call, now or not at all.
    ///
    /// Errors: `Errc::rate_limited` with `retry_after`, also if others wait. Allocates nothing.
    Result<void> try_acquire() noexcept { return line_->ask_without_waiting(); }

    /// Leave to begin one call, waiting for its turn if that comes before `max_wait` is over and before `deadline`.
    ///
    /// Completes with: success; or as `execute`; `Errc::rate_limited` also later, if the turn comes too late by then:
    ///                 the rate was lowered, or nobody ran the context of who waits; `Errc::cancelled`;
    ///                 `std::errc::not_enough_memory` where there is none for the alarm. Always through the handler's
    ///                 executor.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(TimePoint deadline, Token&& token) {
        return line_->async_turn(line_->request(deadline), std::forward<Token>(token));
    }
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(Token&& token) {
        return async_acquire(TimePoint::max(), std::forward<Token>(token));
    }

    /// From now on another rate. Permits that were taken stay taken; turns of those who wait are earlier or later, and
    /// whose turn is too late then is refused.
    ///
    /// Errors: throws `std::invalid_argument` that lists what is not legal.
    void set_rate(const Rate& rate) { line_->set_rate(validated(rate)); }

    RateLimiterStats get_stats() const noexcept { return line_->get_stats(); }

    /// For pipelines.
    const Time& time() const noexcept { return line_->time(); }

    /// The limiter's part in one call. It holds nothing: a permit is used when it is taken.
    class Guard {
      public:
        explicit Guard(RateLimiter& limiter) noexcept : limiter_(limiter) {}

        Decision before(CallContext& call) {
            return decide(limiter_.line_->ask(limiter_.line_->request(call.deadline())));
        }
        asio::awaitable<Decision> wait(CallContext& call) {
            auto& line = *limiter_.line_;
            auto turn = line.async_turn(line.request(call.deadline(), call.held_bytes()), asio::deferred);
            auto answer = co_await std::move(turn);
            // Its executor may have been busy: what begins now would be late.
            if (answer && call.has_deadline() && has_come(line.time(), call.deadline()))
                co_return Decision::refuse(line.refuse_late());
            co_return decide(std::move(answer));
        }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, const Error&) noexcept { return Verdict::pass_on(); }

      private:
        static Decision decide(const typename Line::Answer& answer) {
            if (!answer) [[unlikely]]
                return Decision::wait();
            return *answer ? Decision::proceed() : Decision::refuse(answer->error());
        }

        RateLimiter& limiter_;
    };

  private:
    const std::shared_ptr<Line> line_;
};

} // namespace velostream
