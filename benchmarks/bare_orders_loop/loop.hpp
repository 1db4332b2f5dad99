// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace velostream::bare {

/// The work of the main job on plain librdkafka: order lines go to a topic, come back, are summed up per customer, each
/// changed total goes to a second topic and each bad line, with the headers of a dead letter, to a third. No memory
/// budget, no breaker, no retries of its own, no spool; a message that is not delivered ends the program.
struct LoopOptions {
    std::string input;
    std::string brokers; ///< empty: a mock cluster in this process
    std::string prefix;  ///< of topics and group; may be empty
    int partitions = 8;
    /// librdkafka's own settings and one `rd_kafka_consumer_poll` a record, instead of the settings of the main job and
    /// batches.
    bool defaults = false;
    bool keep_topics = false; ///< of a real cluster, to look into them
};

struct LoopResult {
    std::int64_t lines = 0;
    std::int64_t valid = 0;
    std::array<std::int64_t, 5> by_fault{}; ///< index: `Fault`
    std::int64_t customers = 0;
    std::int64_t grand_total = 0; ///< thousandths
    double seconds = 0;           ///< from the first line read to the last acknowledgement
};

LoopResult run_loop(const LoopOptions& options);

} // namespace velostream::bare
