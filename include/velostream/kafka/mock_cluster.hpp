// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka {

/// A Kafka cluster inside this process, for trying things and for tests: brokers that listen on loopback, keep their
/// topics in memory and fail when asked to.
///
/// It is librdkafka's mock cluster, with its limits: 5 MiB are kept per partition (older batches are dropped without a
/// word), topics appear with 4 partitions when first used, there is no admin API, no TLS, SASL or ACL, an idempotent
/// producer's duplicates are not removed, and aborted transactions stay visible.
///
/// Threads:  safe. Its own threads take no signals of the process.
/// Lifetime: clients may outlive it; they then see brokers that are down. Its destruction does not wait.
class MockCluster {
  public:
    /// `brokers` (at least one) brokers with the ids 1, 2, …. Throws `std::runtime_error` if it cannot be started.
    explicit MockCluster(int brokers = 3);
    MockCluster(MockCluster&&) noexcept;
    MockCluster& operator=(MockCluster&&) noexcept;
    ~MockCluster();

    /// What clients connect to: `127.0.0.1:40001,127.0.0.1:40002`.
    const std::string& bootstrap_servers() const noexcept;
    int brokers() const noexcept;

    /// `name`: 1 to 249 letters, digits and `.`, `_`, `-`; `partitions`: 1 to 10 000.
    ///
    /// Errors: a `KafkaErrc` code, such as `topic_already_exists`.
    Result<void> create_topic(std::string_view name, int partitions);

    /// Closes the connections of a broker, and takes no new ones until `broker_up`. These four block until the
    /// cluster's own thread has done it: mostly for less than a millisecond, but for about a second at times.
    void broker_down(int broker);
    void broker_up(int broker);
    void all_brokers_down();
    void all_brokers_up();

    /// Every answer of the brokers is late by this much. Legal: ≥ 0, in whole milliseconds.
    void set_round_trip_time(Duration delay);

    /// The next produce requests fail with these codes, one each, whichever broker they reach. A code of 0 lets one
    /// pass; `client_disconnect` closes the connection instead of answering, and writes nothing.
    static constexpr KafkaErrc client_disconnect{-195};
    void fail_next_produce_requests(std::span<const KafkaErrc> codes);
    void fail_next_produce_requests(std::initializer_list<KafkaErrc> codes);

    /// From now on a produce request fails with probability `rate`, with one of `codes` drawn from a generator seeded
    /// with `seed`. Codes that the client retries by itself are seen as delays only. A rate of 0 ends it. What
    /// `fail_next_produce_requests` was given is forgotten.
    void fail_produce_requests(double rate, std::uint64_t seed, std::vector<KafkaErrc> codes);

  private:
    class State;
    std::unique_ptr<State> state_;
};

} // namespace velostream::kafka
