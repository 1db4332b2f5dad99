// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_tie.hpp"
#include "velostream/async/hand_over_queue.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/config/connection_pool_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/connection_lease.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream {

/// A pool at one moment.
struct ConnectionPoolStats {
    std::size_t active = 0; ///< lent out
    std::size_t idle = 0;   ///< ready to be lent
    std::size_t total = 0;  ///< that exist: active, idle, being opened, reset or closed; at most `max_size`
    std::size_t connecting = 0;
    std::size_t waiting = 0; ///< borrowers
};

namespace detail {

Error pool_timeout(const ConnectionPoolConfig& config, const ConnectionPoolStats& stats, Duration waited,
                   const std::optional<Error>& last_connect_error);
Error pool_closed();
Error connect_failed(const Error& cause);

} // namespace detail

/// Connections that are opened when they are wanted, and lent again instead of being opened again.
///
/// Borrowers are served first come first served; a connection that comes back goes to the one who waits longest, and a
/// newcomer never overtakes a waiter. A borrower never connects by itself: connects belong to the pool, and whoever
/// waits takes whichever comes first, a returned connection or a new one. When a connect fails, the one who waits
/// longest gets its error at once. Never more than `max_size` connections exist, those being opened or closed included.
///
/// Threads:  safe to share.
/// Lifetime: the pool must end before the execution context of its executor. Its end completes those who wait with
///           `Errc::pool_closed`; connections that are lent out are closed when they come back.
template <ConnectionFactory Factory, TimeSource Time = SteadyTime>
class ConnectionPool {
  public:
    using Connection = typename Factory::Connection;
    using Lease = ConnectionLease<Connection>;

    /// `places`: one unit of it is taken for each connection; pools that are given accounts of one tree share its
    /// limit, and stand in line for a place that comes free.
    ///
    /// Throws `std::invalid_argument` that lists every problem of `config`.
    ConnectionPool(asio::any_io_executor executor, const ConnectionPoolConfig& config, Factory factory,
                   MemoryAccount places = {}, Time time = {})
        : state_(std::make_shared<State>(std::move(executor), validated(config), std::move(factory), std::move(places),
                                         std::move(time))) {}
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;
    ~ConnectionPool() { state_->close(); }

    /// A connection, at once if one is idle; else waits at most `connection_timeout` for one.
    ///
    /// One that lay idle for more than 500 ms is checked first.
    ///
    /// Completes with: a lease; or Errc::pool_timeout, which names the wait, what the pool holds and the last connect
    ///                 error since a connect succeeded; Errc::connect_failed (the cause inside); Errc::pool_closed;
    ///                 Errc::cancelled.
    /// Cancellation:   all kinds, at any point; leaves nothing behind: a connection on its way goes to whoever is next.
    asio::awaitable<Result<Lease>> get_connection() { return State::get_connection(state_); }

    ConnectionPoolStats get_stats() const { return state_->get_stats(); }

  private:
    using Pooled = detail::PooledConnection<Connection>;
    class State;

    std::shared_ptr<State> state_;
};

// A connection is in one place at a time: lent out, idle, or with the coroutine that opens, resets or closes it.
// `total_` counts all of them, from before `open` until after `close`. What lies idle while somebody waits is handed
// over under the mutex, so a newcomer that finds something idle overtakes nobody.
template <ConnectionFactory Factory, TimeSource Time>
class ConnectionPool<Factory, Time>::State final : public detail::PoolOfLeases<Connection>,
                                                   public std::enable_shared_from_this<State> {
  public:
    State(asio::any_io_executor executor, const ConnectionPoolConfig& config, Factory factory, MemoryAccount places,
          Time time)
        : config_(config),
          factory_(std::move(factory)),
          places_(std::move(places)),
          time_(std::move(time)),
          tie_(std::move(executor)) {}

    static asio::awaitable<Result<Lease>> get_connection(std::shared_ptr<State> self) {
        std::optional<TimePoint> deadline; // no clock is read unless it must wait
        auto place = Queue::Place::last;
        for (;;) {
            auto borrowed = self->try_borrow(place);
            if (!deadline && (!borrowed || (*borrowed && (**borrowed).pooled_->needs_check)))
                deadline = saturating_add(self->time_.now(), self->config_.connection_timeout);
            if (!borrowed) {
                auto decide = [state = self.get(), place] { return state->locked_borrow(place); };
                auto then = [state = self] { state->look_after_waiters(); };
                auto handed = co_await self->queue_->async_wait(*deadline, place, decide, then, asio::use_awaitable);
                if (!handed) self->look_after_waiters(); // it may have been the last
                borrowed.emplace(std::move(handed));
            }
            if (!*borrowed || !(**borrowed).pooled_->needs_check) co_return std::move(*borrowed);

            Lease lease = std::move(**borrowed);
            const bool works = co_await check(self, lease, *deadline);
            if (works) co_return lease;
            lease.give_back();
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            if (cancellation.cancelled() != asio::cancellation_type::none) co_return Error{Errc::cancelled};
            if (const auto now = self->time_.now(); *deadline <= now) co_return self->timed_out(*deadline, now);
            place = Queue::Place::first; // its turn had come
        }
    }

    void give_back(std::unique_ptr<Pooled> pooled, bool broken) noexcept override {
        bool keep = false;
        {
            const std::scoped_lock lock{queue_->mutex()};
            --active_;
            keep = !closed_;
        }
        if (!keep) return drop(std::move(pooled));
        start(take_back(this->shared_from_this(), std::move(pooled), broken));
    }

    void close() noexcept {
        std::vector<std::unique_ptr<Pooled>> unused; // ends last: without the mutex
        {
            typename Queue::Completed completed;
            const std::scoped_lock lock{queue_->mutex()};
            closed_ = true;
            unused.swap(idle_);
            for (Result<Lease> answer = detail::pool_closed(); queue_->locked_hand_over(answer, completed);)
                answer = detail::pool_closed();
        }
        look_after_waiters(); // there are none: so it ends what is done for them
    }

    ConnectionPoolStats get_stats() const {
        const std::scoped_lock lock{queue_->mutex()};
        return locked_stats();
    }

  private:
    using Queue = HandOverQueue<Lease>;
    using Operation = asio::awaitable<void>;

    ConnectionPoolStats locked_stats() const {
        return {active_, idle_.size(), total_, connecting_, queue_->locked_size()};
    }

    std::optional<Result<Lease>> try_borrow(typename Queue::Place place) {
        const std::scoped_lock lock{queue_->mutex()};
        return locked_borrow(place);
    }

    std::optional<Result<Lease>> locked_borrow(typename Queue::Place place) {
        if (closed_) return detail::pool_closed();
        if (idle_.empty() || (place == Queue::Place::last && queue_->locked_size() != 0)) return std::nullopt;
        auto pooled = std::move(idle_.back()); // the one used last: it is the likeliest to work
        idle_.pop_back();
        pooled->needs_check = time_.coarse_now() - pooled->idle_since > idle_without_check;
        ++active_;
        return Lease{this->shared_from_this(), std::move(pooled)};
    }

    static asio::awaitable<bool> check(std::shared_ptr<State> self, Lease& lease, TimePoint deadline) {
        lease.mark_broken(); // unless it comes through this
        try {
            CallContext call{deadline};
            const auto checked = co_await self->factory_.check(*lease, call);
            lease.broken_ = !checked;
        } catch (...) {
            co_return false;
        }
        co_return !lease.broken_;
    }

    // Stands in line among the pools that share places. What it gets is taken by the executor.
    class PlaceRequest final : public MemoryWaiter, public std::enable_shared_from_this<PlaceRequest> {
      public:
        explicit PlaceRequest(State& owner) : MemoryWaiter(owner.places_, 1), owner_(owner.weak_from_this()) {}

      private:
        void on_end(Result<MemoryReservation> place) noexcept override {
            const auto owner = owner_.lock();
            if (!owner) return;
            owner->tie_.with_executor([&](const asio::any_io_executor& executor) {
                auto take = [owner, request = this->shared_from_this(), place = std::move(place)]() mutable {
                    owner->place_came(*request, std::move(place));
                };
                asio::post(executor, std::move(take));
            });
        }

        const std::weak_ptr<State> owner_;
    };

    // Connects for those who wait and have no connect under way, and watches their deadlines.
    // No account is touched under the mutex: what is freed on the way may call other pools.
    // noexcept, as all that counts a connection or hands one over: without memory to go on with it the program ends.
    void look_after_waiters() noexcept {
        while (claim_connect()) {
            const auto request = std::make_shared<PlaceRequest>(*this);
            auto place = request->try_now();
            if (place && *place) {
                start(connect(this->shared_from_this(), std::move(**place)));
            } else {
                const bool may_wait = !place; // else there will never be a place
                return give_up_claim(may_wait ? request : nullptr);
            }
        }
    }

    bool locked_wants_connect() const {
        return !closed_ && connecting_ < queue_->locked_size() && connecting_ < connect_limit &&
               total_ < config_.max_size;
    }

    // True if a connect is wanted, and counted now, for which a place is not being waited for.
    bool claim_connect() {
        std::shared_ptr<PlaceRequest> unneeded;
        {
            const std::scoped_lock lock{queue_->mutex()};
            locked_watch();
            if (locked_wants_connect()) {
                if (place_request_) return false;
                ++connecting_;
                ++total_;
                return true;
            }
            unneeded.swap(place_request_);
        }
        if (unneeded) MemoryWaiter::leave(unneeded);
        return false;
    }

    void give_up_claim(const std::shared_ptr<PlaceRequest>& request) noexcept {
        {
            const std::scoped_lock lock{queue_->mutex()};
            --connecting_;
            --total_;
            if (!request || place_request_ || !locked_wants_connect()) return;
            place_request_ = request;
        }
        MemoryWaiter::wait(request);
    }

    void place_came(const PlaceRequest& request, Result<MemoryReservation> place) noexcept {
        bool is_wanted = false;
        {
            const std::scoped_lock lock{queue_->mutex()};
            if (place_request_.get() == &request) place_request_.reset();
            is_wanted = place && locked_wants_connect();
            if (is_wanted) {
                ++connecting_;
                ++total_;
            }
        }
        if (is_wanted) start(connect(this->shared_from_this(), std::move(*place)));
        look_after_waiters();
    }

    static Operation connect(std::shared_ptr<State> self, MemoryReservation place) {
        auto call = self->new_call();
        std::unique_ptr<Pooled> pooled;
        Error cause;
        try {
            auto taken = std::move(place); // free again before a failure is told
            auto opened = co_await self->factory_.open(call);
            if (opened) {
                pooled = std::make_unique<Pooled>(std::move(*opened), self->places_, std::move(taken));
                self->connected();
            } else {
                cause = opened.error();
            }
        } catch (...) {
            cause = Error::from_exception(std::current_exception());
            pooled.reset();
        }
        if (pooled)
            self->hand_out(std::move(pooled));
        else
            self->connect_failed(std::move(cause));
    }

    void connected() {
        std::optional<Error> over; // ends last: without the mutex
        const std::scoped_lock lock{queue_->mutex()};
        idle_.reserve(total_); // so that it can come back whatever happens
        --connecting_;
        over.swap(last_connect_error_);
    }

    void connect_failed(Error cause) noexcept {
        {
            Result<Lease> answer = detail::connect_failed(cause);
            std::optional<Error> last{std::move(cause)}; // ends as the one before it, without the mutex
            typename Queue::Completed completed;
            const std::scoped_lock lock{queue_->mutex()};
            --connecting_;
            --total_;
            last.swap(last_connect_error_);
            queue_->locked_hand_over(answer, completed);
        }
        look_after_waiters();
    }

    // One coroutine for both: to give a connection up takes no further memory.
    static Operation take_back(std::shared_ptr<State> self, std::unique_ptr<Pooled> pooled, bool broken) {
        bool works = false;
        if (!broken) {
            auto call = self->new_call();
            try {
                const auto reset = co_await self->factory_.reset(pooled->connection, call);
                works = reset.has_value();
            } catch (...) {
                works = false;
            }
        }
        if (works) {
            self->hand_out(std::move(pooled));
            co_return;
        }
        auto call = self->new_call();
        try {
            co_await self->factory_.close(pooled->connection, call);
        } catch (...) { // ignored: it is given up anyhow
        }
        self->drop(std::move(pooled));
    }

    // To the one who waits longest, or among the idle.
    void hand_out(std::unique_ptr<Pooled> pooled) noexcept {
        typename Queue::Completed completed;
        {
            const std::scoped_lock lock{queue_->mutex()};
            if (!closed_) {
                if (queue_->locked_size() == 0) {
                    pooled->idle_since = time_.coarse_now();
                    idle_.push_back(std::move(pooled));
                } else {
                    pooled->needs_check = false;
                    ++active_;
                    Result<Lease> handed = Lease{this->shared_from_this(), std::move(pooled)};
                    queue_->locked_hand_over(handed, completed);
                }
            }
        }
        if (pooled) return drop(std::move(pooled));
        look_after_waiters();
    }

    void drop(std::unique_ptr<Pooled> pooled) noexcept {
        pooled.reset(); // its place is free before anybody counts again
        {
            const std::scoped_lock lock{queue_->mutex()};
            --total_;
        }
        look_after_waiters();
    }

    CallContext new_call() const { return CallContext{saturating_add(time_.now(), config_.connection_timeout)}; }

    // Posted: no code of the factory runs inside of a call that gives back. Without the context nothing is done.
    void start(Operation operation) noexcept {
        tie_.with_executor([&operation](const asio::any_io_executor& executor) {
            asio::post(executor, [executor, started = std::move(operation)]() mutable {
                asio::co_spawn(executor, std::move(started), asio::detached);
            });
        });
    }

    // The alarm rings for the one who waits longest: all wait equally long, so nobody's deadline is earlier. When he
    // is served it stays as it is, and rings too early for the next; but who comes back from a failed check may be due
    // before the one it was set for.
    void locked_watch() {
        const auto deadline = queue_->locked_front_deadline();
        if (!deadline) {
            alarm_at_ = TimePoint::max();
            alarm_.stop();
        } else if (*deadline < alarm_at_) {
            alarm_at_ = *deadline;
            auto ring = [weak = this->weak_from_this()](AlarmEnd end) {
                const auto self = weak.lock();
                if (self && end == AlarmEnd::rang) self->expire();
            };
            tie_.with_executor([&](const asio::any_io_executor& executor) {
                alarm_.set(time_, executor, alarm_at_, std::move(ring));
            });
        }
    }

    Error locked_timed_out(TimePoint deadline, TimePoint now) const {
        const auto waited = now - deadline + config_.connection_timeout;
        return detail::pool_timeout(config_, locked_stats(), waited, last_connect_error_);
    }
    Error timed_out(TimePoint deadline, TimePoint now) const {
        const std::scoped_lock lock{queue_->mutex()};
        return locked_timed_out(deadline, now);
    }

    void expire() {
        {
            typename Queue::Completed completed;
            const std::scoped_lock lock{queue_->mutex()};
            alarm_at_ = TimePoint::max();
            const auto now = time_.now();
            while (const auto deadline = queue_->locked_front_deadline()) {
                if (*deadline > now) break;
                Result<Lease> answer = locked_timed_out(*deadline, now);
                queue_->locked_hand_over(answer, completed);
            }
        }
        look_after_waiters();
    }

    static constexpr Duration idle_without_check = std::chrono::milliseconds{500};
    static constexpr std::size_t connect_limit = 4;

    const ConnectionPoolConfig config_;
    Factory factory_;
    const MemoryAccount places_;
    const Time time_;
    ContextTie tie_;

    const std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
    // Guarded by the queue's mutex.
    std::vector<std::unique_ptr<Pooled>> idle_;
    std::size_t active_ = 0, connecting_ = 0, total_ = 0; // nobody asks for them once it is closed
    std::optional<Error> last_connect_error_;             // since a connect succeeded
    bool closed_ = false;
    std::shared_ptr<PlaceRequest> place_request_; // while it stands in line
    TimePoint alarm_at_ = TimePoint::max();       // max: it is not set
    Alarm alarm_;
};

} // namespace velostream
