// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace velostream::kafka {

struct RetryTopicsOptions {
    /// What the names of retry topics and of their group end in. Empty: `-retry-` and the delay in milliseconds, such
    /// as `-retry-60000`. Spring's word where all tries of a fixed delay share one topic is `-retry`.
    std::string suffix = {};

    /// The operation may happen twice without harm: it is also tried again when nobody knows whether it happened.
    /// Default false.
    bool idempotent = false;
};

/// What was done so far, and what waits.
struct RetryTopicsStats {
    std::uint64_t published = 0;           ///< acknowledged by a retry topic
    std::uint64_t failed_publications = 0; ///< not: the record was held, or, too large, became a dead letter
    std::uint64_t processed_again = 0;     ///< attempts with records of retry topics, however they ended
    std::uint64_t dead_letters = 0;        ///< records that became one
    std::size_t waiting = 0; ///< read from a retry topic, and not due yet or behind another of the partition or key
};

} // namespace velostream::kafka
