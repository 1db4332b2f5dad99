// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream::dlq {

/// Whom to ask, and how long to wait for an answer.
struct Cluster {
    std::string brokers;
    kafka::Properties properties;
    Duration timeout = std::chrono::seconds{30};
};

kafka::Admin admin_of(const Cluster& cluster);

/// What the partitions of `topic` hold now.
///
/// Errors: those of `Admin::offsets`. Throws `std::invalid_argument` if the cluster's properties are not legal.
Result<std::vector<kafka::OffsetRange>> ranges_of(const Cluster& cluster, const std::string& topic);

/// Of each range what does not lie before the first record with this timestamp or a later one: nothing where all are
/// older.
///
/// Errors: those of the client library. Throws as `ranges_of`.
Result<std::vector<kafka::OffsetRange>> ranges_since(const Cluster& cluster, const std::string& topic,
                                                     std::vector<kafka::OffsetRange> ranges, WallTime since);

/// What a consumer group has committed of these partitions of a topic; a partition of which it has committed nothing is
/// not in the answer.
///
/// Errors: those of the client library. Throws as `ranges_of`.
Result<std::map<std::int32_t, std::int64_t>> committed_offsets(const Cluster& cluster, const std::string& topic,
                                                               const std::string& group,
                                                               std::span<const std::int32_t> partitions);

/// Reads these ranges of a topic, each in its order: as nobody's member, so that nothing is written to the cluster and
/// no group is disturbed. `visit` answers false when it has seen enough. Blocks.
///
/// Errors: those of the client library; a timeout, or why, if nothing comes for `cluster.timeout`. Throws as
///         `ranges_of`.
Result<void> read_ranges(const Cluster& cluster, const std::string& topic, std::span<const kafka::OffsetRange> ranges,
                         const std::function<bool(const kafka::ConsumedRecord&)>& visit);

} // namespace velostream::dlq
