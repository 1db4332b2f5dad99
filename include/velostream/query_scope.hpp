// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What one query may use. Of trivial members, so that it may stand in a `co_await`.
struct QueryLimits {
    /// What errors and figures call it. It is copied by the call that gets it, and need not live longer.
    std::string_view name = "query";

    /// MiB that it may hold, below the limit of the process. Legal: ≥ 1 and less than 2^43. Default: no limit of its
    /// own.
    std::optional<std::uint64_t> max_memory_mb = std::nullopt;
};

static_assert(std::is_trivially_copyable_v<QueryLimits>); // g++ 12 ends others twice there

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
    /// For what stays: windows, groups. Its limit is `state_share` of what the query may hold: the smaller of its own
    /// limit and the process's, also after the process's `set_limit`.
    const MemoryAccount& state() const noexcept { return state_; }
    /// For what passes through: buffers, sends, retries. Its limit is `traffic_share` of it, in the same way.
    const MemoryAccount& traffic() const noexcept { return traffic_; }
    /// Records that its windows hold together, one unit each: at most `max_window_buffer_size`.
    const MemoryAccount& window_records() const noexcept { return window_records_; }
    /// Groups that its aggregations hold together, one unit each: at most `max_aggregation_groups`.
    const MemoryAccount& groups() const noexcept { return groups_; }

  private:
    friend class ManagedMemory;
    struct Accounts {
        MemoryAccount memory, state, traffic, window_records, groups, place;
    };
    QueryScope(const Accounts& accounts, MemoryReservation place);

    MemoryAccount memory_, state_, traffic_, window_records_, groups_;
    MemoryAccount place_account_; // so that a refusal can name it
    MemoryReservation place_;
};

} // namespace velostream
