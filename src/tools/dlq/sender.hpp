// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "tools/dlq/topic_reader.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/rate_limiter.hpp"

namespace velostream::dlq {

/// At most so many a second, a tenth of a second's ahead after a pause.
RateLimiterConfig limit_of(std::uint64_t per_second);

/// Is told how the sending of a record has ended.
using SendEnded = std::function<void(std::size_t index, const Result<kafka::Delivery>& sent)>;

/// Sends records side by side, not faster than it may.
class Sender {
  public:
    /// Throws `std::invalid_argument` where the cluster's properties are not legal.
    Sender(asio::io_context& io, const Cluster& cluster, std::optional<std::uint64_t> per_second);

    /// Sends the records in their order and waits until each has ended. `ended` is told how, one by one; `goes_on` is
    /// asked before each, and where it answers false no more are begun.
    ///
    /// Lifetime: what is given must stay until this has ended.
    asio::awaitable<void> send(std::span<const kafka::Record> records, const std::function<bool()>& goes_on,
                               const SendEnded& ended);

    asio::awaitable<void> close();

  private:
    kafka::Producer producer_;
    std::optional<RateLimiter<>> limiter_;
};

} // namespace velostream::dlq
