// SPDX-License-Identifier: Apache-2.0
#include "velostream/connection_pool_report.hpp"

#include <chrono>
#include <new>
#include <string>

#include "velostream/config/validate.hpp"
#include "velostream/core/backoff_random.hpp"

namespace velostream::detail {

namespace {

std::string milliseconds_of(Duration duration) {
    return std::to_string(std::chrono::floor<std::chrono::milliseconds>(duration).count()) + " ms";
}

} // namespace

PoolRules rules_of(const ConnectionPoolConfig& config) noexcept {
    return {.max_size = config.max_size,
            .min_idle = config.effective_min_idle(),
            .connect_limit = config.effective_connect_limit(),
            .max_waiters = config.effective_max_waiters(),
            .connection_timeout = config.connection_timeout,
            .validation_window = config.validation_window,
            .idle_timeout = config.idle_timeout,
            .max_lifetime = config.max_lifetime,
            .keepalive = config.keepalive,
            .leak_threshold = config.leak_threshold,
            .max_lifetime_jitter = config.max_lifetime_jitter};
}

std::uint64_t pool_seed(const std::optional<std::uint64_t>& given) noexcept {
    return given ? *given : BackoffRandom{}.next();
}

ConnectFault fault_of(const Error& error) noexcept {
    const auto type = error.type();
    const bool refuses_us = type == ErrorType::authentication || type == ErrorType::authorization;
    return refuses_us ? ConnectFault::misconfigured : ConnectFault::passing;
}

Error PoolReport::as(Errc why) const noexcept {
    if (why == Errc::pool_closed) return why;
    try {
        auto text = waited ? "waited " + milliseconds_of(*waited) : std::string{"refused at once"};
        text += " (connection_timeout " + milliseconds_of(connection_timeout) + ") with " +
                std::to_string(figures.active) + " active, " + std::to_string(figures.idle) + " idle, " +
                std::to_string(figures.connecting) + " connecting, " + std::to_string(figures.waiting) +
                " waiting of max_size " + std::to_string(max_size);
        if (pending) text += "; a connect has been under way for " + milliseconds_of(*pending);
        if (waits_for_room) text += "; there is no room for another connection beside those of other pools";
        if (is_misconfigured) text += "; the server does not accept who we are";
        const Error error{why, std::move(text)};
        return last_connect_error ? error.with_inner(*last_connect_error) : error;
    } catch (const std::bad_alloc&) { // he is told all the same
        return why;
    }
}

void check_max_size(const ConnectionPoolConfig& config, std::size_t max_size) {
    auto resized = config;
    resized.max_size = max_size;
    throw_if_any(validate(resized));
}

Error not_drained(std::size_t connections, Duration drain) noexcept {
    try {
        return {Errc::deadline_exceeded,
                std::to_string(connections) + " connections are still there after " + milliseconds_of(drain)};
    } catch (const std::bad_alloc&) {
        return Errc::deadline_exceeded;
    }
}

} // namespace velostream::detail
