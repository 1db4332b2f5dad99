// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/connection_claim.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/core/breaker_memory.hpp"
#include "velostream/core/pool_plan.hpp"

namespace velostream {

namespace detail {

template <ConnectionFactory Factory, TimeSource Time, class Memory>
class ConnectionPoolState;

/// A connection with what its pool knows about it.
template <class Connection>
struct PooledConnection {
    PooledConnection(Connection&& opened, ConnectionRoom taken, PoolSlot number)
        : room(std::move(taken)), connection(std::move(opened)), slot(number) {}

    ConnectionRoom room; // free again when the connection has gone
    Connection connection;
    const PoolSlot slot;
    std::source_location borrowed_at{}; // the last time that the plan was told

    // Of whoever has it: its borrower, or who took it from the warm place. What the plan is not told before it is asked
    // again.
    TimePoint seen_well{};                    // by a borrower, or as the plan says
    TimePoint warm_until{};                   // who gives it back later tells the plan
    bool was_used = false;                    // since it was lent by the plan
    std::atomic<std::uint64_t> lent_warm = 0; // how often without the plan: written by whoever has it, read by anyone

    void is_used_at(TimePoint now) noexcept {
        seen_well = now;
        was_used = true;
    }
    void count_warm_loan() noexcept {
        lent_warm.store(lent_warm.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); // counts only
    }
};

template <class Connection>
class LendingPool {
  public:
    virtual void give_back(PooledConnection<Connection>& pooled, PoolPlan::Return how) noexcept = 0;

  protected:
    ~LendingPool() = default;
};

} // namespace detail

/// A connection that is lent out, until this object ends. Move-only. One that was not even looked at goes back as it
/// is, without a reset.
///
/// Threads:  belongs to one coroutine at a time.
/// Lifetime: it may outlive its pool, and the execution context of that as well, if the connection itself may.
template <class Connection>
class ConnectionLease {
  public:
    /// No connection: only to be assigned to.
    ConnectionLease() noexcept = default;
    ConnectionLease(ConnectionLease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), pooled_(other.pooled_), how_(other.how_) {}
    ConnectionLease& operator=(ConnectionLease&& other) noexcept {
        if (this == &other) return *this;
        give_back();
        pool_ = std::exchange(other.pool_, nullptr);
        pooled_ = other.pooled_;
        how_ = other.how_;
        return *this;
    }
    ~ConnectionLease() { give_back(); }

    /// False when it was moved from, given back or detached.
    explicit operator bool() const noexcept { return pool_ != nullptr; }
    Connection& operator*() const noexcept {
        if (how_ == PoolPlan::Return::as_it_was) how_ = PoolPlan::Return::used;
        return pooled_->connection;
    }
    Connection* operator->() const noexcept { return &**this; }

    /// Says that the connection is of no use any more: it is closed when the lease ends, and nobody else gets it.
    void mark_broken() noexcept { how_ = PoolPlan::Return::broken; }

    /// Takes the connection out of the pool for good, and ends the lease: it is the caller's own, who sees to its end,
    /// and counts for no limit any more. Throws what moving it throws, and then nothing has changed.
    [[nodiscard]] Connection detach() {
        Connection own = std::move(pooled_->connection);
        std::exchange(pool_, nullptr)->give_back(*pooled_, PoolPlan::Return::detached);
        return own;
    }

    /// Ends the lease now.
    void give_back() noexcept {
        if (pool_) std::exchange(pool_, nullptr)->give_back(*pooled_, how_);
    }

  private:
    template <ConnectionFactory, TimeSource, class>
    friend class detail::ConnectionPoolState;
    using Pooled = detail::PooledConnection<Connection>;

    ConnectionLease(detail::LendingPool<Connection>& pool, Pooled& pooled) noexcept : pool_(&pool), pooled_(&pooled) {}

    detail::LendingPool<Connection>* pool_ = nullptr; // which is there as long as any of its connections
    Pooled* pooled_ = nullptr;
    mutable PoolPlan::Return how_ = PoolPlan::Return::as_it_was; // how it would be given back now
};

} // namespace velostream
