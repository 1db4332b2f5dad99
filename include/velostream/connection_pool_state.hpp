// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <source_location>
#include <utility>
#include <vector>

#include "velostream/async/background_alarm.hpp"
#include "velostream/async/call_context.hpp"
#include "velostream/async/context_tie.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/turn_line.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/config/connection_pool_config.hpp"
#include "velostream/connection_claim.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/connection_lease.hpp"
#include "velostream/connection_neighbours.hpp"
#include "velostream/connection_pool_options.hpp"
#include "velostream/connection_pool_report.hpp"
#include "velostream/connection_pool_stats.hpp"
#include "velostream/core/pool_plan.hpp"
#include "velostream/core/warm_place.hpp"

namespace velostream::detail {

// What a factory is asked to do. One type for all: g++ warns of coroutines that are given types which depend on a local
// factory.
using FactoryCall = std::function<asio::awaitable<void>(CallContext&)>;

/// What a connection pool and its leases, borrowers and connects share: it runs a `PoolPlan`.
///
/// The plan and all that belongs to it are guarded by the mutex of the line. Each event goes to the plan, and what that
/// asks for is done right after it: who is handed something or refused is told, and what takes time is posted as a
/// coroutine, which ends with the next event. So no code of users runs under the mutex, and nothing of the factory
/// inside of a call of the pool.
///
/// It keeps itself until the pool is closed and the last connection has gone.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
class ConnectionPoolState final
    : public LendingPool<typename Factory::Connection>, // first: it is called most often
      public TurnLine<ConnectionLease<typename Factory::Connection>, Time, MemoryReservation, typename Memory::Mutex>,
      public ConnectionNeighbour {
    using Base =
        TurnLine<ConnectionLease<typename Factory::Connection>, Time, MemoryReservation, typename Memory::Mutex>;
    using Base::locked_end, Base::locked_end_first, Base::locked_line, Base::locked_watch, Base::mutex, Base::time;
    using typename Base::Ended, typename Base::Waiter;
    using Return = PoolPlan::Return;

  public:
    using Connection = typename Factory::Connection;
    using Lease = ConnectionLease<Connection>;
    using Pooled = PooledConnection<Connection>;
    using typename Base::Answer;

    ConnectionPoolState(asio::any_io_executor executor, const ConnectionPoolConfig& config, Factory factory,
                        ConnectionPoolOptions options, Time clock)
        : Base(std::move(clock)),
          config_(config),
          options_(std::move(options)),
          quota_{.memory = options_.memory, .bytes = config_.connection_memory, .places = options_.places},
          factory_(std::move(factory)),
          tie_(std::move(executor)),
          plan_(rules_of(config_), pool_seed(options_.seed), time().now()),
          deadlines_(time().now()) {}

    void begin() {
        const auto self = shared();
        ConnectionNeighbour::join(quota_.places, self);
        update([&](TimePoint now) {
            self_ = self;
            plan_.tick(now, actions_);
        });
    }

    // ---- borrowers

    std::optional<Lease> try_borrow(const std::source_location& where) noexcept {
        const auto now = time().coarse_now(); // before `take`: so it costs half a nanosecond less
        auto* const warm = warm_.take();
        if (!warm || now - warm->seen_well > config_.validation_window) [[unlikely]]
            return try_borrow_of_plan(warm, where);
        warm->count_warm_loan();
        return Lease{*this, *warm};
    }

    static asio::awaitable<Result<Lease>> get_connection(OwnFrame, std::shared_ptr<ConnectionPoolState> self,
                                                         TimePoint deadline, std::source_location where) {
        if (auto lease = self->try_borrow(where)) co_return std::move(*lease);
        auto turn = self->async_turn(self->request(deadline, where), asio::deferred);
        co_return co_await std::move(turn);
    }
    TurnRequest request(TimePoint deadline, const std::source_location& where) const noexcept {
        const auto now = time().now();
        return {.since = now,
                .latest = std::min(deadline, saturating_add(now, config_.connection_timeout)),
                .where = where};
    }

    void give_back(Pooled& pooled, Return how) noexcept override {
        if (how == Return::used && is_clean(pooled.connection)) how = Return::clean;
        if (how == Return::clean || how == Return::as_it_was) [[likely]] {
            const auto now = time().coarse_now();
            if (how == Return::clean) pooled.is_used_at(now);
            // The last look at anything of the pool, which ends as soon as somebody takes what lies there.
            if (now < pooled.warm_until && !quota_.places.anyone_waits() && warm_.put(pooled)) [[likely]]
                return;
        }
        give_back_to_plan(pooled, how);
    }

    // ---- the owner

    void close() noexcept {
        update([this](TimePoint now) { plan_.close(now, actions_); });
    }
    void resize(std::size_t max_size) noexcept {
        update([&](TimePoint now) { plan_.resize(max_size, now, actions_); });
    }

    // Until all connections have gone. Cancellation: all kinds.
    static asio::awaitable<void> drained(OwnFrame, std::shared_ptr<ConnectionPoolState> self) {
        auto is_drained = [state = self.get()] { return state->is_drained_.load(); };
        auto waiting = self->drained_.async_wait_unless(is_drained, asio::deferred);
        co_await std::move(waiting);
    }

    ConnectionPoolStats get_stats() const {
        const std::scoped_lock lock{mutex()};
        auto stats = counted_;
        const auto figures = plan_.figures();
        const std::size_t warm = warm_.has_one(); // which the plan takes for lent
        stats.active = figures.active - warm;
        stats.idle = figures.idle + warm;
        stats.connecting = figures.connecting;
        stats.total = figures.total;
        stats.waiting = figures.waiting;
        stats.max_size = plan_.rules().max_size;
        stats.is_misconfigured = plan_.is_misconfigured();
        stats.last_connect_error = last_connect_error_;
        for (const auto& seat : seats_)
            if (seat.pooled) stats.lent_at_once += seat.pooled->lent_warm.load(std::memory_order_relaxed);
        return stats;
    }

  private:
    // How to end something that goes on, before its time.
    struct Ending {
        explicit Ending(asio::any_io_executor on) : strand(std::move(on)) {}
        const asio::any_io_executor strand;
        asio::cancellation_signal signal; // used on the strand, as the next
        bool goes_on = true;
    };
    struct Seat {
        std::unique_ptr<Pooled> pooled; // null while it is being opened
        std::shared_ptr<Ending> opening;
        bool is_given_up = false;
    };
    class Task;
    class Claim;

    // ---- events

    // What ends without the mutex.
    struct Unlocked {
        std::shared_ptr<ConnectionPoolState> self; // last
        std::vector<std::unique_ptr<Pooled>> orphans;
    };

    // `event(now)` tells the plan something.
    template <class Event>
    void update(Event event) noexcept {
        Unlocked after;
        Ended ended;
        const std::scoped_lock lock{mutex()};
        now_ = time().now();
        locked_shut();
        event(now_);
        locked_finish(ended, after);
    }
    void locked_finish(Ended& ended, Unlocked& after) noexcept {
        locked_watch(ended);
        after.orphans.swap(orphans_);
        if (!is_drained_) return;
        alarm_.stop();
        after.self.swap(self_);
    }

    // ---- lending

    [[gnu::noinline]] std::optional<Lease> try_borrow_of_plan(Pooled* stale,
                                                              const std::source_location& where) noexcept;
    [[gnu::noinline]] void give_back_to_plan(Pooled& pooled, Return how) noexcept;
    void locked_tell_of_return(Pooled& pooled) noexcept;
    void locked_begin() noexcept;
    void locked_end_lightly(Ended& ended, Unlocked& after) noexcept;
    void locked_shut() noexcept;
    void locked_open() noexcept;
    std::unique_ptr<Pooled> locked_take_out(PoolSlot slot) noexcept;
    Lease locked_lend(PoolSlot slot, const std::source_location& where) noexcept;

    // ---- the line

    Answer locked_answer(const TurnRequest& request, bool joins, Ended& ended) noexcept override {
        now_ = time().now();
        locked_shut();
        if (!joins) {
            if (const auto slot = plan_.try_borrow(now_)) {
                ++counted_.lent_at_once;
                return locked_lend(*slot, request.where);
            }
            if (!plan_.refusal(now_)) return std::nullopt;
        }
        newcomer_ = &request;
        newcomer_ticket_ = plan_.wait(now_, actions_);
        locked_perform(ended);
        newcomer_ = nullptr;
        return std::exchange(newcomers_answer_, std::nullopt);
    }
    void locked_on_joined(Waiter& waiter) noexcept override {
        waiter.ticket = newcomer_ticket_;
        if (waiter.request.latest != TimePoint::max()) deadlines_.arm(waiter, waiter.request.latest);
    }
    void locked_on_left(Waiter& waiter) noexcept override {
        deadlines_.disarm(waiter);
        now_ = std::max(now_, time().coarse_now());
        locked_shut();
        plan_.leave(waiter.ticket, now_, actions_); // unless it was the plan's doing
    }
    void locked_on_cancelled() noexcept override { ++counted_.cancelled; }
    TimePoint locked_next_alarm() noexcept override { return deadlines_.next_wake().value_or(TimePoint::max()); }
    void locked_on_alarm(TimePoint now, Ended& ended) noexcept override {
        now_ = now;
        expiring_into_ = &ended;
        deadlines_.expire(now);
    }
    void locked_on_due(Waiter& waiter) noexcept override {
        ++counted_.timed_out;
        locked_end(waiter, locked_report(waiter.request.since).as(Errc::pool_timeout), *expiring_into_);
    }
    void locked_on_changed(Ended& ended) noexcept override {
        locked_shut();
        locked_yield();
        locked_perform(ended);
        locked_look_for_room();
        if (plan_.due() < alarm_at_) locked_set_alarm();
        locked_open();
    }
    Result<MemoryReservation> make_room(Bytes bytes) noexcept override { return options_.memory.try_reserve(bytes); }
    void on_no_room(const Error&) noexcept override {
        const std::scoped_lock lock{mutex()};
        ++counted_.refused;
    }

    PoolReport locked_report(std::optional<TimePoint> since) const noexcept {
        PoolReport report{.connection_timeout = config_.connection_timeout,
                          .figures = plan_.figures(),
                          .max_size = plan_.rules().max_size,
                          .waits_for_room = claim_ != nullptr,
                          .is_misconfigured = plan_.is_misconfigured(),
                          .last_connect_error = last_connect_error_ ? &*last_connect_error_ : nullptr};
        if (since) report.waited = now_ - *since;
        if (const auto pending = plan_.pending_since()) report.pending = now_ - *pending;
        return report;
    }

    // ---- what the plan asks for

    void locked_perform(Ended& ended) noexcept {
        for (std::size_t next = 0; next < actions_.size(); ++next) {
            const auto action = actions_[next]; // more may be added meanwhile
            locked_perform(action, ended);
        }
        actions_.clear();
    }
    void locked_perform(const PoolAction& action, Ended& ended) noexcept {
        switch (action.kind) {
            case PoolAction::Kind::hand:
                return locked_hand(action, ended);
            case PoolAction::Kind::refuse:
                return locked_refuse(action, ended);
            case PoolAction::Kind::give_up:
                return locked_give_up(action.slot);
            case PoolAction::Kind::close:
                ++counted_.closed[static_cast<std::size_t>(action.closing)];
                return locked_start(action);
            case PoolAction::Kind::warn:
                ++counted_.leaks;
                return locked_warn(action.slot);
            case PoolAction::Kind::drained:
                is_drained_ = true;
                drained_.wake_all({});
                return;
            case PoolAction::Kind::open:
            case PoolAction::Kind::check:
            case PoolAction::Kind::reset:
                return locked_start(action);
        }
    }

    void locked_hand(const PoolAction& action, Ended& ended) noexcept {
        if (newcomer_ && action.ticket == newcomer_ticket_) {
            ++counted_.lent_at_once;
            newcomers_answer_.emplace(locked_lend(action.slot, newcomer_->where));
            return;
        }
        const auto& request = locked_line().front()->request;
        const auto waited = now_ - request.since;
        ++counted_.lent_waited;
        counted_.waited += waited;
        counted_.longest_wait = std::max(counted_.longest_wait, waited);
        locked_end_first(locked_lend(action.slot, request.where), ended);
    }
    void locked_refuse(const PoolAction& action, Ended& ended) noexcept {
        const auto code = action.refusal == PoolRefusal::closed     ? Errc::pool_closed
                          : action.refusal == PoolRefusal::too_many ? Errc::pool_exhausted
                                                                    : Errc::connect_failed;
        ++counted_.refused;
        if (newcomer_ && action.ticket == newcomer_ticket_)
            newcomers_answer_.emplace(locked_report(std::nullopt).as(code));
        else
            locked_end_first(locked_report(locked_line().front()->request.since).as(code), ended);
    }
    void locked_give_up(PoolSlot slot) noexcept {
        auto& seat = seats_[slot - 1];
        seat.is_given_up = true;
        tie_.with_executor([&](const asio::any_io_executor&) {
            asio::post(seat.opening->strand, [opening = seat.opening] {
                if (opening->goes_on) opening->signal.emit(asio::cancellation_type::terminal);
            });
        });
    }

    // Posted: it may take long. Without the context nothing can be done any more.
    void locked_start(const PoolAction& action) noexcept {
        if (seats_.size() < action.slot) seats_.resize(action.slot);
        const bool starts = tie_.with_executor([&](const asio::any_io_executor& executor) {
            const auto ending = std::make_shared<Ending>(serial_executor(executor));
            Task task{shared(), action, ending};
            auto& seat = seats_[action.slot - 1];
            if (action.kind == PoolAction::Kind::open) {
                task.room = std::exchange(room_, std::nullopt);
                seat.opening = ending;
            } else {
                task.pooled = seat.pooled.get();
            }
            asio::post(ending->strand, [task = std::move(task)]() mutable { start(std::move(task)); });
        });
        if (starts) return;
        plan_.close(now_, actions_);
        locked_failed(action);
    }
    // What was asked for did not happen, and never will.
    void locked_failed(const PoolAction& action) noexcept {
        switch (action.kind) {
            case PoolAction::Kind::open:
                return plan_.open_failed(action.slot, ConnectFault::passing, now_, actions_);
            case PoolAction::Kind::check:
                return plan_.checked(action.slot, false, now_, actions_);
            case PoolAction::Kind::reset:
                return plan_.was_reset(action.slot, false, now_, actions_);
            default:
                orphans_.push_back(locked_take_out(action.slot));
                return plan_.was_closed(action.slot, now_, actions_);
        }
    }

    void locked_warn(PoolSlot slot) noexcept {
        if (!options_.observer) return;
        post([where = seats_[slot - 1].pooled->borrowed_at](ConnectionPoolState& self) {
            self.options_.observer->on_connection_leaked(
                {.pool = self.options_.name, .lent_for = *self.config_.leak_threshold, .borrowed_at = where});
        });
    }
    auto shared() { return std::static_pointer_cast<ConnectionPoolState>(this->shared_from_this()); }
    // Calls `work(*this)` on the executor, unless its context has ended.
    template <class Work>
    void post(Work work) noexcept {
        tie_.with_executor([&](const asio::any_io_executor& executor) {
            asio::post(executor, [work = std::move(work), self = shared()] { work(*self); });
        });
    }

    // ---- room among other pools

    // What nobody wants here may be another pool's that somebody waits for.
    void locked_yield() noexcept {
        if (quota_.places.anyone_waits()) plan_.yield_room(now_, actions_);
    }
    void on_neighbour_waits() noexcept override;
    void locked_look_for_room() noexcept;
    void room_came(const Claim& claim, Result<ConnectionRoom> room) noexcept;

    // ---- time

    void locked_set_alarm() noexcept {
        alarm_at_ = plan_.due();
        auto ring = [weak = this->weak_from_this()] {
            const auto self = std::static_pointer_cast<ConnectionPoolState>(weak.lock());
            if (!self) return;
            self->update([state = self.get()](TimePoint now) {
                state->alarm_at_ = TimePoint::max();
                state->plan_.tick(now, state->actions_);
            });
        };
        tie_.with_executor([&](const asio::any_io_executor& executor) {
            try {
                alarm_.set(time(), executor, alarm_at_, std::move(ring));
            } catch (const std::bad_alloc&) {
                alarm_at_ = TimePoint::max(); // the next event tries again
            }
        });
    }

    // ---- what takes time

    static void start(Task task);
    static asio::awaitable<void> open(Task task);
    static asio::awaitable<void> look_after(Task task); // checks, resets or closes
    static asio::awaitable<void> within(OwnFrame, ConnectionPoolState& self, Duration time_out, FactoryCall call,
                                        std::optional<Error>& failure);
    static FactoryCall opens(Factory& factory, std::optional<Result<Connection>>& opened);
    static FactoryCall calls(Factory& factory, PoolAction::Kind kind, Connection& connection,
                             std::optional<Error>& failure);
    static asio::awaitable<void> open_with(Factory& factory, std::optional<Result<Connection>>& opened,
                                           CallContext& context);
    static asio::awaitable<void> call_with(Factory& factory, PoolAction::Kind kind, Connection& connection,
                                           std::optional<Error>& failure, CallContext& context);
    void tell_of_failed_connect(const Error& cause) const noexcept {
        if (options_.on_connect) options_.on_connect(cause);
        if (options_.observer) options_.observer->on_connect_failed({.pool = options_.name, .error = cause});
    }

    bool is_clean(const Connection& connection) const noexcept {
        if constexpr (requires {
                          { factory_.needs_reset(connection) } noexcept -> std::same_as<bool>;
                      })
            return !factory_.needs_reset(connection);
        else
            return false;
    }

    const ConnectionPoolConfig config_;
    const ConnectionPoolOptions options_;
    const ConnectionQuota quota_;
    Factory factory_;
    ContextTie tie_;
    WaitQueue drained_;

    // The connection that was given back last, where that is lent again without the mutex. The plan takes it for lent,
    // and is told that it is not before it is told or asked anything else: the place is open only while nobody holds
    // the mutex, the plan is calm (so nobody waits), and something is lent. On a line of its own: others are only read.
    alignas(Memory::alignment) WarmPlace<Pooled, Memory> warm_;

    // Guarded by the mutex of the line.
    alignas(Memory::alignment) bool is_open_ = false; // the warm place
    PoolPlan plan_;
    PoolPlan::Actions actions_; // that are still to be done; empty without the mutex
    TimePoint now_{};           // of the event that goes on
    std::vector<Seat> seats_;   // by slot - 1
    std::vector<std::unique_ptr<Pooled>> orphans_;
    ConnectionPoolStats counted_;
    std::optional<Error> last_connect_error_; // since a connect succeeded
    const TurnRequest* newcomer_ = nullptr;   // while it comes to the line
    PoolTicket newcomer_ticket_ = 0;
    Answer newcomers_answer_;
    DeadlineWheel deadlines_; // of those in the line
    Ended* expiring_into_ = nullptr;
    std::shared_ptr<Claim> claim_;       // while it stands in line for room
    std::optional<ConnectionRoom> room_; // that has come, for the next connect
    TimePoint alarm_at_ = TimePoint::max();
    BackgroundAlarm alarm_;                     // for the plan
    std::atomic<bool> is_drained_ = false;      // read without the mutex as well
    std::shared_ptr<ConnectionPoolState> self_; // until it is drained
};

} // namespace velostream::detail
