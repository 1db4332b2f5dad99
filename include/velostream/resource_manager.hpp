// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <concepts>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/managed_memory.hpp"

namespace velostream {

/// The limits of a process: its memory, its connections, and who is told about them.
///
/// ```cpp
/// ResourceManager resources{executor, config};
/// auto allocation = resources.allocate_memory("window_buffer", 1_MiB);
///
/// ResourceManager with_pool{executor, config, factory};
/// auto connection = co_await with_pool.get_connection();
/// ```
///
/// Threads:  safe to share.
/// Lifetime: must end before the execution context of its executor. Allocations, accounts and leases may outlive it.
template <class Factory = NoConnections, TimeSource Time = SteadyTime>
    requires std::same_as<Factory, NoConnections> || ConnectionFactory<Factory>
class ResourceManager : public ManagedMemory {
  public:
    static constexpr bool has_connections = !std::same_as<Factory, NoConnections>;

    /// Throws `std::invalid_argument` that lists every problem of `config` and `options`.
    explicit ResourceManager(const asio::any_io_executor& executor, const StreamingConfig& config,
                             const ResourceManagerOptions& options = {}, Time time = {})
        requires(!has_connections)
        : ManagedMemory(executor, config, options, detail::ManagerClock::of(time)),
          time_(std::move(time)),
          connections_("connections", config.max_connections) {}

    /// The same with connections, which `factory` makes, in a pool as `config.effective_connection_pool()` says.
    ResourceManager(asio::any_io_executor executor, const StreamingConfig& config, Factory factory,
                    const ResourceManagerOptions& options = {}, Time time = {})
        requires has_connections
        : ManagedMemory(executor, config, options, detail::ManagerClock::of(time)),
          time_(time),
          connections_("connections", config.max_connections),
          pool_(std::move(executor), config.effective_connection_pool(), std::move(factory), connections_,
                std::move(time)) {}

    /// As `allocate_memory`, but waits for room until `deadline` at most, first come first served.
    ///
    /// Completes with: an `Allocation`, or an error as `velostream::async_reserve` has it.
    /// Cancellation:   all kinds, at any moment; leaves nothing behind.
    /// Lifetime:       the manager must outlive the wait.
    template <asio::completion_token_for<void(Result<Allocation>)> Token>
    auto async_allocate_memory(std::string_view name, Bytes bytes, TimePoint deadline, Token&& token) {
        auto from = account(name);
        make_room(from, bytes);
        return wait_for<Allocation>(
            from, bytes, deadline,
            [this, account = from, bytes](Result<MemoryReservation> reserved) {
                return allocated(account, bytes, std::move(reserved));
            },
            std::forward<Token>(token));
    }

    /// As `open_query`, but waits for a place until `deadline` at most, first come first served.
    ///
    /// Completes with: a `QueryScope`; or Errc::deadline_exceeded (the refusal inside), Errc::cancelled, or an error
    ///                 of `limits` as `open_query` has it.
    /// Cancellation, Lifetime: as `async_allocate_memory`.
    template <asio::completion_token_for<void(Result<QueryScope>)> Token>
    auto async_admit(QueryLimits limits, TimePoint deadline, Token&& token) {
        return wait_for<QueryScope>(
            queries(), 1, deadline,
            [this, limits = std::move(limits)](Result<MemoryReservation> place) {
                return admitted(limits, std::move(place));
            },
            std::forward<Token>(token));
    }

    /// A connection of the default pool: `auto connection = co_await resources.get_connection();`, then
    /// `(*connection)->query(…)`. It goes back when the lease ends.
    ///
    /// Completes with, Cancellation: as `ConnectionPool::get_connection`.
    template <class Used = Factory>
    asio::awaitable<Result<ConnectionLease<typename Used::Connection>>> get_connection() {
        static_assert(!std::same_as<Used, NoConnections>,
                      "this ResourceManager has no connections: give it a factory, as in "
                      "ResourceManager{executor, config, factory}");
        if constexpr (has_connections)
            return pool_.get_connection();
        else
            return {};
    }

    /// Of the default pool; all zero without one.
    ConnectionPoolStats get_connection_pool_stats() const {
        if constexpr (has_connections)
            return pool_.get_stats();
        else
            return {};
    }

    /// `max_connections`, one unit a connection: for further pools that shall share it.
    const MemoryAccount& connections() const noexcept { return connections_; }

  private:
    struct NoPool {};
    template <class Used>
    struct Pool {
        using type = NoPool;
    };
    template <ConnectionFactory Used>
    struct Pool<Used> {
        using type = ConnectionPool<Used, Time>;
    };

    // Waits for units of `account`, and completes with what `finish` makes of them.
    template <class Granted, class Finish, class Token>
    auto wait_for(const MemoryAccount& account, Bytes units, TimePoint deadline, Finish finish, Token&& token) {
        return asio::async_initiate<Token, void(Result<Granted>)>(
            [](auto handler, const MemoryAccount& from, Bytes wanted, TimePoint until, const Time& clock,
               Finish finishing) {
                const auto executor = asio::get_associated_executor(handler);
                const auto slot = asio::get_associated_cancellation_slot(handler);
                auto then = [finishing = std::move(finishing),
                             handler = std::move(handler)](Result<MemoryReservation> reserved) mutable {
                    auto granted = finishing(std::move(reserved));
                    std::move(handler)(std::move(granted));
                };
                async_reserve(from, wanted, until, clock,
                              asio::bind_executor(executor, asio::bind_cancellation_slot(slot, std::move(then))));
            },
            token, account, units, deadline, time_, std::move(finish));
    }

    [[no_unique_address]] Time time_;
    MemoryAccount connections_;
    [[no_unique_address]] typename Pool<Factory>::type pool_;
};

template <class Executor>
ResourceManager(const Executor&, const StreamingConfig&) -> ResourceManager<>;
template <class Executor>
ResourceManager(const Executor&, const StreamingConfig&, const ResourceManagerOptions&) -> ResourceManager<>;
template <class Executor, TimeSource Time>
ResourceManager(const Executor&, const StreamingConfig&, const ResourceManagerOptions&, Time)
    -> ResourceManager<NoConnections, Time>;
template <class Executor, ConnectionFactory Factory>
ResourceManager(const Executor&, const StreamingConfig&, Factory) -> ResourceManager<Factory>;
template <class Executor, ConnectionFactory Factory>
ResourceManager(const Executor&, const StreamingConfig&, Factory, const ResourceManagerOptions&)
    -> ResourceManager<Factory>;
template <class Executor, ConnectionFactory Factory, TimeSource Time>
ResourceManager(const Executor&, const StreamingConfig&, Factory, const ResourceManagerOptions&, Time)
    -> ResourceManager<Factory, Time>;

} // namespace velostream
