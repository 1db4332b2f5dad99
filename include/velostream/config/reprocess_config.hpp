// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/base/units.hpp"

namespace velostream {

/// What waits while a record that failed waits for its next try.
enum class Reprocess : std::uint8_t {
    off,     ///< nothing: there is no next try
    in_line, ///< the records behind it in its partition
    parked,  ///< the records behind it that have its key; the others go on
    topic,   ///< nothing: it waits in a topic of its own, overtaken by those behind it; see `kafka::RetryTopics`
};

/// How a record that could not be processed is tried again before it becomes a dead letter.
struct ReprocessConfig {
    /// Default off. `topic` for delays and outages that are longer than a program can hold records, where the order of
    /// a key does not matter. `RecordProcessor` has all modes but that one, which is `kafka::RetryTopics`.
    Reprocess mode = Reprocess::off;

    /// Extra tries. Errors that another try cannot mend, such as a bad request, have none. Legal: ≥ 0; with `topic`
    /// below 2²⁴. Default 3.
    std::uint32_t max_retries = 3;

    /// Wait before each of them. Legal: > 0; with `topic` below the queue's `retention_period`. Default 60 s.
    Duration retry_delay = std::chrono::seconds{60};
};

} // namespace velostream
