// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/bulkhead_line.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/accounted_memory.hpp"

namespace velostream {

/// Lets so many calls run at once and no more; the others wait for their turn, or are refused.
///
/// ```cpp
/// Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 10, .max_waiting = 100, .max_wait = 2s}};
/// auto query = [&] { return database_query(); };
/// auto rows = co_await bulkhead.execute(query);
/// if (!rows && rows.error() == Errc::bulkhead_full) …
/// ```
///
/// First come first served: a permit that comes back goes straight to the one who waits longest, and a newcomer never
/// overtakes him. A refusal is honest: there was no room at some moment during the call.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe. While nobody waits a permit costs two atomics and no lock; refusals and waits take a mutex for a
///           moment, under which no code of yours runs. The alarm of those who wait rings on the executor of the first
///           of them, up to four milliseconds late; where that stands still, up to eight late in the contexts of the
///           others. A permit that was handed to a call whose context nobody runs is in use until that is run.
/// Lifetime: must outlive its permits and the calls that it guards. Its end completes those who wait with
///           `Errc::cancelled`.
template <TimeSource Time = SteadyTime>
class Bulkhead {
    using Line = detail::BulkheadLine<Time>;

  public:
    using Permit = BulkheadPermit;
    using Signature = void(Result<Permit>);

    /// `account` is charged with the bulkhead itself, about 400 bytes and 8 KiB more where `max_waiting` is above 0,
    /// and with what stands in the line: about 400 bytes for each call, and its `held_bytes`. Where it has no room for
    /// them, the call is refused.
    ///
    /// Throws `MemoryRefusedException` if `account` has no room for the bulkhead itself.
    explicit Bulkhead(const BulkheadConfig& config, Time time = {}, MemoryAccount account = {})
        : Bulkhead("bulkhead", config, nullptr, std::move(time), std::move(account)) {}
    /// Tells `observer`, under this name, about every call that it refuses.
    Bulkhead(std::string name, const BulkheadConfig& config, std::shared_ptr<Observer> observer = nullptr,
             Time time = {}, MemoryAccount account = {})
        : line_(std::allocate_shared<Line>(AccountedAllocator<Line>{account}, validated(config),
                                           detail::LimiterEvents{std::move(name), std::move(observer)}, std::move(time),
                                           std::move(account))) {}
    Bulkhead(const Bulkhead&) = delete;
    Bulkhead& operator=(const Bulkhead&) = delete;
    ~Bulkhead() { line_->close(); }

    /// Runs `operation` when there is room for it, and gives the room to the next when it has ended.
    ///
    /// Completes with: its result; or `Errc::bulkhead_full`, of the type `resource_exhausted`, if there was no room in
    ///                 the line either, or none came free before `max_wait` or the deadline. The detail says the
    ///                 figures. Or the error of the account where that has no room for who has to wait. The operation
    ///                 was not called then.
    /// Cancellation:   all kinds, in the line and in the operation; leaves nothing behind.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    /// Room for one call, now or not at all.
    ///
    /// Errors: `Errc::bulkhead_full`, also if others wait. Allocates nothing.
    Result<Permit> try_acquire() noexcept {
        if (line_->try_take()) [[likely]]
            return line_->permit();
        return line_->ask_without_waiting();
    }

    /// Room for one call, waiting for it in the line until `max_wait` or `deadline` at most.
    ///
    /// Completes with: a permit; or as `execute`; `Errc::cancelled`; `std::errc::not_enough_memory` where there is none
    ///                 for the alarm. Always through the handler's executor.
    /// Cancellation:   all kinds; leaves nothing behind: a permit on its way goes to whoever is next.
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(TimePoint deadline, Token&& token) {
        return line_->async_turn(line_->request(deadline), std::forward<Token>(token));
    }
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(Token&& token) {
        return async_acquire(TimePoint::max(), std::forward<Token>(token));
    }

    /// From now on so many calls at once. More: those who wait longest begin. Fewer: calls that run are left alone, and
    /// none begins until there is room again. Blocks nobody.
    ///
    /// Errors: throws `std::invalid_argument` if it is not legal.
    void set_max_concurrent(std::size_t permits) { line_->set_max_concurrent(permits); }

    BulkheadStats get_stats() const noexcept { return line_->get_stats(); }

    /// For pipelines.
    const Time& time() const noexcept { return line_->time(); }

    /// The bulkhead's part in one call.
    class Guard {
      public:
        explicit Guard(Bulkhead& bulkhead) noexcept : bulkhead_(bulkhead) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() { leave(); }

        Decision before(CallContext& call) {
            if (bulkhead_.line_->try_take()) [[likely]] {
                holds_ = true;
                return Decision::proceed();
            }
            return decide(bulkhead_.line_->ask(bulkhead_.line_->request(call.deadline())));
        }
        asio::awaitable<Decision> wait(CallContext& call) {
            auto& line = *bulkhead_.line_;
            const auto request = line.request(call.deadline(), call.held_bytes());
            auto turn = line.async_turn(request, asio::deferred);
            auto answer = co_await std::move(turn);
            // Its executor may have been busy: what begins now would be late. The permit goes back at the end of this.
            if (answer && call.has_deadline() && has_come(line.time(), call.deadline()))
                co_return Decision::refuse(line.refuse_late(request));
            co_return decide(std::move(answer));
        }
        void after_success(CallContext&) noexcept { leave(); }
        Verdict after_failure(CallContext&, const Error&) noexcept {
            leave();
            return Verdict::pass_on();
        }

      private:
        // The guard lives in the call, which the bulkhead outlives: no owner is needed.
        [[gnu::noinline]] Decision decide(typename Line::Answer answer) {
            if (!answer) return Decision::wait();
            if (!*answer) return Decision::refuse(answer->error());
            (**answer).forget();
            holds_ = true;
            return Decision::proceed();
        }
        void leave() noexcept {
            if (std::exchange(holds_, false)) bulkhead_.line_->give_back();
        }

        Bulkhead& bulkhead_;
        bool holds_ = false;
    };

  private:
    const std::shared_ptr<Line> line_;
};

} // namespace velostream
