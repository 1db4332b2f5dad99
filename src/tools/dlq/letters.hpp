// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tools/dlq/filter.hpp"
#include "tools/dlq/letter.hpp"
#include "tools/dlq/topic_reader.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::dlq {

/// Where letters are: in a topic, or in the folder of a spool.
struct Source {
    std::string topic; ///< empty: a spool
    Cluster cluster;
    std::string spool;

    bool is_topic() const noexcept { return !topic.empty(); }
    /// `topic failed-records`
    std::string text() const { return is_topic() ? "topic " + topic : "spool " + spool; }
};

/// False: no more of them.
using Visit = std::function<bool(const Letter&, const DeadLetterFacts&)>;

/// What must be read of a topic for these spans; everything for none.
std::vector<kafka::OffsetRange> narrowed(std::vector<kafka::OffsetRange> ranges, std::span<const PartitionSpan> spans);

/// Says on standard error that so much of a spool's file was passed over.
void tell_of_damage(const std::string& name, Bytes damaged);

/// Shows `visit` the letters that were there when this began and that `filter` takes; those of a partition, and those
/// of a spool, in their order. Takes nothing away and disturbs nobody. Blocks.
///
/// Errors: those of reading. What is damaged in a spool is passed over, and said on standard error.
Result<void> read_letters(const Source& source, const Filter& filter, const Visit& visit);

} // namespace velostream::dlq
