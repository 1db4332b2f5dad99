// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "velostream/core/memory_account.hpp"

namespace velostream::detail {

/// Pools whose connections take their places from one tree of accounts. A pool that waits for a place tells the others,
/// who close what they have idle.
///
/// Threads: safe. `on_neighbour_waits` is called without a lock, by the thread that tells.
class ConnectionNeighbour {
  public:
    virtual void on_neighbour_waits() noexcept = 0;

    /// From now on `neighbour` is told, as long as it is there. Throws `std::bad_alloc`.
    static void join(const MemoryAccount& places, const std::shared_ptr<ConnectionNeighbour>& neighbour);
    /// All the others there.
    static void tell(const MemoryAccount& places, const ConnectionNeighbour& who_waits) noexcept;

  protected:
    ~ConnectionNeighbour() = default;
};

} // namespace velostream::detail
