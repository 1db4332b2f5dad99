// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/producer_pool.hpp"

#include <algorithm>
#include <cstdint>

#include "pool_connection.hpp"
#include "queue_bytes.hpp"
#include "together.hpp"
#include "velostream/config/validate.hpp"

namespace velostream::kafka {

namespace {

// FNV-1a: stable, and another one than brokers and clients choose partitions by, so that each producer serves all of
// them.
std::uint64_t hash_of(std::string_view key) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char byte : key) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    return hash ^ hash >> 32;
}

ProducerConfig share_of(const KafkaPoolConfig& pool, ProducerConfig config, const MemoryAccount& account) {
    const auto share = [size = pool.producer_pool_size](auto limit) {
        return std::max<decltype(limit)>(1, limit / size + (limit % size == 0 ? 0 : 1));
    };
    config.max_in_flight = share(config.max_in_flight);
    config.max_in_flight_bytes = share(queue_bytes(config.max_in_flight_bytes, account));
    add_backoff(config.properties, pool.connection_backoff);
    return config;
}

} // namespace

ProducerPool::ProducerPool(asio::any_io_executor executor, const KafkaPoolConfig& pool, const ProducerConfig& config,
                           const MemoryAccount& account)
    : pool_(pool), config_(config) {
    auto problems = validate(pool);
    const auto of_producers = validate(config);
    problems.insert(problems.end(), of_producers.begin(), of_producers.end());
    throw_if_any(problems);
    const auto share = share_of(pool, config, account);
    producers_.reserve(pool.producer_pool_size);
    for (std::size_t made = 0; made < pool.producer_pool_size; ++made)
        producers_.emplace_back(executor, share, account);
}

asio::awaitable<Result<void>> ProducerPool::connect(Duration timeout) const {
    return reach_cluster({.bootstrap_servers = config_.bootstrap_servers,
                          .client_id = config_.client_id,
                          .properties = config_.properties},
                         pool_, timeout);
}

Producer& ProducerPool::producer_for(const NullableBytes& key) noexcept {
    if (key) return producers_[hash_of(*key) % producers_.size()];
    next_ = next_ + 1 == producers_.size() ? 0 : next_ + 1;
    return producers_[next_];
}

asio::awaitable<void> ProducerPool::close(Duration grace) {
    return close_all(get_executor(), producers_, [grace](Producer& producer) { return producer.close(grace); });
}

ProducerStats ProducerPool::get_stats() const {
    ProducerStats sum;
    for (const auto& producer : producers_) {
        const auto stats = producer.get_stats();
        sum.in_flight += stats.in_flight;
        sum.in_flight_bytes += stats.in_flight_bytes;
        sum.in_flight_limit += stats.in_flight_limit;
        sum.charged += stats.charged;
        sum.queued += stats.queued;
        sum.waiting += stats.waiting;
        sum.sent += stats.sent;
        sum.failed += stats.failed;
        sum.given_up += stats.given_up;
        sum.late_deliveries += stats.late_deliveries;
        sum.sent_alone += stats.sent_alone;
        sum.sent_again += stats.sent_again;
        sum.reopened += stats.reopened;
        if (sum.last_problem.empty()) sum.last_problem = stats.last_problem;
    }
    return sum;
}

} // namespace velostream::kafka
