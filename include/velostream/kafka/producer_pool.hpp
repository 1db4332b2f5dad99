// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/kafka_pool_config.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/kafka/producer_config.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::kafka {

/// Several producers that are used as one: records of one key always go through the same, and so keep their order.
/// Those without a key take turns.
///
/// One producer is rarely what limits: each costs a thread for every broker. Two or more pay where one client thread
/// is at its end, as with compression or TLS at a high rate.
///
/// Threads, lifetime: as `Producer`.
class ProducerPool {
  public:
    /// `producer_pool_size` producers. `max_in_flight`, `max_in_flight_bytes` and `account` are those of the pool: each
    /// producer has an equal share of the first two. `connection_backoff` is what the clients wait between attempts to
    /// connect; from there up to ten times as long.
    ///
    /// Throws `std::invalid_argument` that lists every problem of both configs.
    ProducerPool(asio::any_io_executor executor, const KafkaPoolConfig& pool, const ProducerConfig& config,
                 const MemoryAccount& account = {});

    /// Sees whether the cluster answers, up to 1 + `connection_retry_attempts` times, `connection_backoff` apart, for
    /// `timeout` each. Needed by nobody: a send waits for its connection. For a program that would rather end at its
    /// start than wait.
    ///
    /// Errors:       as `Admin::reach`, with the attempts.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<void>> connect(Duration timeout = std::chrono::seconds{10}) const;

    /// As `Producer::send`.
    template <class SomeRecord>
    asio::awaitable<Result<Delivery>> send(const SomeRecord& record) {
        return producer_for(record_view(record).key).send(record);
    }
    template <class SomeRecord>
    asio::awaitable<Result<Delivery>> send(const SomeRecord& record, const CallContext& call) {
        return producer_for(record_view(record).key).send(record, call);
    }

    /// As `Producer::async_send`.
    template <class Token>
    auto async_send(const Record& record, Token&& token) {
        return producer_for(record_view(record).key).async_send(record, std::forward<Token>(token));
    }
    template <class SomeRecord, class Token>
    auto async_send(const SomeRecord& record, const CallContext& call, Token&& token) {
        return producer_for(record_view(record).key).async_send(record, call, std::forward<Token>(token));
    }

    /// The one for records with this key; for none, the next in turn.
    Producer& producer_for(const NullableBytes& key) noexcept;

    std::size_t size() const noexcept { return producers_.size(); }

    /// Closes all of them at once, as `Producer::close`.
    asio::awaitable<void> close(Duration grace = std::chrono::seconds{30});

    /// The sum of all; of `last_problem` the first that there is.
    ProducerStats get_stats() const;

    asio::any_io_executor get_executor() const { return producers_.front().get_executor(); }

  private:
    KafkaPoolConfig pool_;
    ProducerConfig config_;
    std::vector<Producer> producers_;
    std::size_t next_ = 0; // of those without a key
};

} // namespace velostream::kafka
