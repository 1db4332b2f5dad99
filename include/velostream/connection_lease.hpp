// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

template <ConnectionFactory Factory, TimeSource Time>
class ConnectionPool;

namespace detail {

/// A connection with what its pool knows about it.
template <class Connection>
struct PooledConnection {
    PooledConnection(Connection&& opened, MemoryAccount places, MemoryReservation taken)
        : connection(std::move(opened)), account(std::move(places)), place(std::move(taken)) {}

    Connection connection;
    MemoryAccount account;
    MemoryReservation place; // among all connections of all pools
    TimePoint idle_since{};
    bool needs_check = false;
};

template <class Connection>
class PoolOfLeases {
  public:
    virtual ~PoolOfLeases() = default;
    virtual void give_back(std::unique_ptr<PooledConnection<Connection>> pooled, bool broken) noexcept = 0;
};

} // namespace detail

/// A connection that is lent out, until this object ends. Move-only.
///
/// Threads:  belongs to one coroutine at a time.
/// Lifetime: it may outlive its pool, and the execution context of that as well, if the connection itself may.
template <class Connection>
class ConnectionLease {
  public:
    /// No connection: only to be assigned to.
    ConnectionLease() noexcept = default;
    ConnectionLease(ConnectionLease&&) noexcept = default;
    ConnectionLease& operator=(ConnectionLease&& other) noexcept {
        if (this == &other) return *this;
        give_back();
        pool_ = std::move(other.pool_);
        pooled_ = std::move(other.pooled_);
        broken_ = other.broken_;
        return *this;
    }
    ~ConnectionLease() { give_back(); }

    /// False when it was moved from or given back.
    explicit operator bool() const noexcept { return pooled_ != nullptr; }
    Connection& operator*() const noexcept { return pooled_->connection; }
    Connection* operator->() const noexcept { return &pooled_->connection; }

    /// Says that the connection is of no use any more: it is closed when the lease ends, and nobody else gets it.
    void mark_broken() noexcept { broken_ = true; }

    /// Ends the lease now.
    void give_back() noexcept {
        if (pooled_) std::exchange(pool_, nullptr)->give_back(std::move(pooled_), broken_);
    }

  private:
    template <ConnectionFactory, TimeSource>
    friend class ConnectionPool;
    using Pooled = detail::PooledConnection<Connection>;

    ConnectionLease(std::shared_ptr<detail::PoolOfLeases<Connection>> pool, std::unique_ptr<Pooled> pooled) noexcept
        : pool_(std::move(pool)), pooled_(std::move(pooled)) {}

    std::shared_ptr<detail::PoolOfLeases<Connection>> pool_;
    std::unique_ptr<Pooled> pooled_; // null after a move or the end of the lease
    bool broken_ = false;
};

} // namespace velostream
