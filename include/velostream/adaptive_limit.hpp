// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <memory>
#include <string>
#include <utility>

#include "velostream/adaptive_limit_line.hpp"
#include "velostream/async/guarded_call.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/accounted_memory.hpp"

namespace velostream {

/// A bulkhead that finds its size: lets as many calls run at once as the service serves without making them wait.
///
/// ```cpp
/// AdaptiveLimit limit{AdaptiveLimitConfig{.initial_limit = 20, .max_limit = 500, .max_waiting = 100, .max_wait = 1s}};
/// auto query = [&] { return database_query(); };
/// auto rows = co_await limit.execute(query);
/// if (!rows && rows.error() == Errc::bulkhead_full) …
/// ```
///
/// The latencies of calls that succeed are judged in windows: while they are good and the limit is reached it grows,
/// when they rise it falls; dropped calls (timeouts, broken connections, `service_unavailable`, a 429: see
/// `is_overload`) lower it too. Other failures say nothing, nor do calls that are cancelled or that began under an
/// earlier limit. `ConcurrencyGradient` says how. Permits and the line are those of a `Bulkhead`.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe. While nobody waits a call costs two looks at the clock, three atomics and no lock; refusals, waits,
///           dropped calls and the end of a window take a mutex for a moment, under which no code of yours runs. The
///           alarm of those who wait rings as a bulkhead's, up to four milliseconds late, or eight.
/// Lifetime: must outlive its permits and the calls that it guards. Its end completes those who wait with
///           `Errc::cancelled`.
template <TimeSource Time = SteadyTime>
class AdaptiveLimit {
    using Line = detail::AdaptiveLimitLine<Time>;
    using Epoch = typename Line::Epoch;

  public:
    class Permit;
    using Signature = void(Result<Permit>);

    /// `account` is charged with the limit itself, about 1 KiB and 8 more where `max_waiting` is above 0, and with what
    /// stands in the line, as by a `Bulkhead`.
    ///
    /// Throws `MemoryRefusedException` if `account` has no room for the limit itself.
    explicit AdaptiveLimit(const AdaptiveLimitConfig& config, Time time = {}, MemoryAccount account = {})
        : AdaptiveLimit("adaptive-limit", config, nullptr, std::move(time), is_overload, std::move(account)) {}
    /// Tells `observer`, under this name, about every call that it refuses and every move of the limit, also down to
    /// measure and back. `is_dropped` decides which failures mean
    /// that the service has too much to do; one that throws says yes.
    AdaptiveLimit(std::string name, const AdaptiveLimitConfig& config, std::shared_ptr<Observer> observer = nullptr,
                  Time time = {}, OverloadPredicate is_dropped = is_overload, MemoryAccount account = {})
        : line_(std::allocate_shared<Line>(AccountedAllocator<Line>{account}, validated(config),
                                           detail::LimiterEvents{std::move(name), std::move(observer)}, std::move(time),
                                           std::move(is_dropped), std::move(account))) {}
    AdaptiveLimit(const AdaptiveLimit&) = delete;
    AdaptiveLimit& operator=(const AdaptiveLimit&) = delete;
    ~AdaptiveLimit() { line_->close(); }

    /// Runs `operation` when there is room for it, learns from how it ends, and gives the room to the next.
    ///
    /// Completes with: its result; or `Errc::bulkhead_full`, of the type `resource_exhausted`, if there was no room in
    ///                 the line either, or none came free before `max_wait` or the deadline; or the error of the
    ///                 account where that has no room for who has to wait. The operation was not called then.
    /// Cancellation:   all kinds, in the line and in the operation; leaves nothing behind, and nothing is learned.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    /// Room for one call, now or not at all.
    ///
    /// Errors: `Errc::bulkhead_full`, also if others wait. Allocates nothing.
    Result<Permit> try_acquire() noexcept {
        const auto epoch = line_->epoch();
        if (line_->try_take()) [[likely]]
            return Permit{*line_, line_->permit(), epoch};
        return permit_of(*line_, line_->ask_without_waiting(), epoch);
    }

    /// Room for one call, waiting for it in the line until `max_wait` or `deadline` at most. The call begins when this
    /// completes.
    ///
    /// Completes with: a permit; or as `execute`; `Errc::cancelled`; `std::errc::not_enough_memory` where there is none
    ///                 for the alarm. Always through the handler's executor.
    /// Cancellation:   all kinds; leaves nothing behind: a permit on its way goes to whoever is next.
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(TimePoint deadline, Token&& token) {
        auto begin = [&line = *line_](Result<BulkheadPermit> turn) {
            const auto epoch = turn ? turn->limit_epoch_ : Epoch{};
            return asio::deferred.values(permit_of(line, std::move(turn), epoch));
        };
        auto turn = line_->async_turn(line_->request(deadline), asio::deferred(std::move(begin)));
        return std::move(turn)(std::forward<Token>(token));
    }
    template <asio::completion_token_for<Signature> Token>
    auto async_acquire(Token&& token) {
        return async_acquire(TimePoint::max(), std::forward<Token>(token));
    }

    AdaptiveLimitStats get_stats() const noexcept { return line_->get_adaptive_stats(); }

    /// For pipelines.
    const Time& time() const noexcept { return line_->time(); }

    /// The limit's part in one call.
    class Guard {
      public:
        explicit Guard(AdaptiveLimit& limit) noexcept : line_(*limit.line_) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() { leave(); }

        Decision before(CallContext& call) {
            const auto epoch = line_.epoch();
            if (line_.try_take()) [[likely]] {
                begin(epoch);
                return Decision::proceed();
            }
            return decide(line_.ask(line_.request(call.deadline())));
        }
        asio::awaitable<Decision> wait(CallContext& call) {
            const auto request = line_.request(call.deadline(), call.held_bytes());
            auto turn = line_.async_turn(request, asio::deferred);
            auto answer = co_await std::move(turn);
            // Its executor may have been busy: what begins now would be late. The permit goes back at the end of this.
            if (answer && call.has_deadline() && has_come(line_.time(), call.deadline()))
                co_return Decision::refuse(line_.refuse_late(request));
            co_return decide(std::move(answer));
        }
        void after_success(CallContext&) noexcept {
            if (holds_) line_.on_served(epoch_, line_.time().now() - begun_);
            leave();
        }
        Verdict after_failure(CallContext&, const Error& error) noexcept {
            if (holds_) line_.on_failure(epoch_, error);
            leave();
            return Verdict::pass_on();
        }

      private:
        void begin(Epoch epoch) noexcept {
            holds_ = true;
            epoch_ = epoch;
            begun_ = line_.time().now();
        }
        // The guard lives in the call, which the limit outlives: no owner is needed.
        [[gnu::noinline]] Decision decide(typename Line::Answer answer) {
            if (!answer) return Decision::wait();
            if (!*answer) return Decision::refuse(answer->error());
            begin((**answer).limit_epoch_);
            (**answer).forget();
            return Decision::proceed();
        }
        void leave() noexcept {
            if (std::exchange(holds_, false)) line_.give_back();
        }

        Line& line_;
        TimePoint begun_;
        Epoch epoch_ = 0;
        bool holds_ = false;
    };

  private:
    static Result<Permit> permit_of(Line& line, Result<BulkheadPermit> turn, Epoch epoch) noexcept {
        if (!turn) return turn.error();
        return Permit{line, std::move(*turn), epoch};
    }

    const std::shared_ptr<Line> line_;
};

/// Room for one call under an adaptive limit, and what is learned from it. Move-only. Say how the call ended; one that
/// says nothing until its end gives the room back, and nothing is learned.
///
/// Threads:  belongs to one call at a time.
/// Lifetime: one that was taken without waiting must not outlive its limit.
template <TimeSource Time>
class AdaptiveLimit<Time>::Permit {
  public:
    /// No room: only to be assigned to.
    Permit() noexcept = default;

    /// False when it was moved from or has ended.
    explicit operator bool() const noexcept { return static_cast<bool>(permit_); }

    /// The call has succeeded: its latency counts.
    void success() noexcept {
        if (permit_) line_->on_served(epoch_, line_->time().now() - begun_);
        permit_.give_back();
    }
    /// It has failed: counts as dropped if the error says that the service has too much to do.
    void failure(const Error& error) noexcept {
        if (permit_) line_->on_failure(epoch_, error);
        permit_.give_back();
    }
    /// It says nothing about the service.
    void ignore() noexcept { permit_.give_back(); }

  private:
    friend class AdaptiveLimit;
    Permit(Line& line, BulkheadPermit permit, Epoch epoch) noexcept
        : line_(&line), permit_(std::move(permit)), epoch_(epoch), begun_(line.time().now()) {}

    Line* line_ = nullptr;
    BulkheadPermit permit_;
    Epoch epoch_ = 0;
    TimePoint begun_;
};

} // namespace velostream
