// SPDX-License-Identifier: Apache-2.0
#include "velostream/connection_pool.hpp"

#include <chrono>
#include <string>

namespace velostream::detail {

namespace {

std::string milliseconds(Duration duration) {
    return std::to_string(std::chrono::floor<std::chrono::milliseconds>(duration).count()) + " ms";
}

} // namespace

Error pool_timeout(const ConnectionPoolConfig& config, const ConnectionPoolStats& stats, Duration waited,
                   const std::optional<Error>& last_connect_error) {
    auto text = "waited " + milliseconds(waited) + " (connection_timeout " + milliseconds(config.connection_timeout) +
                ") with " + std::to_string(stats.active) + " active, " + std::to_string(stats.idle) + " idle, " +
                std::to_string(stats.connecting) + " connecting, " + std::to_string(stats.waiting) +
                " waiting of max_size " + std::to_string(config.max_size);
    const Error error{Errc::pool_timeout, std::move(text)};
    return last_connect_error ? error.with_inner(*last_connect_error) : error;
}

Error pool_closed() {
    return Errc::pool_closed;
}

Error connect_failed(const Error& cause) {
    return Error{Errc::connect_failed}.with_inner(cause);
}

} // namespace velostream::detail
