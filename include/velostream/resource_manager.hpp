// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "velostream/async/time_source.hpp"
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
    explicit ResourceManager(asio::any_io_executor executor, const StreamingConfig& config,
                             const ResourceManagerOptions& options = {}, Time time = {})
        requires(!has_connections)
        : ManagedMemory(config, options, [time] { return time.coarse_now(); }),
          connections_("connections", config.max_connections) {
        static_cast<void>(executor); // nothing here runs without connections
    }

    /// The same with connections, which `factory` makes, in a pool as `config.effective_connection_pool()` says.
    ResourceManager(asio::any_io_executor executor, const StreamingConfig& config, Factory factory,
                    const ResourceManagerOptions& options = {}, Time time = {})
        requires has_connections
        : ManagedMemory(config, options, [time] { return time.coarse_now(); }),
          connections_("connections", config.max_connections),
          pool_(std::move(executor), config.effective_connection_pool(), std::move(factory), connections_,
                std::move(time)) {}

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
