// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/sender.hpp"

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <utility>

namespace velostream::dlq {

namespace {

kafka::ProducerConfig config_of(const Cluster& cluster) {
    return {.bootstrap_servers = cluster.brokers,
            .client_id = "velostream-dlq",
            .delivery_timeout = cluster.timeout,
            .properties = cluster.properties};
}

} // namespace

RateLimiterConfig limit_of(std::uint64_t per_second) {
    constexpr std::uint64_t parts = 10;
    return {.permits = per_second, .burst = std::max<std::uint64_t>(per_second / parts, 1), .max_waiting = 1};
}

Sender::Sender(asio::io_context& io, const Cluster& cluster, std::optional<std::uint64_t> per_second)
    : producer_(io.get_executor(), config_of(cluster)) {
    if (per_second) limiter_.emplace(limit_of(*per_second));
}

asio::awaitable<void> Sender::send(std::span<const kafka::Record> records, const std::function<bool()>& goes_on,
                                   const SendEnded& ended) {
    struct Open {
        WaitQueue waiters;
        std::size_t count = 0;
    };
    const auto open = std::make_shared<Open>();
    std::exception_ptr problem;
    try {
        for (std::size_t index = 0; index < records.size(); ++index) {
            if (limiter_) {
                auto turn = limiter_->async_acquire(asio::use_awaitable);
                static_cast<void>(co_await std::move(turn)); // refused only when the program ends
            }
            if (!goes_on()) break;
            producer_.async_send(records[index], [open, index, &ended](const Result<kafka::Delivery>& sent) {
                ended(index, sent);
                if (--open->count == 0) open->waiters.wake_all();
            });
            ++open->count; // no send ends before this has returned
        }
    } catch (...) { // no memory; what was begun looks into what was given
        problem = std::current_exception();
    }
    const auto is_over = [expected = open.get()]() noexcept { return expected->count == 0; };
    co_await open->waiters.async_wait_unless(is_over, asio::use_awaitable);
    if (problem) std::rethrow_exception(problem);
}

asio::awaitable<void> Sender::close() {
    return producer_.close();
}

} // namespace velostream::dlq
