// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/timed_operation.hpp"
#include "velostream/config/connection_pool_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/connection_lease.hpp"
#include "velostream/connection_pool_lending.hpp"
#include "velostream/connection_pool_options.hpp"
#include "velostream/connection_pool_report.hpp"
#include "velostream/connection_pool_state.hpp"
#include "velostream/connection_pool_stats.hpp"
#include "velostream/connection_pool_work.hpp"
#include "velostream/core/breaker_memory.hpp"

namespace velostream {

/// Connections that are kept ready, and lent again instead of being opened again.
///
/// ```cpp
/// ConnectionPool pool{executor, ConnectionPoolConfig{.max_size = 8}, factory};
/// auto connection = co_await pool.get_connection();
/// if (connection) co_await (*connection)->query(…);
/// ```
///
/// Borrowers are served first come first served; a connection that comes back goes to the one who waits longest, and a
/// newcomer never overtakes a waiter. A borrower never connects by itself: connects belong to the pool, and whoever
/// waits takes whichever comes first, a returned connection or a new one. Where none is left that could come back, a
/// connect that fails tells all who wait at once. How a pool behaves in an outage, and when connections are checked and
/// replaced, says `PoolPlan`. Never more than `max_size` connections exist, those being opened or closed included.
///
/// Where nobody waits, the connection that came back last is lent again without a lock (see `WarmPlace`), by the same
/// rules: if it needs no reset, is fresh and not too old. Not with a `leak_threshold`.
///
/// Threads:  safe to share; with `ConfinedMemory` one thread at a time, leases included, for pools that live on a
///           strand or in a context of one thread. What takes time goes on in coroutines of the pool's executor.
/// Lifetime: the pool must end before the execution context of its executor. Its end is `close`; connections that are
///           lent out are closed when they come back. Idle connections and connects that nobody waits for are no reason
///           for the context to go on (see `BackgroundAlarm`).
/// Errors:   without memory to hand a connection over or to close one the program ends.
template <ConnectionFactory Factory, TimeSource Time = SteadyTime, class Memory = SharedMemory>
class ConnectionPool {
    using State = detail::ConnectionPoolState<Factory, Time, Memory>;

  public:
    using Connection = typename Factory::Connection;
    using Lease = ConnectionLease<Connection>;

    /// Begins to open `min_idle` connections.
    ///
    /// Throws `std::invalid_argument` that lists every problem of `config`.
    ConnectionPool(asio::any_io_executor executor, const ConnectionPoolConfig& config, Factory factory,
                   ConnectionPoolOptions options = {}, Time time = {})
        : config_(validated(config)),
          time_(time),
          state_(std::make_shared<State>(std::move(executor), config_, std::move(factory), std::move(options),
                                         std::move(time))) {
        state_->begin();
    }
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;
    ~ConnectionPool() { state_->close(); }

    /// A connection, at once and without the executor if one is ready; else waits for one, at most `connection_timeout`
    /// and until `deadline`. One that was last seen to work longer ago than `validation_window` is checked first.
    ///
    /// Completes with: a lease; or an error that names the wait, what the pool holds and the last connect error since a
    ///                 connect succeeded: `Errc::pool_timeout`, `Errc::pool_exhausted` if `max_waiters` wait already,
    ///                 `Errc::connect_failed` in an outage; or `Errc::pool_closed`, `Errc::cancelled`, or the error of
    ///                 `options.memory` where that has no room for who has to wait.
    /// Cancellation:   all kinds, at any point; leaves nothing behind: a connection on its way goes to whoever is next.
    asio::awaitable<Result<Lease>> get_connection(TimePoint deadline = TimePoint::max(),
                                                  std::source_location where = std::source_location::current()) {
        return State::get_connection(detail::own_frame, state_, deadline, where);
    }

    /// The same for any completion token; a handler is always called through its executor.
    template <asio::completion_token_for<void(Result<Lease>)> Token>
    auto async_acquire(TimePoint deadline, Token&& token,
                       std::source_location where = std::source_location::current()) {
        return state_->async_turn(state_->request(deadline, where), std::forward<Token>(token));
    }
    template <asio::completion_token_for<void(Result<Lease>)> Token>
    auto async_acquire(Token&& token, std::source_location where = std::source_location::current()) {
        return async_acquire(TimePoint::max(), std::forward<Token>(token), where);
    }

    /// A connection that is ready and needs no check; nothing if there is none, or somebody waits.
    std::optional<Lease> try_get_connection(std::source_location where = std::source_location::current()) noexcept {
        return state_->try_borrow(where);
    }

    /// From now on at most so many connections. Fewer: idle ones are closed at once, others when they come back, and
    /// none is opened until there is room. `min_idle`, `connect_limit` and `max_waiters` stay as they were.
    ///
    /// Errors: throws `std::invalid_argument` if it is not legal, such as below `min_idle`.
    void resize(std::size_t max_size) {
        detail::check_max_size(config_, max_size);
        state_->resize(max_size);
    }

    /// Refuses who waits and who comes, with `Errc::pool_closed`, and closes what is idle; connections that are lent
    /// out are closed when they come back. May be called again.
    void close() noexcept { state_->close(); }

    /// The same, and waits until all connections are closed, for at most so long.
    ///
    /// Completes with: success, or `Errc::deadline_exceeded`, which says how many there are still.
    /// Cancellation:   all kinds; the pool is closed all the same.
    asio::awaitable<Result<void>> close(Duration drain) { return close(detail::own_frame, state_, time_, drain); }

    ConnectionPoolStats get_stats() const { return state_->get_stats(); }

  private:
    static asio::awaitable<Result<void>> close(detail::OwnFrame, std::shared_ptr<State> state, Time time,
                                               Duration drain) {
        state->close();
        const auto deadline = saturating_add(time.now(), drain);
        CallContext call{deadline};
        auto drained = [&state] { return State::drained(detail::own_frame, state); };
        auto draining = run_until(time, deadline, drained, call);
        const auto& outcome = co_await draining;
        if (outcome.timed_out) co_return detail::not_drained(state->get_stats().total, drain);
        if (const auto failure = outcome.error()) co_return *failure;
        co_return Result<void>{};
    }

    const ConnectionPoolConfig config_;
    const Time time_;
    std::shared_ptr<State> state_;
};

} // namespace velostream
