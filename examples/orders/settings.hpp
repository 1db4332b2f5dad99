// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "program/cluster.hpp"
#include "program/options.hpp"
#include "velostream/kafka/producer_config.hpp"
#include "velostream/velostream.hpp"

namespace orders {

/// What the job asks of the library: dead letters go to `dead_letter_topic`.
velostream::StreamingConfig job_config(const Options& options, const std::string& dead_letter_topic);

/// `timeout` is that of a try.
velostream::kafka::ProducerConfig producer_config(const Options& options, const Cluster& cluster,
                                                  velostream::Duration timeout);

// How the memory that passes through is shared out. Why so: docs/decisions/orders-job.md.

inline constexpr std::size_t most_handlers = 8'192;
/// What a handler holds beside its record: the total that it sends, its coroutines, the client's copy, and a look-up.
velostream::Bytes handler_bytes(const Options& options);

/// Of lines that were read and not sent, and of those that were sent and not acknowledged: as much as is of use, and no
/// more than a small part of a small limit.
velostream::Bytes reader_bytes(const Options& options);
velostream::Bytes source_bytes(const Options& options);

/// Connections to the database of `--lookup`, and what all of them hold.
std::size_t lookup_connections(const Options& options);
velostream::Bytes lookup_bytes(const Options& options);

/// When a database counts as gone, and is asked again.
velostream::CircuitBreakerConfig lookup_breaker_config();

/// With less, the producer of dead letters would send a few at a time, or refuse them while lines in progress have all.
bool are_dead_letters_charged(const Options& options);

} // namespace orders
