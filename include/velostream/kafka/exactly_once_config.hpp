// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/consumer_config.hpp"
#include "velostream/kafka/producer_config.hpp"

namespace velostream::kafka {

/// What is read and written in transactions, under which name, and how large they are.
///
/// A transaction is committed when the first of `commit_interval`, `max_records` and `max_bytes` is reached, when
/// partitions are asked back, and at `stop`.
struct ExactlyOnceConfig {
    /// The name under which the brokers know this instance. Must not be empty. Each of the instances that run at the
    /// same time needs one of its own, and the same one again when it is restarted: whoever comes with it takes the
    /// place of its last owner, whose open transaction is aborted.
    std::string transactional_id = {};

    /// What is read. `commit_interval` in it has no effect. Only `isolation.level=read_committed` and an eager
    /// assignment (`range`, `roundrobin`) are legal in its properties; both are the defaults.
    ConsumerConfig consumer = {};

    /// How outputs are written. `bootstrap_servers` may stay empty: the consumer's. Otherwise they must be of the same
    /// cluster. `delivery_timeout` must be ≤ `transaction_timeout`.
    ProducerConfig producer = {};

    /// How long after its first record a transaction is committed. Legal: ≥ 1 ms and < `transaction_timeout`. Default
    /// 100 ms. Longer: fewer commits, which cost a few round trips each, and outputs that are seen later.
    Duration commit_interval = std::chrono::milliseconds{100};

    /// Records read in one transaction. Legal: ≥ 1. Default 10 000.
    std::size_t max_records = 10'000;

    /// Their bytes, by `ConsumedRecord::size_bytes`; the last one may pass it. Legal: ≥ 1. Default 16 MiB.
    Bytes max_bytes = 16 * mebibyte;

    /// A transaction that is as old is aborted, by the brokers if not by its processor, so it must be longer than
    /// handlers take. Readers of the outputs wait for as long behind an instance that died and was not restarted, or a
    /// record that is held. Legal: ≥ 1 s, and what the brokers allow
    /// (`transaction.max.timeout.ms`, by default 15 minutes). Default 60 s.
    Duration transaction_timeout = std::chrono::seconds{60};
};

/// All problems of a config, as for the other configs; those of `consumer` and `producer` with their path.
std::vector<ConfigProblem> validate(const ExactlyOnceConfig& config);

} // namespace velostream::kafka
