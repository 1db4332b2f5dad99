// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// The accounts of a query whose limits are parts of what the query may hold.
struct QueryShares {
    MemoryAccount state, traffic;
};

/// The queries that are open or hold something, each by handles of ours. Those that have ended and hold nothing any
/// more are dropped whenever as many came as were left the last time.
class QueryAccounts {
  public:
    void add(MemoryAccount memory, QueryShares shares) {
        const std::scoped_lock lock{mutex_};
        if (queries_.size() >= most_) {
            forget_ended();
            most_ = std::max<std::size_t>(16, 2 * queries_.size());
        }
        queries_.push_back({std::move(memory), std::move(shares)});
    }
    std::vector<MemoryAccount> all() {
        const std::scoped_lock lock{mutex_};
        forget_ended();
        std::vector<MemoryAccount> accounts;
        accounts.reserve(queries_.size());
        for (const auto& query : queries_) accounts.push_back(query.memory);
        return accounts;
    }
    /// Calls `set(memory, shares)` for each query that has shares still. It must not come back to this object.
    template <class Set>
    void for_each_share(Set set) noexcept {
        const std::scoped_lock lock{mutex_};
        for (const auto& query : queries_) {
            if (query.shares) set(query.memory, *query.shares);
        }
    }

  private:
    struct Query {
        MemoryAccount memory;
        std::optional<QueryShares> shares;
    };

    // Who has no handle makes none, and without bytes of it nobody knows it.
    static bool has_ended(const MemoryAccount& account) { return account.is_last_handle() && account.used() == 0; }
    void forget_ended() {
        std::erase_if(queries_, [](Query& query) {
            // They are children of the query's account, and so handles of it.
            if (query.shares && has_ended(query.shares->state) && has_ended(query.shares->traffic))
                query.shares.reset();
            return has_ended(query.memory);
        });
    }

    std::mutex mutex_; // guards what follows
    std::vector<Query> queries_;
    std::size_t most_ = 16;
};

} // namespace velostream
