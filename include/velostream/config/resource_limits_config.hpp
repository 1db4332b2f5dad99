// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace velostream {

/// Limits beside the memory limit itself.
struct ResourceLimitsConfig {
    /// Queries that may be open at once; `open_query` refuses one more. Legal: ≥ 1. Default 100.
    std::size_t max_concurrent_queries = 100;

    /// Records that the windows of one query may hold together; what holds them charges `QueryScope::window_records`,
    /// or the manager's account of that name where there are no queries. Legal: ≥ 1. Default 1 000 000.
    std::size_t max_window_buffer_size = 1'000'000;

    /// Groups that the aggregations of one query may hold together in memory; a new group beyond it is refused. What
    /// holds them charges `QueryScope::groups`, or the manager's account of that name where there are no queries, as
    /// `examples/orders` does. Legal: ≥ 1. Default 50 000.
    std::size_t max_aggregation_groups = 50'000;

    /// Connections of the default pool. Legal: ≥ 1. Default 20. Raise it when borrowers wait and the server has room.
    std::size_t connection_pool_size = 20;

    /// The fraction of the limit at which pressure is high. Legal: 0 < x < 0.95 (critical). Default 0.8.
    double memory_pressure_threshold = 0.8;
};

} // namespace velostream
