// SPDX-License-Identifier: Apache-2.0
#include "pool_connection.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

namespace velostream::kafka {

void add_backoff(Properties& properties, Duration backoff) {
    if (properties.contains("reconnect.backoff.ms") || properties.contains("reconnect.backoff.max.ms")) return;
    constexpr std::int64_t longest = 3'600'000; // of the client library
    const auto first =
        std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(backoff).count(), 1, longest);
    properties.emplace("reconnect.backoff.ms", std::to_string(first));
    properties.emplace("reconnect.backoff.max.ms", std::to_string(std::min(10 * first, longest)));
}

asio::awaitable<Result<void>> reach_cluster(AdminConfig config, KafkaPoolConfig pool, Duration timeout) {
    // A test of the connection is no producer, and has no use for what only these know.
    const Admin admin{{.bootstrap_servers = config.bootstrap_servers,
                       .client_id = config.client_id,
                       .properties = std::move(config.properties)}};
    for (std::size_t attempt = 1;; ++attempt) {
        auto reaching = admin.reach(timeout);
        const auto reached = co_await std::move(reaching);
        if (reached) co_return reached;
        if (attempt > pool.connection_retry_attempts) {
            constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
            co_return reached.error().with_attempts(static_cast<std::uint32_t>(std::min(attempt, most)));
        }
        asio::steady_timer pause{co_await asio::this_coro::executor};
        pause.expires_after(pool.connection_backoff);
        auto waiting = pause.async_wait(asio::use_awaitable);
        co_await std::move(waiting);
    }
}

} // namespace velostream::kafka
