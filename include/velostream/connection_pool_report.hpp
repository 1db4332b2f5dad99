// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/config/connection_pool_config.hpp"
#include "velostream/core/pool_types.hpp"

// What connection pools of all kinds have in common: by what they go, and what they say.
namespace velostream::detail {

PoolRules rules_of(const ConnectionPoolConfig& config) noexcept;
std::uint64_t pool_seed(const std::optional<std::uint64_t>& given) noexcept;
ConnectFault fault_of(const Error& error) noexcept;

/// What a borrower is told who gets no connection.
struct PoolReport {
    Duration connection_timeout{};
    std::optional<Duration> waited{}; // unset: not at all
    PoolFigures figures{};
    std::size_t max_size = 0;
    std::optional<Duration> pending{}; // how long the oldest connect that is under way has been
    bool waits_for_room = false;
    bool is_misconfigured = false;
    const Error* last_connect_error = nullptr;

    Error as(Errc why) const noexcept;
};

// Throws `std::invalid_argument` if a pool of this config could not have that size.
void check_max_size(const ConnectionPoolConfig& config, std::size_t max_size);
Error not_drained(std::size_t connections, Duration drain) noexcept;

} // namespace velostream::detail
