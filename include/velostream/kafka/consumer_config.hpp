// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/defaulted.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream::kafka {

/// Where a partition is read from if its group has committed nothing yet.
enum class OffsetReset : std::uint8_t { earliest, latest, fail };

/// What a consumer reads, as whom, and how much it fetches ahead.
struct ConsumerConfig {
    /// `host:port`, comma-separated. Must not be empty.
    std::string bootstrap_servers = {};

    /// The consumer group. Must not be empty.
    std::string group_id = {};

    /// At least one. A name that begins with `^` is a regular expression.
    std::vector<std::string> topics = {};

    /// The name that brokers see in their logs and quotas.
    std::string client_id = "velostream";

    /// Default earliest: a new group loses nothing.
    OffsetReset offset_reset = OffsetReset::earliest;

    /// A member that the brokers do not hear of for this long loses its partitions. Legal: ≥ 10 ms, and what the
    /// brokers allow. Default 45 s.
    Duration session_timeout = std::chrono::seconds{45};

    /// How often what is done is committed; it is also when partitions are revoked and at `close`. Legal: ≥ 10 ms.
    /// Default 5 s. Shorter: fewer records come again after a crash.
    Duration commit_interval = std::chrono::seconds{5};

    /// How long a broker holds a fetch for which it has nothing. Legal: ≥ 1 ms. Default 100 ms. librdkafka's mock
    /// cluster always waits it out: set 5 ms there.
    Duration fetch_wait = std::chrono::milliseconds{100};

    /// Bytes fetched ahead, over all partitions. Fetching stops above it, so it may be passed by one fetch. Legal:
    /// ≥ 1 KiB and < 2 GiB. Default: a sixteenth of the consumer's memory budget, but at least 1 MiB and at most 64
    /// MiB; 64 MiB without a budget.
    Defaulted<Bytes> fetch_queue_bytes = Defaulted<Bytes>::by_default(64 * mebibyte);

    /// Notes where partitions end, for `Consumer::end_reached`. Default false: it costs one event at each end.
    bool report_ends = false;

    /// Anything else that the client library can be told, except what this class does itself: offsets and events.
    Properties properties = {};
};

/// All problems of a config, as for the other configs. Properties are judged by the client library; a secret value is
/// never quoted, nor that of a name which the library does not have.
std::vector<ConfigProblem> validate(const ConsumerConfig& config);

} // namespace velostream::kafka
