// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <concepts>
#include <exception>
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
/// Lifetime: must end before the execution context of its executor. Allocations, accounts, leases and waits may outlive
///           it: what waits then is granted or refused as before, but nobody is asked to give memory back for it.
/// Errors:   without memory to look after what waits or to ask a reclaimer it does so later. On a strand that ends the
///           program, by a fault of Boost 1.81; on the executor of a context it does not.
template <class Factory = NoConnections, TimeSource Time = SteadyTime>
    requires std::same_as<Factory, NoConnections> || ConnectionFactory<Factory>
class ResourceManager : public ManagedMemory {
  public:
    static constexpr bool has_connections = !std::same_as<Factory, NoConnections>;

    /// Throws `std::invalid_argument` that lists every problem of `config` and `options`.
    explicit ResourceManager(const asio::any_io_executor& executor, const StreamingConfig& config,
                             const ResourceManagerOptions& options = {}, Time time = {})
        requires(!has_connections)
        : ManagedMemory(executor, config, options, detail::ManagerClock::of(time)), time_(std::move(time)) {}

    /// The same with connections, which `factory` makes, in a pool as `config.effective_connection_pool()` says.
    ResourceManager(asio::any_io_executor executor, const StreamingConfig& config, Factory factory,
                    const ResourceManagerOptions& options = {}, Time time = {})
        requires has_connections
        : ManagedMemory(executor, config, options, detail::ManagerClock::of(time)),
          time_(time),
          pool_(
              std::move(executor), config.effective_connection_pool(), std::move(factory),
              ConnectionPoolOptions{.observer = observer(), .places = connections(), .memory = account("connections")},
              std::move(time)) {}

    /// As `allocate_memory`, but waits for room until `deadline` at most, first come first served.
    ///
    /// Completes with: an `Allocation`, or an error as `velostream::async_reserve` has it.
    /// Cancellation:   all kinds, at any moment; leaves nothing behind.
    /// Lifetime:       the manager may end; the wait goes on.
    template <asio::completion_token_for<void(Result<Allocation>)> Token>
    auto async_allocate_memory(std::string_view name, Bytes bytes, TimePoint deadline, Token&& token) {
        const auto from = account(name);
        return wait_for<Allocation>(
            from, bytes, deadline,
            [kept = kept(), account = from, bytes](Result<MemoryReservation> reserved) {
                return allocated(kept, account, bytes, std::move(reserved));
            },
            std::forward<Token>(token));
    }

    /// The same without a deadline.
    template <asio::completion_token_for<void(Result<Allocation>)> Token>
    auto async_allocate_memory(std::string_view name, Bytes bytes, Token&& token) {
        return async_allocate_memory(name, bytes, TimePoint::max(), std::forward<Token>(token));
    }

    /// As `open_query`, but waits for a place until `deadline` at most, first come first served.
    ///
    /// Completes with: a `QueryScope`; or Errc::deadline_exceeded (the refusal inside, which names who has the places),
    ///                 Errc::cancelled, an error of `limits` as `open_query` has it, or
    ///                 `std::errc::not_enough_memory` where there is none for its accounts.
    /// Cancellation, Lifetime: as `async_allocate_memory`.
    template <asio::completion_token_for<void(Result<QueryScope>)> Token>
    auto async_admit(const QueryLimits& limits, TimePoint deadline, Token&& token) {
        auto query = place_for(limits.name);
        return wait_for<QueryScope>(
            query, 1, deadline,
            [kept = kept(), query, max_memory_mb = limits.max_memory_mb](Result<MemoryReservation> place) {
                return admitted(kept, query, max_memory_mb, std::move(place));
            },
            std::forward<Token>(token), illegal(limits));
    }

    /// The same without a deadline.
    template <asio::completion_token_for<void(Result<QueryScope>)> Token>
    auto async_admit(const QueryLimits& limits, Token&& token) {
        return async_admit(limits, TimePoint::max(), std::forward<Token>(token));
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

    // Whoever waits is told, also where there is no memory for what it waited for.
    template <class Granted, class Finish>
    static Result<Granted> finished(Finish& finish, Result<MemoryReservation> reserved) noexcept {
        try {
            return finish(std::move(reserved));
        } catch (...) {
            return Error::from_exception(std::current_exception());
        }
    }

    // Waits for units of `account`, and completes with what `finish` makes of them; or with `refusal` at once.
    template <class Granted, class Finish, class Token>
    auto wait_for(const MemoryAccount& account, Bytes units, TimePoint deadline, Finish finish, Token&& token,
                  std::optional<Error> refusal = std::nullopt) {
        return asio::async_initiate<Token, void(Result<Granted>)>(
            [](auto handler, const MemoryAccount& from, Bytes wanted, TimePoint until, const Time& clock,
               Finish finishing, const std::optional<Error>& refused) {
                const auto executor = asio::get_associated_executor(handler);
                if (refused)
                    return asio::post(executor, [handler = std::move(handler), error = *refused]() mutable {
                        std::move(handler)(Result<Granted>{error});
                    });
                const auto slot = asio::get_associated_cancellation_slot(handler);
                auto then = [finishing = std::move(finishing),
                             handler = std::move(handler)](Result<MemoryReservation> reserved) mutable {
                    auto granted = finished<Granted>(finishing, std::move(reserved));
                    std::move(handler)(std::move(granted));
                };
                async_reserve(from, wanted, until, clock,
                              asio::bind_executor(executor, asio::bind_cancellation_slot(slot, std::move(then))));
            },
            token, account, units, deadline, time_, std::move(finish), std::move(refusal));
    }

    [[no_unique_address]] Time time_;
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
