// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/async/turn_line.hpp"
#include "velostream/config/rate_limiter_config.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/token_bucket.hpp"
#include "velostream/limiter_events.hpp"

namespace velostream {

/// A rate limiter at one moment, and what it did so far.
struct RateLimiterStats {
    std::uint64_t available = 0; ///< calls that could begin now
    std::size_t waiting = 0;     ///< calls in the line
    std::uint64_t granted = 0;   ///< calls that were let begin
    std::uint64_t refused = 0; ///< calls that came too early and could not wait, or no longer, or had no memory for it
    std::uint64_t cancelled = 0; ///< calls that were cancelled in the line
};

namespace detail {

Error::SharedText why_rate_limited(const Rate& rate, std::size_t max_waiting);

/// The bucket of a rate limiter and the line for its permits; what waiters may still need when the limiter has gone.
///
/// Nobody's turn is written down: it follows from his place in the line. So a waiter that leaves moves all behind him
/// forward, at no cost; and one alarm is enough, that of the first.
template <TimeSource Time>
class RateLimiterLine final : public TurnLine<void, Time, MemoryReservation> {
    using Base = TurnLine<void, Time, MemoryReservation>;
    using Base::mutex, Base::locked_line, Base::locked_end_first, Base::locked_watch;
    using typename Base::Ended, typename Base::Waiter;

  public:
    using typename Base::Answer;

    RateLimiterLine(const RateLimiterConfig& config, LimiterEvents events, Time time, MemoryAccount account)
        : Base(std::move(time)),
          events_(std::move(events)),
          account_(std::move(account)),
          max_waiting_(config.max_waiting),
          max_wait_(config.max_wait),
          bucket_(config.rate(), this->time().now()),
          why_limited_(why_rate_limited(config.rate(), config.max_waiting)) {}

    /// A permit, a refusal, or nothing if the caller would have to wait.
    Answer ask(const TurnRequest& request) noexcept {
        Answer answer;
        {
            Ended ended;
            const std::scoped_lock lock{mutex()};
            answer = locked_answer(request, false, ended);
            locked_watch(ended);
        }
        if (answer && !*answer) on_failed(answer->error(), false);
        return answer;
    }
    /// The same for a caller who does not wait.
    Result<void> ask_without_waiting() noexcept {
        const auto now = this->time().now();
        Error refusal;
        {
            Ended ended;
            const std::scoped_lock lock{mutex()};
            const bool takes = locked_take(now, ended);
            locked_watch(ended);
            if (takes) return {};
            refusal = locked_refuse(bucket_.turn(locked_line().size(), now), now);
        }
        on_failed(refusal, false);
        return refusal;
    }

    /// For one whose turn came, but not in time to be of use.
    Error refuse_late() noexcept {
        Error refusal;
        {
            const std::scoped_lock lock{mutex()};
            const auto now = this->time().now();
            --granted_;
            refusal = locked_refuse(bucket_.turn(locked_line().size(), now), now);
        }
        on_failed(refusal, true);
        return refusal;
    }

    void set_rate(const Rate& rate) {
        auto why_limited = why_rate_limited(rate, max_waiting_); // and the old one, later: ends without the mutex
        Ended ended;
        const std::scoped_lock lock{mutex()};
        const auto now = this->time().now();
        std::swap(why_limited_, why_limited);
        bucket_.set_rate(rate, now);
        locked_refuse_too_late(now, ended);
        locked_watch(ended);
    }

    RateLimiterStats get_stats() const noexcept {
        const std::scoped_lock lock{mutex()};
        return {.available = locked_line().empty() ? bucket_.available(this->time().now()) : 0,
                .waiting = locked_line().size(),
                .granted = granted_,
                .refused = refused_,
                .cancelled = cancelled_};
    }

    /// How long the turn of a call may be away that begins now, and what it holds until then.
    TurnRequest request(TimePoint deadline, Bytes held_bytes = 0) const noexcept {
        const auto now = this->time().now();
        // No time is left for a call that begins at its deadline.
        const auto latest = std::max(deadline, TimePoint::min() + Duration{1}) - Duration{1};
        return {.since = now,
                .latest = max_wait_ ? std::min(latest, saturating_add(now, *max_wait_)) : latest,
                .held_bytes = held_bytes};
    }

  private:
    Answer locked_answer(const TurnRequest& request, bool, Ended& ended) noexcept override {
        if (locked_take(request.since, ended)) return Result<void>{};
        const auto turn = bucket_.turn(locked_line().size(), request.since);
        if (locked_line().size() < max_waiting_ && turn <= request.latest) return std::nullopt;
        return locked_refuse(turn, request.since);
    }
    void locked_on_joined(Waiter&) noexcept override {}
    void locked_on_left(Waiter&) noexcept override {}
    void locked_on_cancelled() noexcept override { ++cancelled_; }
    Result<MemoryReservation> make_room(Bytes bytes) noexcept override { return account_.try_reserve(bytes); }
    void on_no_room(const Error& error) noexcept override {
        {
            const std::scoped_lock lock{mutex()};
            ++refused_;
        }
        events_.refused("no memory", error);
    }
    void on_failed(const Error& error, bool waited) noexcept override {
        if (error == Errc::rate_limited) events_.refused(waited ? "no longer in time" : "no turn in time", error);
    }

    TimePoint locked_next_alarm() noexcept override { return bucket_.turn(0, TimePoint::min()); }
    void locked_on_alarm(TimePoint now, Ended& ended) noexcept override { locked_serve(now, ended); }

    // For a newcomer. Those who came before him are not overtaken, even if their alarm is late: while one of them
    // remains there is no permit.
    bool locked_take(TimePoint now, Ended& ended) noexcept {
        locked_serve(now, ended);
        if (!bucket_.try_take(now)) return false;
        ++granted_;
        return true;
    }

    void locked_serve(TimePoint now, Ended& ended) noexcept {
        while (!locked_line().empty()) {
            // The alarm may be late where much is going on; a turn would be of no use to him.
            if (locked_line().front()->request.latest < now) {
                locked_end_first(locked_refuse(bucket_.turn(0, now), now), ended);
                continue;
            }
            if (!bucket_.try_take(now)) return;
            ++granted_;
            locked_end_first(Result<void>{}, ended);
        }
    }

    void locked_refuse_too_late(TimePoint now, Ended& ended) noexcept {
        std::uint64_t ahead = 0;
        for (auto next = locked_line().begin(); next != locked_line().end();) {
            auto& waiter = **next++;
            const auto turn = bucket_.turn(ahead, now);
            if (turn <= waiter.request.latest)
                ++ahead;
            else
                this->locked_end(waiter, locked_refuse(turn, now), ended);
        }
    }

    Error locked_refuse(TimePoint turn, TimePoint now) noexcept {
        ++refused_;
        return Error{Errc::rate_limited, why_limited_}.with_retry_after(turn - now);
    }

    const LimiterEvents events_;
    const MemoryAccount account_; // of this, and of what those hold who wait
    const std::size_t max_waiting_;
    const std::optional<Duration> max_wait_;
    // Guarded by the mutex.
    TokenBucket bucket_;
    Error::SharedText why_limited_;
    std::uint64_t granted_ = 0, refused_ = 0, cancelled_ = 0;
};

} // namespace detail

} // namespace velostream
