// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What a `ConnectionPool` may be told beside its config.
struct ConnectionPoolOptions {
    /// In events and errors.
    std::string name = "connections";

    std::shared_ptr<Observer> observer = nullptr;

    /// One unit of it is taken for each connection: pools that are given accounts of one tree share its limit, and
    /// stand in line for a place that comes free.
    MemoryAccount places = {};

    /// Is charged `connection_memory` for each connection, and about 500 bytes for each borrower who waits.
    MemoryAccount memory = {};

    /// Is told how each connect ended, but for those that were given up; on the pool's executor, without a lock. Must
    /// not throw. `feed` makes one.
    std::function<void(const Result<void>&)> on_connect = nullptr;

    /// Of the pool's chances. Unset: every pool has its own.
    std::optional<std::uint64_t> seed = std::nullopt;
};

/// Lets a circuit breaker judge connects, also those that nobody waits for: so that it opens when the server goes, and
/// is told when it is back. What an open circuit refuses it is not told. The breaker must outlive the pool.
///
/// `ConnectionPoolOptions options{.on_connect = feed(breaker)};`
template <class Breaker>
std::function<void(const Result<void>&)> feed(Breaker& breaker) {
    return [&breaker](const Result<void>& connected) {
        auto permit = breaker.try_acquire();
        if (!permit) return;
        if (connected)
            permit->success();
        else
            permit->failure(connected.error());
    };
}

} // namespace velostream
