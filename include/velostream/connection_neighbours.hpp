// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
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

    /// How many are kept in mind everywhere, those that have gone included: there should be none of them.
    static std::size_t known() noexcept;

  protected:
    ConnectionNeighbour() = default;
    ConnectionNeighbour(const ConnectionNeighbour&) = delete;
    ConnectionNeighbour& operator=(const ConnectionNeighbour&) = delete;
    ~ConnectionNeighbour();

  private:
    const void* root_ = nullptr; // of its tree, once it has joined
};

} // namespace velostream::detail
