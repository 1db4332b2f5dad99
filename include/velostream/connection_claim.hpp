// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream::detail {

/// What a connection holds as long as it exists.
struct ConnectionRoom {
    MemoryReservation memory;
    MemoryReservation place; // among all connections of all pools
};

/// Where the connections of a pool find room.
struct ConnectionQuota {
    MemoryAccount memory;
    Bytes bytes = 0; // of each
    MemoryAccount places;

    /// Room for one, now or not at all.
    Result<ConnectionRoom> try_take() const noexcept;
    /// Whether waiting could help who was refused.
    bool may_come() const noexcept;
};

/// A wait for room for one connection: first come first served among the pools, for its memory, then for its place.
///
/// Threads: `on_end` is called by whichever thread makes room, perhaps inside of `wait`: it must not block.
class ConnectionClaim {
  public:
    explicit ConnectionClaim(ConnectionQuota quota) noexcept : quota_(std::move(quota)) {}
    ConnectionClaim(const ConnectionClaim&) = delete;
    ConnectionClaim& operator=(const ConnectionClaim&) = delete;
    virtual ~ConnectionClaim() = default;

    /// Once. Throws `std::bad_alloc`, and then it does not wait.
    static void wait(const std::shared_ptr<ConnectionClaim>& claim);
    /// It waits no longer; `on_end` may be being called at that moment.
    void leave() noexcept;

  private:
    class Wait;

    /// The room, or why there will never be any.
    virtual void on_end(Result<ConnectionRoom> room) noexcept = 0;
    static void begin(const std::shared_ptr<Wait>& wait) noexcept;
    void memory_came(Result<MemoryReservation> memory) noexcept;
    void place_came(Result<MemoryReservation> place) noexcept;

    const ConnectionQuota quota_;
    std::shared_ptr<Wait> for_memory_, for_place_;
    MemoryReservation memory_; // while it waits for the place
    // Each is set before the other is read, so that a wait which begins while its claim leaves is ended by one of them.
    std::atomic<bool> has_left_ = false, waits_for_place_ = false;
};

} // namespace velostream::detail
