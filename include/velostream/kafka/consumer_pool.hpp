// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/config/kafka_pool_config.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/consumer_config.hpp"

namespace velostream::kafka {

/// Several members of one consumer group that are used as one: the partitions are shared out among them.
///
/// One member reads as fast as its client thread parses; more pay where that is at its end, and partitions are enough.
///
/// Threads, lifetime: as `Consumer`.
class ConsumerPool {
  public:
    /// `consumer_pool_size` members. `fetch_queue_bytes`, chosen or by the `budget` as for a `Consumer`, is that of the
    /// pool: each has an equal share, but 1 KiB at least. `connection_backoff` is what the clients wait between
    /// attempts to connect; from there up to ten times as long.
    ///
    /// Throws `std::invalid_argument` that lists every problem of both configs.
    ConsumerPool(asio::any_io_executor executor, const KafkaPoolConfig& pool, const ConsumerConfig& config,
                 const MemoryAccount& budget = {});

    /// As `ProducerPool::connect`.
    asio::awaitable<Result<void>> connect(Duration timeout = std::chrono::seconds{10}) const;

    /// As `Consumer::for_each`, over the records of all members. `max_in_flight` is that of the pool: each has an equal
    /// share, the next whole one. The first failure ends the loops of all, as `stop` does, so that this pool gives out
    /// no more records; it is what this ends with when they have ended. A loop for which there is no memory is a
    /// failure.
    ///
    /// `handler` is copied for each member.
    template <RecordHandler Handler>
        requires std::copy_constructible<Handler>
    asio::awaitable<Result<void>> for_each(ForEachOptions options, Handler handler) {
        options.max_in_flight = share_of(options.max_in_flight);
        std::vector<asio::awaitable<Result<void>>> loops;
        loops.reserve(members_.size());
        for (auto& member : members_) loops.push_back(member.for_each(options, handler));
        return run_all(std::move(loops));
    }

    /// For each member, as those of `Consumer`.
    void stop();
    void pause();
    void resume();

    std::size_t size() const noexcept { return members_.size(); }
    Consumer& operator[](std::size_t index) noexcept { return members_[index]; }

    /// Of all members, in no order.
    std::vector<PartitionPosition> assignment() const;

    /// True if partitions were read to their end by every member that has any, and one has. Needs `report_ends`. As
    /// with `Consumer::end_reached`, partitions that no member has (yet) are not asked for: see the size of
    /// `assignment`.
    bool end_reached() const;

    /// Closes all of them at once, as `Consumer::close`.
    asio::awaitable<void> close(Duration at_most = std::chrono::seconds{10});

    /// The sum of all; of `last_problem` the first that there is.
    ConsumerStats get_stats() const;

    asio::any_io_executor get_executor() const { return members_.front().get_executor(); }

  private:
    std::size_t share_of(std::size_t limit) const;
    asio::awaitable<Result<void>> run_all(std::vector<asio::awaitable<Result<void>>> loops);

    KafkaPoolConfig pool_;
    ConsumerConfig config_;
    std::vector<Consumer> members_;
};

} // namespace velostream::kafka
