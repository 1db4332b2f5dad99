// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What one query may use.
struct QueryLimits {
    /// What errors and figures call it.
    std::string name = "query";

    /// MiB that it may hold, below the limit of the process. Legal: ≥ 1 and less than 2^43. Default: no limit of its
    /// own.
    std::optional<std::uint64_t> max_memory_mb = std::nullopt;
};

/// An open query: one of `max_concurrent_queries`, and the accounts that it charges. Move-only. Its place is free when
/// it ends; what its accounts still hold counts until it comes back. It may outlive its manager.
///
/// Threads: belongs to one thread or coroutine at a time; its accounts are safe to share.
class QueryScope {
  public:
    QueryScope(QueryScope&&) noexcept = default;
    QueryScope& operator=(QueryScope&&) noexcept = default;

    std::string_view name() const noexcept { return memory_.name(); }
    /// All that the query holds, below the account of the process.
    const MemoryAccount& memory() const noexcept { return memory_; }
    /// For what stays: windows, groups. Its limit is `state_share` of what the query may hold.
    const MemoryAccount& state() const noexcept { return state_; }
    /// For what passes through: buffers, sends, retries. Its limit is `traffic_share` of it.
    const MemoryAccount& traffic() const noexcept { return traffic_; }

  private:
    friend class ManagedMemory;
    QueryScope(MemoryAccount memory, std::optional<Bytes> state_limit, std::optional<Bytes> traffic_limit,
               MemoryReservation place);

    MemoryAccount memory_, state_, traffic_;
    MemoryReservation place_;
};

} // namespace velostream
