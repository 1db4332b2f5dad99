// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "velostream/base/units.hpp"

namespace velostream {

/// Which errors `send_to_dlq` takes. What it does not take it refuses with `Errc::record_not_to_blame`.
enum class DeadLetterPolicy : std::uint8_t {
    failed_attempts,    ///< every error of an attempt; not refusals, cancellation, authentication, authorization
    record_faults_only, ///< only errors that blame the record
    everything,         ///< whatever comes
};

/// Where records go that cannot be processed, and how hard their delivery is tried.
struct DeadLetterQueueConfig {
    /// The topic of the dead letters. Legal: a Kafka topic name. Default `failed-records`.
    std::string topic = "failed-records";

    /// Extra deliveries of one dead letter to the topic. Legal: ≥ 0. Default 3: at most four deliveries.
    std::uint32_t max_retries = 3;

    /// Wait between them. Legal: > 0. Default 60 s.
    Duration retry_delay = std::chrono::seconds{60};

    /// How long the topic keeps dead letters, when this library creates it. Legal: > 0. Default 7 days.
    Duration retention_period = std::chrono::hours{24 * 7};

    /// Whether key, value and headers of the record are kept. Default true.
    bool include_original_record = true;

    /// Whether the error's type, text and attempts are kept. Default true.
    bool include_error_details = true;

    /// Whether the stack at the point of dead-lettering is kept. Default true.
    bool include_stack_trace = true;

    /// Which errors are taken. Default: those of an attempt.
    DeadLetterPolicy accept = DeadLetterPolicy::failed_attempts;

    /// The deadline of one delivery. Legal: > 0. Default 30 s.
    Duration delivery_timeout = std::chrono::seconds{30};
};

} // namespace velostream
