// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/deadline_wheel.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/turn_line.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/bulkhead_config.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/bulkhead_control.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/limiter_events.hpp"

namespace velostream {

namespace detail {

/// The permits of a bulkhead, as those see them who give them back.
class BulkheadPermits {
  public:
    explicit BulkheadPermits(const BulkheadConfig& config) noexcept
        : control_(static_cast<std::uint32_t>(config.max_concurrent)) {}
    BulkheadPermits(const BulkheadPermits&) = delete;
    BulkheadPermits& operator=(const BulkheadPermits&) = delete;

    /// Takes a permit without a lock. False if all are out or somebody waits.
    bool try_take() noexcept { return control_.try_take(); }
    void give_back() noexcept {
        if (control_.give_back()) [[unlikely]]
            serve();
    }

  protected:
    ~BulkheadPermits() = default;
    BulkheadControl<> control_;

  private:
    virtual void serve() noexcept = 0;
};

} // namespace detail

/// Room for one call in a bulkhead, until this object ends. Move-only.
///
/// Threads:  belongs to one call at a time.
/// Lifetime: one that was taken without waiting must not outlive its bulkhead.
class BulkheadPermit {
  public:
    /// No room: only to be assigned to.
    BulkheadPermit() noexcept = default;
    BulkheadPermit(BulkheadPermit&&) noexcept = default;
    BulkheadPermit& operator=(BulkheadPermit&& other) noexcept {
        limit_epoch_ = other.limit_epoch_;
        BulkheadPermit{std::move(other)}.permits_.swap(permits_);
        return *this;
    }
    ~BulkheadPermit() { give_back(); }

    /// False when it was moved from or given back.
    explicit operator bool() const noexcept { return permits_ != nullptr; }

    /// Ends it now. Whoever waits longest gets it at once.
    void give_back() noexcept {
        if (const auto permits = std::exchange(permits_, nullptr)) permits->give_back();
    }

    /// For the bulkhead: one of `permits` that was just taken, under a limit of this epoch.
    explicit BulkheadPermit(std::shared_ptr<detail::BulkheadPermits> permits, std::uint32_t limit_epoch = 0) noexcept
        : permits_(std::move(permits)), limit_epoch_(limit_epoch) {}

  private:
    template <TimeSource Time>
    friend class Bulkhead;
    template <TimeSource Time>
    friend class AdaptiveLimit;

    // Ends without giving it back: a guard remembers it in another way.
    void forget() noexcept { permits_.reset(); }

    std::shared_ptr<detail::BulkheadPermits> permits_; // empty once given back; owns them only where it was waited for
    std::uint32_t limit_epoch_ = 0;                    // only of one that came through the line of an `AdaptiveLimit`
};

/// A bulkhead at one moment, and what it did so far.
struct BulkheadStats {
    std::size_t in_use = 0;         ///< calls that run; more than `max_concurrent` only after that was lowered
    std::size_t max_concurrent = 0; ///< as it is now
    std::size_t waiting = 0;        ///< calls in the line
    std::uint64_t refused = 0;      ///< calls that found no room in the line, or no memory to wait there
    std::uint64_t timed_out = 0;    ///< calls whose time in the line was over
    std::uint64_t cancelled = 0;    ///< calls that were cancelled in the line
};

namespace detail {

Error::SharedText why_bulkhead_full(std::size_t max_concurrent, std::size_t max_waiting);
Error bulkhead_timed_out(Duration waited, const BulkheadStats& stats) noexcept;
void check_max_concurrent(std::size_t permits);

/// The permits of a bulkhead and the line for them; what waiters may still need when the bulkhead has gone.
template <TimeSource Time>
class BulkheadLine : public TurnLine<BulkheadPermit, Time, MemoryReservation>, public BulkheadPermits {
    using Base = TurnLine<BulkheadPermit, Time, MemoryReservation>;
    using Base::mutex, Base::locked_line, Base::locked_end_first, Base::locked_watch;
    using typename Base::Ended, typename Base::Waiter;

  public:
    using typename Base::Answer;

    BulkheadLine(const BulkheadConfig& config, LimiterEvents events, Time time, MemoryAccount account)
        : BulkheadLine(config, std::move(events), std::move(time), std::move(account),
                       why_bulkhead_full(config.max_concurrent, config.max_waiting)) {}
    BulkheadLine(const BulkheadConfig& config, LimiterEvents events, Time time, MemoryAccount account,
                 Error::SharedText why_full)
        : Base(std::move(time)),
          BulkheadPermits(config),
          events_(std::move(events)),
          account_(std::move(account)),
          max_waiting_(config.max_waiting),
          max_wait_(config.max_wait),
          why_full_(std::move(why_full)) {
        if (max_waiting_ > 0)
            deadlines_ =
                std::allocate_shared<DeadlineWheel>(AccountedAllocator<DeadlineWheel>{account_}, this->time().now());
    }

    /// A permit that was just taken.
    BulkheadPermit permit() noexcept {
        return BulkheadPermit{{std::shared_ptr<void>{}, this}}; // no count of owners is touched
    }
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
    Result<BulkheadPermit> ask_without_waiting() noexcept {
        Error refusal;
        {
            Ended ended;
            const std::scoped_lock lock{mutex()};
            locked_serve(ended);
            locked_watch(ended);
            if (control_.try_take()) return permit();
            refusal = locked_refuse();
        }
        on_failed(refusal, false);
        return refusal;
    }

    /// For one whose permit came, but not in time to be of use.
    Error refuse_late(const TurnRequest& request) noexcept {
        Error refusal;
        {
            const std::scoped_lock lock{mutex()};
            ++timed_out_;
            refusal = bulkhead_timed_out(this->time().now() - request.since, locked_stats());
        }
        on_failed(refusal, true);
        return refusal;
    }

    void set_max_concurrent(std::size_t permits) {
        check_max_concurrent(permits);
        auto why_full = why_bulkhead_full(permits, max_waiting_); // and the old one, later: ends without the mutex
        Ended ended;
        const std::scoped_lock lock{mutex()};
        std::swap(why_full_, why_full);
        control_.locked_set_limit(static_cast<std::uint32_t>(permits));
        locked_serve(ended);
        locked_watch(ended);
    }

    BulkheadStats get_stats() const noexcept {
        const std::scoped_lock lock{mutex()};
        return locked_stats();
    }

    /// How long a call may stand in the line that comes now, and what it holds there.
    TurnRequest request(TimePoint deadline, Bytes held_bytes = 0) const noexcept {
        if (deadline == TimePoint::max() && !max_wait_) return {.held_bytes = held_bytes};
        const auto now = this->time().now();
        return {.since = now,
                .latest = max_wait_ ? std::min(deadline, saturating_add(now, *max_wait_)) : deadline,
                .held_bytes = held_bytes};
    }

  protected:
    /// From now on so many permits, whose takers wait in the line as before; each that is waited for bears `epoch`.
    void move_limit(std::size_t permits, std::uint32_t epoch) noexcept {
        Ended ended;
        const std::scoped_lock lock{mutex()};
        limit_epoch_ = epoch;
        control_.locked_set_limit(static_cast<std::uint32_t>(permits));
        locked_serve(ended);
        locked_watch(ended);
    }
    const LimiterEvents& events() const noexcept { return events_; }

  private:
    Answer locked_answer(const TurnRequest&, bool joins, Ended& ended) noexcept override {
        locked_serve(ended); // a permit may have come back whose giver has not reached the mutex yet
        const bool may_wait = locked_line().size() < max_waiting_;
        const bool takes = joins && may_wait ? control_.locked_take_or_join() : control_.try_take();
        if (takes) return waited_permit();
        if (may_wait) return std::nullopt;
        return locked_refuse();
    }
    void locked_on_joined(Waiter& waiter) noexcept override {
        if (waiter.request.latest != TimePoint::max()) deadlines_->arm(waiter, waiter.request.latest);
    }
    void locked_on_left(Waiter& waiter) noexcept override {
        deadlines_->disarm(waiter);
        if (locked_line().empty()) control_.locked_end_line();
    }
    void locked_on_cancelled() noexcept override { ++cancelled_; }

    TimePoint locked_next_alarm() noexcept override { return deadlines_->next_wake().value_or(TimePoint::max()); }
    void locked_on_alarm(TimePoint now, Ended& ended) noexcept override {
        expiring_into_ = &ended;
        deadlines_->expire(now);
    }
    void locked_on_due(Waiter& waiter) noexcept override { locked_time_out(waiter, *expiring_into_); }
    void locked_time_out(Waiter& waiter, Ended& ended) noexcept {
        ++timed_out_;
        const auto waited = this->time().now() - waiter.request.since; // longer than it was to, if nobody looked
        this->locked_end(waiter, bulkhead_timed_out(waited, locked_stats()), ended);
    }
    Result<MemoryReservation> make_room(Bytes bytes) noexcept override { return account_.try_reserve(bytes); }
    void on_no_room(const Error& error) noexcept override {
        {
            const std::scoped_lock lock{mutex()};
            ++refused_;
        }
        events_.refused("no memory", error);
    }
    void on_failed(const Error& error, bool waited) noexcept override {
        if (error == Errc::bulkhead_full) events_.refused(waited ? "waited too long" : "no room", error);
    }

    void serve() noexcept override {
        Ended ended;
        const std::scoped_lock lock{mutex()};
        locked_serve(ended);
        locked_watch(ended);
    }
    void locked_serve(Ended& ended) noexcept {
        while (!locked_line().empty()) {
            auto& first = *locked_line().front();
            // The alarm may be late where much is going on; a permit would be of no use to him.
            const auto latest = first.request.latest;
            if (latest != TimePoint::max() && has_come(this->time(), latest)) {
                locked_time_out(first, ended);
                continue;
            }
            if (!control_.locked_take_for_first()) return;
            locked_end_first(waited_permit(), ended);
        }
    }
    BulkheadPermit waited_permit() noexcept {
        return BulkheadPermit{std::static_pointer_cast<BulkheadLine>(this->shared_from_this()), limit_epoch_};
    }
    Error locked_refuse() noexcept {
        ++refused_;
        return {Errc::bulkhead_full, why_full_};
    }
    BulkheadStats locked_stats() const noexcept {
        return {.in_use = control_.in_use(),
                .max_concurrent = control_.limit(),
                .waiting = locked_line().size(),
                .refused = refused_,
                .timed_out = timed_out_,
                .cancelled = cancelled_};
    }

    const LimiterEvents events_;
    const MemoryAccount account_; // of this, and of what those hold who wait
    const std::size_t max_waiting_;
    const std::optional<Duration> max_wait_;
    // Guarded by the mutex.
    std::shared_ptr<DeadlineWheel> deadlines_; // of those in the line; null where nobody may wait
    Ended* expiring_into_ = nullptr;           // while they expire
    Error::SharedText why_full_;
    std::uint64_t refused_ = 0, timed_out_ = 0, cancelled_ = 0;
    std::uint32_t limit_epoch_ = 0;
};

} // namespace detail

} // namespace velostream
